// # Backward {#ch_backward}
// @summary Gradients by hand: what an adjoint is, the scan run backwards in four colours, and with it the block and the whole model.
//
// A model that has learnt nothing writes nonsense. To teach it, we let it guess a token that we
// know, and measure by one number how bad the guess was: the **loss**. Then each of its millions of
// parameters is moved a little, in the direction in which the loss falls. Which direction is that?
// For one parameter one could try: move it, run the model again, look at the loss. For a hundred
// million parameters that is a hundred million runs, for one small move.
//
// There is a way to have all directions at once, for about the price of two more runs. It is to
// walk through the computation from its end to its beginning and to ask at each line the same
// question: if the loss depends so much on what this line gives, how much does it depend on what
// the line reads? Programs can do that by themselves, and in other books they do: one calls
// `backward()`. Here we do it by hand, for the same reason that we have written the scan by hand.
// The program that would do it for us sees single operations; we see that the gradient of a scan is
// a scan.
//
// ## What it builds on {#backward_builds_on}
//
// - @Chapter{real_sequences}: the operator ssd(), whose gradient this is, and its options;
// - @Chapter{chunked_scan}: the four steps, which run backwards here;
// - @Chapter{duality}: multiply(), and the mask;
// - @Chapters{selection, convolution_and_norm and mamba2_block}: the parts around the scan, and the
//   block that they make;
// - @Chapter{language_model}: the model, and the loss.
//
// In thought also on @chapter{state_space}: the recurrence and the six tokens.
//
// ## Shapes {#backward_shapes}
//
// The gradient of the loss with respect to some $v$ is written $\nabla v$. It has a number for each
// number of $v$, and so the same shape. In code it is `dv`, or the field `v` of a gradient.
//
// ::: shapes
// | symbol | in code | shape | what it is |
// |:--|:--|:--|:--|
// | $X_t = \Delta_t x_t$ | `X` | $(T, P)$ | inputs times their step size |
// | $a_t = \Delta_t A$ | `dA` | $(T)$ | log-decay of each step |
// | $B_t$, $C_t$ | `B`, `C` | $(T, N)$ | how an input enters the state, how it is read |
// | $h_t$ | `h`, `state` | $(P, N)$ | the state after step $t$ |
// | $\nabla Y$ | `dY` | $(T, P)$ | what the loss asks of the outputs |
// | $\nabla h_t$ | `dstate` | $(P, N)$ | what it asks of the state after step $t$ |
// | $\nabla X$, $\nabla B$, $\nabla C$ | fields of `gradient` | as $X$, $B$, $C$ | what is looked for |
// | $\nabla a$ | `ddA`, `gradient.dA` | $(T)$ | that of the log-decays, in double |
//
// As before, these are one head's. The letter $a$ is new: this chapter has too many gradients of
// the log-decay to write $\Delta_t A$ each time.
// :::
//
#include <mamba2/activation.hpp>
#include <mamba2/activation_gradient.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/error.hpp>
#include <mamba2/scan_gradient.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace mamba2 {

// ## One step, turned round {#backward_adjoint}
//
// Take the smallest scan there is: one token, one channel, a state of one number. It reads five
// numbers and gives two, the new state and the output.
//
// $$
// \begin{aligned}
// h' &= e^a h + X B
// \\ y &= C h'
// \end{aligned}
// $$ {#eq:backward_step}
//
// Near a given point every smooth function is a matrix. Move the inputs by a little, by $v =
// (\delta a, \delta h, \delta X, \delta B, \delta C)$, and the outputs move by $J v$, where $J$
// holds the derivatives of each output by each input. Here $J$ has two rows and five columns:
//
// @output jacobian
//
// $J v$ answers the question *what does this change do?* Learning asks the other way round. Say the
// loss grows by $w_1$ for each unit of $h'$ and by $w_2$ for each unit of $y$. How much does it
// grow for each unit of $a$? Column $a$ of $J$ tells what $a$ does to both outputs; weigh it with
// $w$ and add. For all five inputs at once that is $J^\top w$, the **adjoint** of the step. Both
// questions are about the same small change of the loss, and give the same number:
//
// $$ \langle J v,\, w \rangle = \langle v,\, J^\top w \rangle . $$ {#eq:backward_adjoint}
//
// @output inner_products
//
// ::: keyidea
// An adjoint takes what the loss asks of the results and returns what it asks of the arguments. For
// a chain of functions the adjoints are applied in reverse order, $(J_2 J_1)^\top w = J_1^\top
// (J_2^\top w)$. One walk from the loss to the parameters gives all gradients.
// :::
//
// Nobody writes $J$ down. A thousand tokens of one head, with $P = 64$ and $N = 128$, are 321
// thousand inputs and 64 thousand outputs, and what is wanted is only a product with the transposed
// matrix. That product is a program, made from the first one by two rules.
//
// 1. **From the last line to the first.** A line $u = f(v)$ becomes $\nabla v = f'(v)\,\nabla u$.
// 2. **Who is used twice, adds.** Each use of $v$ has its own gradient; $\nabla v$ is their sum.
//
// For the step, last line first. The $\nabla h'$ on the right is what the loss asks of the state
// directly; $h'$ is used a second time in the line for $y$, and so that use is added:
//
// $$
// \begin{aligned}
// \nabla C &= h'\, \nabla y
// \\ \nabla h' &\mathrel{+}= C\, \nabla y
// \\ \nabla h &= e^a\, \nabla h' \qquad \nabla X = B\, \nabla h' \qquad \nabla B = X\, \nabla h'
// \\ \nabla a &= e^a h\, \nabla h' .
// \end{aligned}
// $$ {#eq:backward_step_adjoint}
//
// Six short lines, no matrix. Equation @eqref{eq:backward_adjoint} is also how to test them. Draw
// $v$ and $w$ at random; get $J v$ from the forward program alone, as a difference of two runs; get
// $J^\top w$ from the adjoint. If the two inner products agree, for a few draws, the adjoint is
// right. One such test looks at all gradients at once, however many there are. Every function of
// this chapter has passed it.
//
// ## Three slopes {#backward_slopes}
//
// A function of one number has a derivative and nothing else to transpose. The scan needs three.
// The slope of the softplus is the logistic function: nearly 0 where the softplus is flat, nearly 1
// where it is the identity.

template <class Real>
Real softplus_derivative(Real x) {
  return x > 20 ? Real(1) : 1 / (1 + std::exp(-x));
}

template <class Real>
Real silu_derivative(Real x) {
  const Real gate = 1 / (1 + std::exp(-x));
  return gate * (1 + x * (1 - gate));
}

template <class Real>
Real step_size_derivative(Real raw, const ScanOptions& options) {
  const Real dt = options.dt_softplus ? softplus(raw) : raw;
  if (dt < static_cast<Real>(options.dt_min) || dt > static_cast<Real>(options.dt_max)) return 0;
  return options.dt_softplus ? softplus_derivative(raw) : Real(1);
}

// A limit that has cut the step has also cut its slope: moving the raw number does nothing, so its
// gradient is 0. A model whose steps sit on a limit cannot learn to leave it. At the limit itself
// the slope is that of the side where the step is free.
//
// ## From the last token to the first {#backward_recurrent}
//
// Now the whole recurrence of one head. Many such steps are chained through the state: $h_t$ is
// read by the output of its own token and by the next step. Two uses, two terms:
//
// $$ \nabla h_t = \nabla y_t\, C_t^\top + e^{a_{t+1}}\, \nabla h_{t+1} . $$ {#eq:backward_state}
//
// Put the recurrence beside it, $h_t = X_t B_t^\top + e^{a_t} h_{t-1}$. It is the same, seen in a
// mirror. Time runs backwards; what is poured in at each token is $\nabla y_t$, where $X_t$ was;
// and $C_t$ says into which bucket, where $B_t$ did. What the loss asks of a state fades on its way
// into the past as the state fades on its way into the future, by the same factors.
//
// ::: keyidea
// The gradient of the state is a state. It begins after the last token, with what the loss asks of
// the last state; it is carried from token to token; and what arrives before the first token is the
// gradient of the initial state.
// :::
//
// Where $\nabla h_t$ passes, the other gradients are read off. These are the lines of
// @eqref{eq:backward_step_adjoint}, with $P$ channels and $N$ buckets:
//
// $$
// \begin{aligned}
// \nabla X_t &= \nabla h_t\, B_t
// \\ \nabla B_t &= \nabla h_t^\top X_t
// \\ \nabla C_t &= h_t^\top \nabla y_t
// \\ \nabla a_t &= e^{a_t} \langle \nabla h_t,\, h_{t-1} \rangle .
// \end{aligned}
// $$ {#eq:backward_token}
//
// The last two need the states themselves, on the way back, in reverse order. So the loop runs
// twice: forward, to have all states; backward, to use them up. As in @chapter{real_sequences} the
// plain form goes channel by channel and in double. It is slow, and everything else is held against
// it.

template <class Real>
static void recurrent_gradient(const ScanChunk<Real>& s, MatrixRef<const Real> dY,
                               MatrixRef<const double> before, MatrixRef<double> dstate,
                               const ScanChunkGradient<Real>& gradient) {
  const std::size_t length = s.dA.size(), d_state = s.B.columns;
  auto h = zeros<double>(length + 1, d_state);  // before each token, and after the last
  for (std::size_t p = 0; p < s.X.columns; ++p) {
    std::copy_n(before[p], d_state, &h(0, 0));
    for (std::size_t t = 0; t < length; ++t)
      for (std::size_t n = 0; n < d_state; ++n)
        h(t + 1, n) = std::exp(static_cast<double>(s.dA[t])) * h(t, n) + s.X(t, p) * s.B(t, n);

    double* const dh = dstate[p];
    for (std::size_t t = length; t-- > 0;) {
      const double decay = std::exp(static_cast<double>(s.dA[t]));
      double dx = 0, ddecay = 0;
      for (std::size_t n = 0; n < d_state; ++n) {
        gradient.C(t, n) += static_cast<Real>(dY(t, p) * h(t + 1, n));
        dh[n] += dY(t, p) * s.C(t, n);
        gradient.B(t, n) += static_cast<Real>(dh[n] * s.X(t, p));
        dx += dh[n] * s.B(t, n);
        ddecay += dh[n] * h(t, n);
        dh[n] *= decay;
      }
      gradient.X(t, p) += static_cast<Real>(dx);
      gradient.dA[t] += decay * ddecay;
    }
  }
}

// The six tokens once more. Let the loss be what the last token says, which looks into bucket *a*.
// Which pours matter to it, and how much?
//
// @output six
//
// A unit more at the first token is worth $1/8$ at the end: three units of time pass, and each
// takes half. A unit more at the fourth token is worth 1, since no time passes after it. What went
// into *b* is worth nothing. The column of $\nabla a$ shows something else. A little less decay at
// a step keeps a little more of all that stands in *a* at that time, and of what stands there the
// loss will see 1, until the fourth token has poured, and then 7.
//
// ## What crosses a step {#backward_decay}
//
// Before we go to chunks, look at $\nabla a$ in the other face of the model, the matrix. $M_{ij}$
// is what is left at token $i$ of what token $j$ has written. It contains the factor $e^{a_t}$ for
// every step $t$ on the way from $j$ to $i$, that is for $j < t \le i$, and the derivative of an
// exponential is itself. So
//
// $$ \nabla a_t = \sum_{j < t \le i} W_{ij} \qquad \text{where} \qquad W = \nabla M \circ M . $$ {#eq:backward_crossing}
//
// $W_{ij}$ is how much the loss owes to what $j$ says to $i$, and the gradient of a decay is the
// sum of **all that crosses it**: all pairs with one token before the step and one at or after it.
//
// ::: figure crossing
// Left: $W$ for sixteen tokens, blue where positive, red where negative. The frame holds what
// crosses step 9. Right: the gradient of each log-decay, the sum of such a frame. Nothing crosses
// step 0.
// :::
//
// Need we know all pairs? Not for their sums. Everything that token $i$ hears adds up to $\sum_j
// W_{ij} = \langle \nabla Y_i, Y_i \rangle$, for $Y = M X$; everything that token $j$ says adds up
// to $\sum_i W_{ij} = \langle \nabla X_j, X_j \rangle$, for $\nabla X = M^\top \nabla Y$. What
// crosses step $t$ is what is heard at or after it, less what was said at or after it. If the loss
// also depends on the last state, one listener more sits at the end:
//
// $$
// \nabla a_t = \sum_{i \ge t} \bigl( \langle \nabla Y_i, Y_i \rangle - \langle \nabla X_i, X_i \rangle \bigr)
// + \langle \nabla h_T, h_T \rangle .
// $$ {#eq:backward_suffix}
//
// One number for each token, and a sum from the end. It is the way to do it on paper, and many fast
// programs do it. It needs no product of matrices and no state but the last. There is a catch: what
// a token says *to itself* is in both terms, crosses nothing, and has to cancel. A head that
// forgets nearly everything has little but that, and what is left after subtraction is what was
// rounded. So we shall add up what crosses, and never subtract; that needs no products either. Here
// is a head that empties its state at every second step, in float:
//
// @output precision
//
// The authors' GPU kernels [@reference] carry a function for the same purpose, with *stable* in its
// name.
//
// ## Four colours, backwards {#backward_chunks}
//
// The loop over tokens has the faults of the recurrence in @chapter{chunked_scan}: no products of
// matrices. And it keeps a state for each token. Chunks cure both. We need no new idea for them:
// take the four steps, and write the adjoint of each.
//
// ::: figure backwards
// The four steps run backwards: every arrow turned round. Blue now *makes* what a chunk adds to the
// gradient of the state, purple carries it to the chunk before, and green reads it.
// :::
//
// | step | adjoint | reads | adds to |
// |:--|:--|:--|:--|
// | 4 blue | state_to_output_gradient() | $\nabla Y$, $C$, state before | $\nabla C$, makes own $\nabla h$ |
// | 3 purple | pass_state_gradient() | own $\nabla h$, $\nabla h$ after | makes $\nabla h$ before |
// | 2 green | chunk_state_gradient() | $\nabla h$ after, $X$, $B$ | $\nabla X$, $\nabla B$ |
// | 1 amber | diagonal_block_gradient() | $\nabla Y$, $X$, $B$, $C$ | $\nabla X$, $\nabla B$, $\nabla C$ |
//
// All of them read the decays, and add to $\nabla a$ what crosses each step of the chunk *in their
// colour*. Whatever crosses a step comes from a token of the chunk or from the state before it, and
// goes to a token of the chunk or to the state after it. That makes four kinds, one for each step.
//
// Two small helpers: an inner product, added up in double, and a sum.

template <class Real>
static double dot(const Real* a, const Real* b, std::size_t size) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < size; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

template <class Real>
static void add(const Tensor<Real, 2>& what, MatrixRef<Real> to) {
  for (std::size_t i = 0; i < to.rows; ++i)
    for (std::size_t k = 0; k < to.columns; ++k) to[i][k] += what(i, k);
}

// ### Step 4, blue: from the state to the outputs
//
// Forward, $Y_i \mathrel{+}= e^{l_i}\, h\, C_i$, with $l_i = a_{\text{first}} + \dots + a_i$. A
// product of two has two adjoints:
//
// $$
// \nabla C_i \mathrel{+}= h^\top (e^{l_i} \nabla Y_i) \qquad\qquad
// \hat{\nabla h} = \sum_i (e^{l_i} \nabla Y_i)\, C_i^\top .
// $$ {#eq:backward_blue}
//
// The second is a right factor as in @chapter{chunked_scan}: rows scaled, then one product. It is
// what the chunk's tokens ask of the state before it, and is passed on by step 3. The decays: token
// $i$'s share is $\langle C_i, \nabla C_i \rangle$, of this step's $\nabla C$; it comes from the
// state and so crosses every step up to $i$, its own included. That is a sum from the end.

template <class Real>
void state_to_output_gradient(const ScanChunk<Real>& chunk, ReadMatrix<Real> before,
                              ReadMatrix<Real> dY, const ScanChunkGradient<Real>& gradient,
                              MatrixRef<Real> own) {
  const Tensor<Real, 2> dY_faded = scale_rows<Real>(decay_from_start(chunk.dA), dY);
  auto dC = zeros<Real>(chunk.C.rows, chunk.C.columns);
  multiply<Real>(as_matrix(dY_faded), before, /* beta = */ 0, as_matrix(dC));
  multiply<Real>(transpose(as_matrix(dY_faded)), chunk.C, /* beta = */ 0, own);
  add(dC, gradient.C);

  double read = 0;  // by tokens t, ..., last
  for (std::size_t t = chunk.dA.size(); t-- > 0;) {
    read += dot(chunk.C[t], &dC(t, 0), chunk.C.columns);
    gradient.dA[t] += read;
  }
}

// ### Step 3, purple: from chunk to chunk
//
// Forward, $h \leftarrow e^{s} h + \hat h$ with the sum $s$ of all decays of the chunk. Backward,
// from the chunk's end to its start,
//
// $$ \nabla h \leftarrow e^{s}\, \nabla h + \hat{\nabla h} . $$ {#eq:backward_purple}
//
// A state that passes over the whole chunk crosses all of its steps, with the share $e^s \langle
// \nabla h, h \rangle$. As in @chapter{real_sequences}, states are held in double while they are
// carried from chunk to chunk, and so are their gradients.

template <class Real>
void pass_state_gradient(std::span<const Real> dA, MatrixRef<const double> before, ReadMatrix<Real> own,
                         MatrixRef<double> dstate, std::span<double> ddA) {
  const double decay = std::exp(std::accumulate(dA.begin(), dA.end(), 0.0));
  double passed = 0;
  for (std::size_t p = 0; p < dstate.rows; ++p) {
    passed += decay * dot<double>(dstate[p], before[p], dstate.columns);
    for (std::size_t n = 0; n < dstate.columns; ++n) dstate[p][n] = decay * dstate[p][n] + own[p][n];
  }
  for (double& gradient : ddA) gradient += passed;
}

// ### Step 2, green: from the inputs to the state
//
// Forward, $\hat h = \sum_j (e^{r_j} X_j)\, B_j^\top$, with $r_j = a_{j+1} + \dots +
// a_{\text{last}}$. The gradient of the chunk's own state is that of the state after the chunk,
// $\nabla h$, for the two differ by something that is only added.
//
// $$
// \nabla X_j \mathrel{+}= e^{r_j}\, \nabla h\, B_j \qquad\qquad
// \nabla B_j \mathrel{+}= \nabla h^\top (e^{r_j} X_j)
// $$ {#eq:backward_green}
//
// What token $j$ writes into the state crosses every step *after* $j$. So this sum runs from the
// front, and a token's own share is added to it only after its gradient has been taken: the two
// lines stand in the opposite order of those in step 4. It is the same pair of loops as in
// decay_to_end() and decay_from_start(), and the same mistake is waiting.

template <class Real>
void chunk_state_gradient(const ScanChunk<Real>& chunk, ReadMatrix<Real> down,
                          const ScanChunkGradient<Real>& gradient) {
  const Tensor<Real, 1> decay = decay_to_end(chunk.dA);
  const Tensor<Real, 2> X_left = scale_rows<Real>(decay, chunk.X);
  multiply<Real>(as_matrix(X_left), down, /* beta = */ 1, gradient.B);
  auto dX = zeros<Real>(chunk.X.rows, chunk.X.columns);
  multiply<Real>(chunk.B, transpose(down), /* beta = */ 0, as_matrix(dX));
  dX = scale_rows<Real>(decay, as_matrix(dX));
  add(dX, gradient.X);

  double written = 0;  // by tokens 0, ..., t - 1
  for (std::size_t t = 0; t < chunk.dA.size(); ++t) {
    gradient.dA[t] += written;
    written += dot(chunk.X[t], &dX(t, 0), chunk.X.columns);
  }
}

// ### Step 1, amber: inside the chunk
//
// Forward there are three lines: the scores $G = C B^\top$, the mask $M = L \circ G$, the outputs
// $Y = M X$. From the last to the first:
//
// $$
// \begin{gathered}
// \nabla X \mathrel{+}= M^\top \nabla Y \qquad \nabla M = \nabla Y X^\top
// \\ \nabla G = L \circ \nabla M
// \\ \nabla C \mathrel{+}= \nabla G\, B \qquad \nabla B \mathrel{+}= \nabla G^\top C
// \end{gathered}
// $$ {#eq:backward_amber}
//
// A mask multiplies entry by entry, and such a thing is its own adjoint: mask_scores() serves both
// ways. With it the five products of the step are five calls. The decays are
// @eqref{eq:backward_crossing}, for the tokens of the chunk, and the two matrices are at hand. For
// each token $i$, what it hears from before $t$ is a sum that grows with $t$.

template <class Real>
void diagonal_block_gradient(const ScanChunk<Real>& chunk, ReadMatrix<Real> dY,
                             const ScanChunkGradient<Real>& gradient) {
  const std::size_t length = chunk.dA.size();
  auto M = zeros<Real>(length, length), dM = M;
  multiply<Real>(chunk.C, transpose(chunk.B), /* beta = */ 0, as_matrix(M));
  mask_scores<Real>(chunk.dA, as_matrix(M));
  multiply<Real>(dY, transpose(chunk.X), /* beta = */ 0, as_matrix(dM));
  multiply<Real>(transpose(as_matrix(M)), dY, /* beta = */ 1, gradient.X);

  for (std::size_t i = 0; i < length; ++i) {
    double said = 0;  // to token i, by tokens 0, ..., t - 1
    for (std::size_t t = 1; t <= i; ++t) {
      said += static_cast<double>(M(i, t - 1)) * dM(i, t - 1);
      gradient.dA[t] += said;
    }
  }

  mask_scores<Real>(chunk.dA, as_matrix(dM));
  multiply<Real>(as_matrix(dM), chunk.B, /* beta = */ 1, gradient.C);
  multiply<Real>(transpose(as_matrix(dM)), chunk.C, /* beta = */ 1, gradient.B);
}

// ### All together
//
// First the states before each chunk, forward: steps 2 and 3 of @chapter{chunked_scan}, outputs
// left out. Then the chunks from the last to the first, with the gradient of the state in hand.
// Step 2 stands before step 3, since it needs the gradient from *after* the chunk.
//
// A stretch of a sequence is rows of everything, of what is read and of where the gradients go:

template <class Real>
static ScanChunk<Real> part(const ScanChunk<Real>& s, std::size_t first, std::size_t count) {
  const auto rows = [=](auto m) { return row_block(m, first, count); };
  return {rows(s.X), s.dA.subspan(first, count), rows(s.B), rows(s.C)};
}

template <class Real>
static ScanChunkGradient<Real> part(const ScanChunkGradient<Real>& s, std::size_t first,
                                    std::size_t count) {
  const auto rows = [=](auto m) { return row_block(m, first, count); };
  return {rows(s.X), s.dA.subspan(first, count), rows(s.B), rows(s.C)};
}

// The states at the borders:

template <class Real>
static std::vector<Tensor<double, 2>> states_between(const ScanChunk<Real>& s, std::size_t chunk_size,
                                                     MatrixRef<const double> before) {
  auto state = zeros<double>(before.rows, before.columns);
  auto own = zeros<Real>(before.rows, before.columns);
  std::copy_n(before.data, state.size(), state.data());
  std::vector<Tensor<double, 2>> states{state};
  for (std::size_t first = 0; first + chunk_size < s.dA.size(); first += chunk_size) {
    const ScanChunk<Real> chunk = part(s, first, chunk_size);
    chunk_state<Real>(chunk.X, chunk.dA, chunk.B, as_matrix(own));
    state = std::exp(std::accumulate(chunk.dA.begin(), chunk.dA.end(), 0.0)) * state + own;
    states.push_back(state);
  }
  return states;
}

// And back:

template <class Real>
void chunked_gradient(const ScanChunk<Real>& s, ReadMatrix<Real> dY, std::size_t chunk_size,
                      MatrixRef<const double> before, MatrixRef<double> dstate,
                      const ScanChunkGradient<Real>& gradient) {
  const std::vector<Tensor<double, 2>> states = states_between(s, chunk_size, before);
  auto own = zeros<Real>(before.rows, before.columns), state = own, down = own;
  for (std::size_t k = states.size(); k-- > 0;) {
    const std::size_t first = k * chunk_size, length = std::min(chunk_size, s.dA.size() - first);
    const ScanChunk<Real> chunk = part(s, first, length);
    const ScanChunkGradient<Real> to = part(gradient, first, length);
    const MatrixRef<const Real> dY_chunk = row_block(dY, first, length);
    state = xt::cast<Real>(states[k]);
    std::copy_n(dstate.data, down.size(), down.data());
    diagonal_block_gradient<Real>(chunk, dY_chunk, to);
    chunk_state_gradient<Real>(chunk, as_matrix(down), to);
    state_to_output_gradient<Real>(chunk, as_matrix(state), dY_chunk, to, as_matrix(own));
    pass_state_gradient<Real>(chunk.dA, as_matrix(states[k]), as_matrix(own), dstate, to.dA);
  }
}

// What does it cost? Inside the chunk three products with $N$ columns, $C B^\top$, $\nabla G B$ and
// $\nabla G^\top C$, and two with $P$; through the states four of $N P$ for each token, and a fifth
// to have the states again.

Cost cost_chunked_gradient(double seqlen, double d_state, double headdim, double chunk_size) {
  const double T = seqlen, N = d_state, P = headdim, Q = chunk_size;
  return {T * (3 * Q * N + 2 * Q * P + 5 * N * P), std::ceil(T / Q) * N * P};
}

// @output cost
//
// A head, on its own, takes some two and a half times its forward pass, whatever the chunk. Heads
// of a group can share $C B^\top$ both ways, as @chapter{fast} does forward.
//
// ## What is kept, what is computed again {#backward_memory}
//
// Backward needs what forward has computed. There is a choice each time: keep it, or compute it
// again when it is needed. For one layer of the 130M model, which has 24 heads, and a text of 2048
// tokens in chunks of 64:
//
// @output memory
//
// Keeping every state is out of the question. Chunks need only the states at their borders, one for
// each 64 tokens. That would do. But to compute these states again is one ninth of the products of
// the backward pass, and heads do not speak to each other. So the library keeps *nothing* of the
// forward pass but what it has read, and holds the borders' states for one head at a time. $M$ is
// never kept either, for the same reason and with more to gain: it is made anew for each chunk, as
// in forward. Attention is trained in the same way [@dao2022].
//
// ## Packed sequences {#backward_packed}
//
// Several sequences in one row are stretches, run one after the other, the last one first. Forward,
// the state restarts from zero at each border. Zero depends on nothing, so what the loss asks of a
// state at a border is dropped, and the sequence before begins anew: nobody asks anything of *its*
// last state. Only what arrives at the front of the first sequence is the gradient of the initial
// state.

template <class Real>
static void packed_gradient(const ScanChunk<Real>& s, MatrixRef<const Real> dY,
                            std::span<const std::size_t> bounds, const ScanOptions& options,
                            const Tensor<double, 2>& before, MatrixRef<double> dstate,
                            const ScanChunkGradient<Real>& gradient) {
  const Tensor<double, 2> nothing = zeros<double>(dstate.rows, dstate.columns);
  for (std::size_t i = bounds.size() - 1; i-- > 0;) {
    const std::size_t first = bounds[i], length = bounds[i + 1] - first;
    const MatrixRef<const double> start = as_matrix(i == 0 ? before : nothing);
    const MatrixRef<const Real> dY_part = row_block(dY, first, length);
    const ScanChunk<Real> sequence = part(s, first, length);
    const ScanChunkGradient<Real> to = part(gradient, first, length);
    if (options.algorithm == Algorithm::recurrent) {
      recurrent_gradient(sequence, dY_part, start, dstate, to);
    } else {
      const bool whole = options.algorithm == Algorithm::quadratic;
      chunked_gradient<Real>(sequence, dY_part, whole ? length : options.chunk_size, start, dstate, to);
    }
    if (i > 0) std::fill_n(dstate.data, nothing.size(), 0.0);
  }
}

// ## Twice the step size {#backward_step_size}
//
// The steps above take $X_t = \Delta_t x_t$ and $a_t = \Delta_t A$ as they are. The model has $x$,
// $\Delta$ and $A$. The step size is used twice, so its gradient has two terms. And $A$ is used by
// every token, of every sequence, so its gradient is a sum over all of them:
//
// $$
// \begin{aligned}
// \nabla x_t &= \Delta_t\, \nabla X_t
// \\ \nabla \Delta_t &= \langle x_t, \nabla X_t \rangle + A\, \nabla a_t
// \\ \nabla A &= \sum_t \Delta_t\, \nabla a_t .
// \end{aligned}
// $$ {#eq:backward_step_size}
//
// ::: warning
// Leave out one of the two terms of $\nabla \Delta$, and the model still learns, only worse. The
// loss falls, nothing looks broken. This is why gradients are tested against differences, and not
// by whether something is learnt.
// :::
//
// Then back through limits, softplus and bias: times the slope. The bias is added to each token's
// raw step and gets the sum of their gradients.

template <class Real>
static void head_gradient(const ScanRef<Real>& head, const ScanOptions& options,
                          const Tensor<double, 2>& before, MatrixRef<const Real> dY,
                          MatrixRef<double> dstate, const ScanGradientRef<Real>& gradient) {
  const std::size_t seqlen = head.sizes.seqlen, headdim = head.sizes.headdim;
  const Real bias = head.dt_bias.empty() ? Real(0) : head.dt_bias[0];
  auto X = zeros<Real>(seqlen, headdim), dX = X;
  std::vector<Real> dt(seqlen), dA(seqlen);
  std::vector<double> ddA(seqlen, 0.0);
  for (std::size_t t = 0; t < seqlen; ++t) {
    dt[t] = step_size(head.dt(t, 0) + bias, options);
    dA[t] = dt[t] * head.A[0];
    for (std::size_t p = 0; p < headdim; ++p) X(t, p) = dt[t] * head.x(t, p);
  }
  std::vector<std::size_t> bounds{0, seqlen};
  if (!head.seq_idx.empty()) bounds = sequence_bounds(head.seq_idx);
  packed_gradient<Real>({as_matrix(X), dA, head.B, head.C}, dY, bounds, options, before, dstate,
                        {as_matrix(dX), ddA, gradient.B, gradient.C});

  double dA_sum = 0, dbias = 0;
  for (std::size_t t = 0; t < seqlen; ++t) {
    const double dstep = head.A[0] * ddA[t] + dot(head.x[t], &dX(t, 0), headdim);
    const double draw = dstep * step_size_derivative(head.dt(t, 0) + bias, options);
    gradient.dt(t, 0) = static_cast<Real>(draw);
    dbias += draw;
    dA_sum += dt[t] * ddA[t];
    for (std::size_t p = 0; p < headdim; ++p) gradient.x(t, p) = dt[t] * dX(t, p);
  }
  gradient.A[0] += static_cast<Real>(dA_sum);
  if (!gradient.dt_bias.empty()) gradient.dt_bias[0] += static_cast<Real>(dbias);
}

// ## Skip and gate {#backward_gate}
//
// Forward these come last, so backward they come first. The gate multiplies, $y = (Y + D x) \circ
// \silu(z)$, and each factor's gradient is the other factor times $\nabla y$. For that of $z$ the
// output without the gate is needed; it is computed again, by the scan itself.

template <class Real>
static Tensor<Real, 2> ungated_output(ScanRef<Real> head, const ScanOptions& options,
                                      const Tensor<double, 2>& before) {
  auto y = zeros<Real>(head.x.rows, head.x.columns);
  Tensor<Real, 2> state = xt::cast<Real>(before);
  head.z = {};
  const MatrixRef<Real> one_row{state.data(), 1, state.size(), state.size()};
  unchecked::scan<Real>(head, options, one_row, as_matrix(y));
  return y;
}

template <class Real>
static Tensor<Real, 2> gate_gradient(const ScanRef<Real>& head, const Tensor<Real, 2>& y,
                                     MatrixRef<const Real> dy, MatrixRef<Real> dz) {
  auto dY = y;
  for (std::size_t t = 0; t < dy.rows; ++t) {
    for (std::size_t p = 0; p < dy.columns; ++p) {
      dz(t, p) = dy(t, p) * y(t, p) * silu_derivative(head.z(t, p));
      dY(t, p) = dy(t, p) * silu(head.z(t, p));
    }
  }
  return dY;
}

// The skip is a second way from $x$ to the output, so its gradient is added to the first's. $D$
// belongs to all tokens, and may belong to all channels of the head.

template <class Real>
static void skip_gradient(const ScanRef<Real>& head, MatrixRef<const Real> dY,
                          const ScanGradientRef<Real>& gradient) {
  std::vector<Real> D(dY.columns);
  for (std::size_t p = 0; p < D.size(); ++p) D[p] = head.D[p % head.D.size()];
  std::vector<double> dD(dY.columns, 0.0);
  for (std::size_t t = 0; t < dY.rows; ++t) {
    for (std::size_t p = 0; p < dY.columns; ++p) {
      gradient.x(t, p) += D[p] * dY(t, p);
      dD[p] += static_cast<double>(head.x(t, p)) * dY(t, p);
    }
  }
  for (std::size_t p = 0; p < dY.columns; ++p)
    gradient.D[p % head.D.size()] += static_cast<Real>(dD[p]);
}

// ## The operator {#backward_operator}
//
// What is left is to find each head's place, as in the forward pass. Gradients of what is read
// token by token are *written*. Gradients of parameters are *added to* what stands in their place:
// a parameter serves every token, and may serve several pieces of text before it is moved.

namespace {

template <class Real>
ScanGradientRef<Real> one_head(const ScanGradientRef<Real>& g, const ScanSizes& s, std::size_t b,
                               std::size_t h) {
  const std::size_t group = group_of_head(h, s.nheads, s.ngroups), D_size = g.D.size() / s.nheads;
  const auto cut = [&](MatrixRef<Real> m, std::size_t which, std::size_t width) {
    if (!m.data) return m;
    return column_block(row_block(m, b * s.seqlen, s.seqlen), which * width, width);
  };
  return {.x = cut(g.x, h, s.headdim),
          .dt = cut(g.dt, h, 1),
          .A = g.A.subspan(h, 1),
          .B = cut(g.B, group, s.d_state),
          .C = cut(g.C, group, s.d_state),
          .D = g.D.subspan(h * D_size, D_size),
          .z = cut(g.z, h, s.headdim),
          .dt_bias = g.dt_bias.empty() ? g.dt_bias : g.dt_bias.subspan(h, 1)};
}

}  // namespace

// $B$ and $C$ stand between the two. They are read token by token, but by all heads of their group,
// so they are set to zero here, and then each head adds its part.

namespace unchecked {

template <class Real>
void scan_gradient(const ScanRef<Real>& in, const ScanOptions& options,
                   MatrixRef<const Real> initial_state, MatrixRef<const Real> dy,
                   MatrixRef<Real> dstate, const ScanGradientRef<Real>& gradient) {
  const auto& [batch, seqlen, nheads, headdim, ngroups, d_state] = in.sizes;
  if (seqlen == 0) return;
  for (MatrixRef<Real> shared : {gradient.B, gradient.C})
    for (std::size_t t = 0; t < shared.rows; ++t) std::fill_n(shared[t], shared.columns, Real(0));
  auto before = zeros<double>(headdim, d_state), dwide = before;
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t h = 0; h < nheads; ++h) {
      const ScanRef<Real> head = some_heads(one_sequence(in, b), h, 1);
      const ScanGradientRef<Real> to = one_head(gradient, in.sizes, b, h);
      const std::size_t where = h * headdim * d_state;
      if (initial_state.data) std::copy_n(initial_state[b] + where, before.size(), before.data());
      std::copy_n(dstate[b] + where, dwide.size(), dwide.data());
      MatrixRef<const Real> dY = column_block(row_block(dy, b * seqlen, seqlen), h * headdim, headdim);
      Tensor<Real, 2> dY_ungated;
      if (head.z.data) {
        dY_ungated = gate_gradient(head, ungated_output(head, options, before), dY, to.z);
        dY = as_matrix(dY_ungated);
      }
      head_gradient<Real>(head, options, before, dY, as_matrix(dwide), to);
      if (!head.D.empty()) skip_gradient(head, dY, to);
      for (std::size_t i = 0; i < dwide.size(); ++i)
        dstate[b][where + i] = static_cast<Real>(dwide.data()[i]);
    }
  }
}

}  // namespace unchecked

// The front door. A gradient has the shapes of what it is the gradient of, so what comes back is
// again a ScanInput.

template <class Real>
static ScanInput<Real> zeros_like(const ScanInput<Real>& in) {
  ScanInput<Real> same = in;
  const auto clear = [](auto& tensor) { tensor.fill(Real(0)); };
  clear(same.x), clear(same.dt), clear(same.A), clear(same.B), clear(same.C);
  if (same.D) clear(*same.D);
  if (same.z) clear(*same.z);
  if (same.dt_bias) clear(*same.dt_bias);
  same.seq_idx.reset();
  return same;
}

template <class Real>
ScanInput<Real> ssd_gradient(const ScanInput<Real>& in, const ScanOptions& options,
                             const Tensor<Real, 4>& dy,
                             const std::optional<Tensor<Real, 4>>& dlast_state) {
  const ScanSizes s = scan_sizes(in, options);
  const std::array<std::size_t, 4> states{s.batch, s.nheads, s.headdim, s.d_state};
  require_shape("dy", dy, {s.batch, s.seqlen, s.nheads, s.headdim}, "(batch, seqlen, nheads, headdim)");
  if (dlast_state)
    require_shape("dlast_state", *dlast_state, states, "(batch, nheads, headdim, d_state)");

  ScanInput<Real> gradient = zeros_like(in);
  ScanGradientRef<Real> to{.x = as_rows<2>(gradient.x),
                           .dt = as_rows<2>(gradient.dt),
                           .A = {gradient.A.data(), s.nheads},
                           .B = as_rows<2>(gradient.B),
                           .C = as_rows<2>(gradient.C)};
  if (in.D) to.D = {gradient.D->data(), gradient.D->size()};
  if (in.z) to.z = as_rows<2>(*gradient.z);
  if (in.dt_bias) to.dt_bias = {gradient.dt_bias->data(), s.nheads};
  Tensor<Real, 4> dstate = dlast_state ? *dlast_state : Tensor<Real, 4>(states, Real(0));
  MatrixRef<const Real> initial_state;
  if (in.initial_state) initial_state = as_rows<1>(*in.initial_state);
  unchecked::scan_gradient<Real>(in, options, initial_state, as_rows<2>(dy), as_rows<1>(dstate), to);
  if (in.initial_state) gradient.initial_state = dstate;
  return gradient;
}

// All forms against each other, and against differences of ssd():
//
// @output forms
//
// The list of what to compile ends the file.

#define MAMBA2_INSTANTIATE(Real)                                                                      \
  template Real softplus_derivative(Real);                                                            \
  template Real silu_derivative(Real);                                                                \
  template Real step_size_derivative(Real, const ScanOptions&);                                       \
  template void diagonal_block_gradient(const ScanChunk<Real>&, ReadMatrix<Real>,                     \
                                        const ScanChunkGradient<Real>&);                              \
  template void chunk_state_gradient(const ScanChunk<Real>&, ReadMatrix<Real>,                        \
                                     const ScanChunkGradient<Real>&);                                 \
  template void pass_state_gradient(std::span<const Real>, MatrixRef<const double>, ReadMatrix<Real>, \
                                    MatrixRef<double>, std::span<double>);                            \
  template void state_to_output_gradient(const ScanChunk<Real>&, ReadMatrix<Real>, ReadMatrix<Real>,  \
                                         const ScanChunkGradient<Real>&, MatrixRef<Real>);            \
  template void chunked_gradient(const ScanChunk<Real>&, ReadMatrix<Real>, std::size_t,               \
                                 MatrixRef<const double>, MatrixRef<double>,                          \
                                 const ScanChunkGradient<Real>&);                                     \
  template void unchecked::scan_gradient(const ScanRef<Real>&, const ScanOptions&,                    \
                                         MatrixRef<const Real>, MatrixRef<const Real>,                \
                                         MatrixRef<Real>, const ScanGradientRef<Real>&);              \
  template ScanInput<Real> ssd_gradient(const ScanInput<Real>&, const ScanOptions&,                   \
                                        const Tensor<Real, 4>&,                                       \
                                        const std::optional<Tensor<Real, 4>>&);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
