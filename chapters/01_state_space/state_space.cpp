// # A state, updated {#ch_state_space}
// @summary One number that is shrunk and added to at each step, written three ways: as a loop, as a matrix, as a convolution.
//
// Whoever reads a long text forgets most of it and keeps a little. A language model that reads one
// token after the other has to settle what that little is. A transformer refuses the question: it
// keeps every token and looks back at all of them at each step, so its memory grows with the text,
// and its work with the square of it. Mamba-2 answers it. The model keeps a **state**, a block of
// numbers whose size never changes, and every token changes those numbers a little.
//
// The rule by which they change is about the simplest that can both remember and forget: *shrink
// what is there, then add something new.* That is one line of arithmetic, and the rest of this book
// follows from it: the matrix hidden in it, the fast algorithm made from that matrix, a layer
// around the algorithm, a language model made of such layers.
//
// This chapter finds the rule, first for a single number, then for the block of numbers that a
// Mamba-2 head really keeps. Then it writes the same computation in three ways, as a loop, as a
// matrix and as a convolution, and its program checks that all three give the same result. On the
// way it introduces six tokens and two buckets, an example small enough for a pencil, to which
// every chapter of Part I comes back.
//
// ## What it builds on {#state_space_builds_on}
//
// On nothing in this book. You need matrices, the exponential function and enough C++ to read a
// template. The one type to know is mamba2::Tensor, an array with a fixed number of axes:
// `Tensor<Real, 2>` has two, its sizes are `x.shape(0)` and `x.shape(1)`, its entries `x(t, p)`,
// and mamba2::zeros makes one. `Real` is `float` or `double`: every function of the book is written
// once and compiled for both.
//
// ## Shapes {#state_space_shapes}
//
// ::: shapes The names of this chapter
// | symbol | in code | shape | what it is |
// |:--|:--|:--|:--|
// | $T$, $P$, $N$ | `seqlen`, `headdim`, `d_state` | | steps, channels, states per channel |
// | $x$ | `x` | $(T, P)$ | inputs, one row for each step |
// | $\bar A$ | `A_bar` | $(T)$ | what is left of the old state at each step |
// | $\bar B$ | `B_bar` | $(T, N)$ | how the input enters the state |
// | $C$ | `C` | $(T, N)$ | how the state is read |
// | $h$ | `h` | $(P, N)$ | the state: its size does not depend on $T$ |
// | $y$ | `y` | $(T, P)$ | outputs |
// | $M$ | `M` | $(T, T)$ | the matrix that takes $x$ to $y$ |
// | $K$ | `K` | $(T)$ | the kernel, where nothing depends on the step |
// :::

#include <mamba2/error.hpp>
#include <mamba2/ssm.hpp>

#include <cmath>

namespace mamba2 {

// ## A bucket with a hole {#state_space_bucket}
//
// Take the smallest memory there is, one number, and think of it as the level of water in a bucket.
// A tap lets water in. A hole in the bottom lets it out, the faster the more there is.
//
// ::: figure bucket
// One state. The tap is the input, the level is what the bucket remembers of it, and the hole makes
// it forget.
// :::
//
// Call the level $h(t)$ and what the tap is asked for $x(t)$. How fast the level changes is
//
// $$
// h'(t) = A\,h(t) + B\,x(t), \qquad y(t) = C\,h(t) .
// $$ {#eq:ode}
//
// Three numbers describe the bucket. $B$ says how far the tap opens for a given input and $C$ how
// the gauge on the side is marked. $A$ is the hole: with $A = -0.5$ the bucket loses water at a
// rate of half its level per unit of time. This equation, with vectors and matrices for the
// letters, is called a *state space model*. It is far older than language models; engineers
// describe circuits and aircraft with it.
//
// Now close the tap. What remains is $h' = A h$, and a quantity whose rate of change is
// proportional to itself is an exponential: $h(t) = e^{At} h(0)$. The sign of $A$ decides
// everything.
//
// - $A < 0$: what was poured in fades. The time until half of it is gone, $\ln 2 / |A|$, is always
//   the same, whether the bucket is full or nearly empty. It is the **half-life** of the memory.
// - $A = 0$: no hole. Nothing is ever lost, so nothing ever makes room: the level is the plain sum
//   of all inputs so far.
// - $A > 0$: the level feeds itself. It grows by the same factor in each unit of time, drowns
//   whatever comes in later, and in the end becomes infinity.
//
// ::: figure decay
// What is left of one impulse, for five rates $A$. Each curve takes the same time from any level to
// half of it.
// :::
//
// So a model that learns $A$ must be kept from learning a positive one. Mamba-2 stores a free
// number `A_log` and uses $A = -e^{\texttt{A\_log}}$, which is negative whatever the training does
// to `A_log`. @Chapter{selection} comes back to that.
//
// ## From a flow to steps {#state_space_discretization}
//
// Text does not flow; it comes token by token. To use @eqref{eq:ode} we pretend: token $x_t$ stands
// at the input and does not change for a time $\Delta$, the **step size**, then the next token
// takes its place. Within one step the input is constant, and then the equation can be solved
// exactly. Multiply it by $e^{-As}$, where $s$ is the time since the step began. The left side
// becomes the derivative of a product,
//
// $$
// \frac{d}{ds}\bigl(e^{-As} h(s)\bigr) = e^{-As}\,B\,x_t ,
// $$
//
// and both sides can be integrated over the step, from $s = 0$ to $s = \Delta$. With $h_{t-1}$ for
// the level before the step and $h_t$ for the level after it:
//
// $$
// h_t = \bar A\,h_{t-1} + \bar B\,x_t, \qquad
// \bar A = e^{\Delta A}, \qquad
// \bar B = \frac{e^{\Delta A} - 1}{A}\,B .
// $$ {#eq:zoh}
//
// The differential equation has become a recurrence: one multiplication and one addition for each
// token. A bar marks the numbers that belong to the steps. Engineers call this rule the *zero-order
// hold*: the input is held, as a polynomial of order zero.
//
// Here it is. mamba2::Discretized has the two numbers, for $B = 1$.

template <class Real>
Discretized<Real> discretize_zero_order_hold(Real A, Real dt) {
  return {std::exp(dt * A), A == 0 ? dt : std::expm1(dt * A) / A};
}

// Two details. For $A = 0$ the quotient would be $0/0$; its limit is $\Delta$, which is right: a
// bucket without a hole collects what flows for the time that it flows. And the subtraction in
// $e^{\Delta A} - 1$ is left to `std::expm1`. When $\Delta A$ is tiny, $e^{\Delta A}$ is so near to
// 1 that rounding it to a `float` throws most of its digits away, and subtracting the 1 afterwards
// shows what is left: noise. `expm1` computes the difference without ever forming the 1. The same
// accident, on a larger scale, is at the centre of the next chapter.
//
// Exact is not the only choice. The oldest way to take a step is **Euler's**: look at the rate of
// change at the beginning of the step and pretend that it stays the same until the end,
//
// $$
// h_t = h_{t-1} + \Delta\,(A\,h_{t-1} + B\,x_t), \qquad
// \bar A = 1 + \Delta A, \qquad
// \bar B = \Delta B .
// $$ {#eq:euler}
//
// For small steps that is nearly right. For large ones it is not: once $\Delta |A| > 1$ the factor
// on the old state is negative, and a memory that ought to fade flips its sign at each step; beyond
// $\Delta |A| = 2$ it grows.
//
// ::: figure hold
// A staircase as the input (grey) of a bucket with $\Delta A = -1.5$, a coarse step. The zero-order
// hold lies on the exact solution; Euler's rule overshoots and swings; Mamba-2's rule, of which the
// next section tells, fades as it should but on another scale.
// :::
//
// ## Why Mamba-2 takes ΔB {#state_space_mamba2_step}
//
// Mamba-2 takes one half from each: $\bar A$ from the zero-order hold, $\bar B$ from Euler.

template <class Real>
Discretized<Real> discretize_mamba2(Real A, Real dt) {
  return {std::exp(dt * A), dt};
}

// That looks careless, and many readers of the reference code have asked whether it is a mistake:
// the Mamba-1 paper states the full zero-order hold [@gu2023], while the code multiplies by
// $\Delta$. It is deliberate. One of the authors has
// [answered](https://github.com/state-spaces/mamba/issues/114) that it makes the implementation
// simpler and does not change results in practice. Here is what lies behind such an answer.
//
// **It is the first term.** Expand the exact weight of the input in powers of the step:
//
// $$
// \frac{e^{\Delta A} - 1}{A} = \Delta \left( 1 + \frac{\Delta A}{2} + \frac{(\Delta A)^2}{6} + \cdots \right)
//  = \Delta + O(\Delta^2) .
// $$ {#eq:series}
//
// Where steps are short against the half-life, both are the same for all that matters. The
// chapter's program prints them for $A = -1$:
//
// @output discretization
//
// Each line has a quarter of the step of the line above, and the shorter the steps are, the closer
// the error of $\bar B$ comes to falling to a sixteenth each time: that is what $O(\Delta^2)$
// means. The columns for $\bar A$ show why the other half is *not* taken from Euler: at
// $\Delta = 4$ the exact factor is a small positive number, Euler's is far below $-1$, and a state
// multiplied by that at each step explodes. $\bar A = e^{\Delta A}$ lies between 0 and 1 for every
// positive $\Delta$ and every negative $A$.
//
// **The rest can be learned.** In a bucket made of steel, $B$ is given and $\bar B$ has to be
// computed. In Mamba-2 there is no bucket. Nobody measures a continuous signal; $\Delta$ and $B$
// both come out of layers that are trained, and only the product $\bar B$ ever touches the state.
// If training needs it a third smaller, it makes $B$ a third smaller. To be exact about this claim:
// the missing factor $(e^{\Delta A} - 1) / (\Delta A)$ depends on $\Delta$, and $\Delta$ changes
// from token to token, so no *fixed* rescaling of $B$ makes up for it, and the two rules are not
// the same family of functions with other names. But both are smooth, positive and growing in
// $\Delta$, one is not more true than the other where there is no truth to approximate, and the
// layer that makes $B$ sees the same token as the one that makes $\Delta$.
//
// ::: figure gain
// The weight of a new token (solid) and of the old state (dashed) against the step size. Under the
// zero-order hold the two weights sum to one for $A = -1$, and the state is an average; under
// Mamba-2's rule a long step can write more than it erases.
// :::
//
// **It makes the model simpler.** With $\bar B_t = \Delta_t B$ the step size is a plain number in
// front, and it does not matter whether it stands by $B$ or by $x$:
//
// $$
// h_t = e^{\Delta_t A}\,h_{t-1} + B\,(\Delta_t\,x_t) .
// $$ {#eq:step}
//
// Now $\Delta_t$ can be dealt with before anything else happens. Multiply the inputs by it once,
// multiply $A$ by it once, and from there on no $\Delta$ is left in any formula. From
// @chapter{semiseparable} on the book does this: a function that takes `X` and `dA` expects
// $\Delta_t x_t$ and $\Delta_t A$.[^names] If you wonder on reading some implementation why `dt`
// appears twice, that is why.
//
// [^names]: The reference's scan uses `dA` in this sense, too, but its function for a single token
// calls the factor $e^{\Delta A}$ by the same name. Look for the exponential before you trust a
// name.
//
// ::: keyidea
// One number $\Delta_t > 0$ sets both halves of the update. A large $\Delta_t$ erases the old state
// and writes the token in bold strokes; as $\Delta_t \to 0$, $\bar A \to 1$ and $\bar B \to 0$, and
// the token passes without leaving a trace. A model that computes $\Delta_t$ from the token itself
// can therefore *select* what it remembers.
// :::
//
// That is the step from older state space models, whose numbers are the same at each step, to the
// *selective* ones: $\bar A_t$, $\bar B_t$ and $C_t$ carry an index $t$. How they are computed from
// the token is the subject of @chapter{selection}; until then they are simply given. How long such
// a memory can be, the program shows for the extremes with which training starts ($A$ between $-1$
// and $-16$, $\Delta$ between 0.001 and 0.1):
//
// @output half_life
//
// A fresh layer has heads that hold a token for hundreds of steps beside heads that drop it after
// the next one.
//
// ## Many numbers {#state_space_layout}
//
// One number is not much of a memory. A Mamba-2 head has $P \cdot N$ of them, and it gets there in
// two moves.
//
// *First, $N$ numbers for one channel.* Let the state be a row of $N$ buckets. A token brings a
// scalar $x_t$ to store and a vector $B_t$ of $N$ numbers that says how much of it goes into each
// bucket: where to write. To read, it brings a vector $C_t$, and the output is the sum of the
// levels weighted by $C_t$: where to read. Where this $C_t$ resembles the $B$ of an earlier token,
// what that token wrote comes back.
//
// All $N$ buckets have the same hole, one $\bar A_t$ for all of them. Is that not the same bucket
// $N$ times over? If $B$ and $C$ never changed, it would be. The output would depend on the levels
// through one weighted sum, that sum would itself be a bucket with this hole, and $N - 1$ of the
// numbers would be wasted. What makes them useful is that $B_t$ and $C_t$ change from token to
// token. They are not weights but *addresses*. Addresses at right angles do not disturb each other;
// others mix what they store; and no more than $N$ can all be at right angles. So $N$ is how many
// things a head can keep cleanly apart. If this reminds you of keys and queries, keep the thought
// until @chapter{duality}.
//
// *Second, $P$ channels.* The input is not a scalar but a vector of $P$ numbers. Give every channel
// a row of its own, and let all rows share $B_t$ and $C_t$. The state is then a matrix with $P$
// rows and $N$ columns. What channel $p$ adds to column $n$ is the product of the two, so the whole
// matrix gets an outer product:
//
// $$
// h_t = \bar A_t\,h_{t-1} + x_t\,\bar B_t^\top, \qquad y_t = h_t\,C_t .
// $$ {#eq:recurrence}
//
// ::: figure state
// One update and one reading of the state for $P = 3$, $N = 5$. The marked entry belongs to channel
// 1 and state 2, counted from 0: it shrinks by $\bar A_t$ and gains $x_{t,1} \bar B_{t,2}$.
// :::
//
// $\bar A_t$ is still one number: all entries of the head's state fade together. That is Mamba-2's
// peculiarity, and the fast algorithm of @chapter{chunked_scan} rests on it. In Mamba-1 each entry
// had a rate of its own; @chapter{selection} weighs what that costs and buys. A layer has many
// heads, each with its own $A$.
//
// ::: warning The layout of the state
// Channels are the rows, states the columns: $(P, N)$, in code `(headdim, d_state)`. Every
// function, cache and checkpoint of the book has it this way round, and so has the reference.
// Papers often write the transpose.
// :::
//
// ::: paper
// Equation 1 of [@dao2024] is the model with constant parameters, Equation 2 the selective one. The
// paper leaves out the bars: its $A_t$ and $B_t$ are our $\bar A_t$ and $\bar B_t$. It also writes
// one channel at a time, $h_t = A_t h_{t-1} + B_t x_t$ and $y_t = C_t^\top h_t$ with a column
// $h_t \in \R^N$: one row of our matrix, turned upright.
// :::
//
// ## The scan is a loop {#state_space_scan}
//
// @eqref{eq:recurrence}, typed in as it stands. The state begins at zero, the loop over $t$ runs
// from the first token to the last, and inside it every entry of the state is shrunk, added to and
// read.

template <class Real>
static void check_model(const Tensor<Real, 1>& A_bar, const Tensor<Real, 2>& B_bar,
                        const Tensor<Real, 2>& C, std::size_t seqlen);

template <class Real>
Tensor<Real, 2> ssm_recurrent(const Tensor<Real, 2>& x, const Tensor<Real, 1>& A_bar,
                              const Tensor<Real, 2>& B_bar, const Tensor<Real, 2>& C) {
  const std::size_t T = x.shape(0), P = x.shape(1), N = B_bar.shape(1);
  check_model(A_bar, B_bar, C, T);
  auto h = zeros<Real>(P, N);  // (headdim, d_state)
  auto y = zeros<Real>(T, P);  // (seqlen, headdim)
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t p = 0; p < P; ++p)
      for (std::size_t n = 0; n < N; ++n) {
        h(p, n) = A_bar(t) * h(p, n) + x(t, p) * B_bar(t, n);
        y(t, p) += h(p, n) * C(t, n);
      }
  return y;
}

// This is the whole model. (The line `check_model` refuses shapes that do not fit; it stands at the
// end of the chapter's code.) Note the order of the two inner lines: a token is written before it
// is read, so $y_t$ contains $x_t$. Note also what the loop does not do: it never looks at an
// earlier token. All it knows of the past is in $h$.
//
// Such a loop is called a *scan*.[^scan] Its weakness lies in how it uses a machine. There is work
// enough in each step, since the $N P$ entries do not wait for each other; but step $t$ has to wait
// for step $t - 1$. And every number that the loop fetches, a decay, an entry of $B$ or of $C$,
// serves a handful of operations before the next is needed. Processors reach their full speed only
// where each number is used many times, in products of matrices, and @chapter{duality} measures how
// much is lost otherwise. To find products of matrices we need to see all steps together.
//
// [^scan]: The operations of a scan can be regrouped into a tree of about $\log_2 T$ levels
// [@blelloch1990], and Mamba-1 computes it that way. @Chapter{chunked_scan} has the operator that
// such a tree needs.
//
// ## Two buckets, six tokens {#state_space_example}
//
// Here is the example that stays with us. There are two buckets, *a* and *b*, each of which loses
// half of what is in it in one unit of time, so $A = -\ln 2$. Every token names a bucket. Three of
// the tokens pour: they open a tap by $x_t$ for a time $\Delta_t$. The other three only look how
// much is there, and looking takes no time at all.
//
// @quote src/demo/six_tokens.hpp#six_tokens
//
// One channel, two states. A bucket's name is its address: *a* is $(1, 0)$, *b* is $(0, 1)$, and a
// token reads the bucket that it names. The program hands the six tokens to the loop:
//
// @output buckets
//
// Follow it with a pencil. The first token leaves 8 in *a*. The second takes one unit of time, in
// which *a* halves, and leaves 12 in *b*. Looking, with $\Delta = 0$, multiplies by $e^0 = 1$ and
// adds nothing. The fourth token opens the tap by no more than 3, but for two units of time: 6 come
// in, and meanwhile both buckets fall to a quarter, *b* too, although it was not named. That is
// what one rate for all means, and what @figref{buckets} draws.
//
// ::: figure buckets
// The two levels over time. What a token pours is added at the end of its step, as Mamba-2's rule
// has it. Circles are looks.
// :::
//
// ## Unrolled, the loop is a matrix {#state_space_matrix}
//
// Follow one channel for three steps, from a state of zeros, replacing each state by what it is
// made of:
//
// $$
// \begin{aligned}
// h_0 &= \bar B_0 x_0
// \\ h_1 &= \bar A_1 \bar B_0 x_0 + \bar B_1 x_1
// \\ h_2 &= \bar A_2 \bar A_1 \bar B_0 x_0 + \bar A_2 \bar B_1 x_1 + \bar B_2 x_2 .
// \end{aligned}
// $$
//
// The pattern: an input $x_j$ enters through its own $\bar B_j$, and is shrunk by the $\bar A$ of
// every *later* step up to the present one. Its own $\bar A_j$ does not touch it, because the
// shrinking comes before the adding. Multiply by $C_i$ to read, and each output is a sum over the
// inputs with known weights. All outputs together are a matrix times the inputs:
//
// $$
// \begin{pmatrix} y_0 \\[4pt] y_1 \\[4pt] y_2 \end{pmatrix} =
// \begin{pmatrix}
// C_0^\top \bar B_0 & &
// \\[4pt] C_1^\top \bar A_1 \bar B_0 & C_1^\top \bar B_1 &
// \\[4pt] C_2^\top \bar A_2 \bar A_1 \bar B_0 & C_2^\top \bar A_2 \bar B_1 & C_2^\top \bar B_2
// \end{pmatrix}
// \begin{pmatrix} x_0 \\[4pt] x_1 \\[4pt] x_2 \end{pmatrix} .
// $$
//
// In general, $y = M x$ with
//
// $$
// M_{ij} = C_i^\top\,\bar A_i\,\bar A_{i-1} \cdots \bar A_{j+1}\,\bar B_j \quad (j \le i), \qquad
// M_{ij} = 0 \quad (j > i) .
// $$ {#eq:matrix}
//
// The zeros above the diagonal say that no output depends on a later input: the model is *causal*.
// The empty product on the diagonal is 1. $\bar A_0$ appears nowhere, since all that it could
// shrink is a state of zeros. And since every channel uses the same $\bar A$, $\bar B$ and $C$, one
// matrix serves all $P$ of them.
//
// ::: paper
// This is Equation 3 of [@dao2024]; there the $A$ are matrices, and the order of the product
// matters. Here they are numbers, and the decay and the product $C_i^\top \bar B_j$ can be pulled
// apart: $M_{ij} = (C_i^\top \bar B_j) \cdot \bar A_i \cdots \bar A_{j+1}$. Nearly all of Part I
// comes from that separation.
// :::
//
// To write $M$ down, walk down each column. On the diagonal the product of decays is empty; each
// further row brings one more factor.

template <class Real>
Tensor<Real, 2> ssm_matrix(const Tensor<Real, 1>& A_bar, const Tensor<Real, 2>& B_bar,
                           const Tensor<Real, 2>& C) {
  const std::size_t T = A_bar.shape(0), N = B_bar.shape(1);
  check_model(A_bar, B_bar, C, T);
  auto M = zeros<Real>(T, T);  // (seqlen, seqlen)
  for (std::size_t j = 0; j < T; ++j) {
    Real decay = 1;  // A_bar_i ... A_bar_{j+1}: nothing to multiply on the diagonal
    for (std::size_t i = j; i < T; ++i) {
      if (i > j) decay *= A_bar(i);
      Real CB = 0;
      for (std::size_t n = 0; n < N; ++n) CB += C(i, n) * B_bar(j, n);
      M(i, j) = CB * decay;
    }
  }
  return M;
}

// For the six tokens, each row and column named by its token:
//
// @output matrix
//
// Read a row from right to left, and you see how much of the latest token, the one before it, the
// one before that is in the output. There is a zero wherever two tokens name different buckets. The
// fourth token is the one that takes its time: in its row, and in all rows below, everything to the
// left of column 3 has fallen to a quarter. What the last look sees is its row times the six inputs
// $\Delta x$: an eighth of the 8 poured first, and all of the 6 poured last. (The columns of the
// looks are multiplied by 0. They stand there because the matrix knows addresses and decays only,
// not what was poured.)
//
// ::: figure matrices
// $M$ for 32 steps and four states, with the same $B$ and $C$ under three kinds of decay (blue:
// positive, red: negative). Without decay every token reaches every later one. With the same decay
// everywhere only a band along the diagonal is left. If the decay depends on the step, the model
// can cut the sequence where it likes: here at steps 11 and 22.
// :::
//
// The **quadratic form** of the model is to write down the matrix and multiply. Its name says what
// is wrong with it: the matrix has $T^2$ entries. What is right with it takes two more chapters to
// show.

template <class Real>
Tensor<Real, 2> ssm_quadratic(const Tensor<Real, 2>& x, const Tensor<Real, 1>& A_bar,
                              const Tensor<Real, 2>& B_bar, const Tensor<Real, 2>& C) {
  const std::size_t T = x.shape(0), P = x.shape(1);
  check_model(A_bar, B_bar, C, T);
  const Tensor<Real, 2> M = ssm_matrix(A_bar, B_bar, C);  // (seqlen, seqlen)
  auto y = zeros<Real>(T, P);                             // (seqlen, headdim)
  for (std::size_t i = 0; i < T; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      for (std::size_t p = 0; p < P; ++p) y(i, p) += M(i, j) * x(j, p);
  return y;
}

// Here the steps no longer wait for each other. Any entry of $M$ and any row of $y$ can be computed
// first.
//
// ## Parameters that stand still {#state_space_convolution}
//
// Suppose now that $\bar A$, $\bar B$ and $C$ are the same at every step. Then the product in
// @eqref{eq:matrix} has $i - j$ equal factors,
//
// $$
// M_{ij} = C^\top \bar A^{\,i-j}\,\bar B ,
// $$
//
// and an entry depends only on how far apart $i$ and $j$ are, not on where they lie. All entries on
// a diagonal of $M$ are equal, and there is no need to write down $T^2$ of them. $T$ are enough,
// one for each distance: the **kernel**
//
// $$
// K_k = C^\top \bar A^{\,k}\,\bar B, \qquad y_t = \sum_{k=0}^{t} K_k\,x_{t-k} .
// $$ {#eq:convolution}
//
// The sum is a causal convolution. $K$ is also what you see at the output after a single impulse at
// the input.

template <class Real>
Tensor<Real, 1> ssm_kernel(Real A_bar, const Tensor<Real, 1>& B_bar, const Tensor<Real, 1>& C,
                           std::size_t seqlen) {
  const std::size_t N = B_bar.shape(0);
  require_shape("C", C, {N}, "(d_state)");
  Real CB = 0;
  for (std::size_t n = 0; n < N; ++n) CB += C(n) * B_bar(n);
  auto K = zeros<Real>(seqlen);  // (seqlen)
  Real decay = 1;
  for (std::size_t k = 0; k < seqlen; ++k) {
    K(k) = CB * decay;
    decay *= A_bar;
  }
  return K;
}

template <class Real>
Tensor<Real, 2> causal_convolution(const Tensor<Real, 2>& x, const Tensor<Real, 1>& K) {
  const std::size_t T = x.shape(0), P = x.shape(1);
  require_shape("K", K, {T}, "(seqlen)");
  auto y = zeros<Real>(T, P);  // (seqlen, headdim)
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t k = 0; k <= t; ++k)
      for (std::size_t p = 0; p < P; ++p) y(t, p) += K(k) * x(t - k, p);
  return y;
}

// The direct sum is again quadratic in $T$, but a convolution has a famous shortcut: the fast
// Fourier transform does it in $O(T \log T)$, all steps at once. The state space models before
// Mamba, S4 and its kin, were trained that way [@gu2022]. The price is in the first word of this
// section: *suppose*. A kernel cannot follow parameters that depend on the token. With selection
// the convolution is gone, and something else must take its place.
//
// ## What each form costs {#state_space_cost}
//
// For one head, in multiplications, leaving out what is small against the rest:
//
// | form | multiplications | numbers kept | steps that wait for each other | parameters may change |
// |:--|:--|:--|:--|:--|
// | loop | $3\,T N P$ | $N P$ | $T$ | yes |
// | matrix | $\tfrac12 T^2 (N + P)$ | $T^2$ | none | yes |
// | convolution, direct | $\tfrac12 T^2 P$ | $T$ | none | no |
//
// The loop multiplies three times for each of the $N P$ entries at each step: to shrink, to add, to
// read. The matrix has $T^2 / 2$ entries on and below its diagonal, and each needs $N$
// multiplications to be made and $P$ to be used.[^madd] With the sizes of Mamba-2's published
// models, $N = 128$ and $P = 64$, the program counts:
//
// [^madd]: Nearly every one of them comes with an addition, and processors do the two at once, as a
// *multiply-add*. Costs in this book count multiplications, and call them by that name.
//
// @output cost
//
// For short sequences the matrix is even cheaper. For long ones it is hopeless, and its memory is
// worse than its time. The state of the loop stays the same at every length.
//
// So we have a form that is cheap but has to wait, and one that need not wait but is not cheap.
// Attention has the second problem, recurrent networks the first. The point of Mamba-2 is that, for
// this model, there is a form in between that has neither, and the next three chapters build it.
//
// What is left is the check that all functions share. A wrong shape is refused at the door, with a
// message that names the argument; mamba2::require_shape throws it.

template <class Real>
static void check_model(const Tensor<Real, 1>& A_bar, const Tensor<Real, 2>& B_bar,
                        const Tensor<Real, 2>& C, std::size_t seqlen) {
  const std::size_t d_state = B_bar.shape(1);
  require_shape("A_bar", A_bar, {seqlen}, "(seqlen)");
  require_shape("B_bar", B_bar, {seqlen, d_state}, "(seqlen, d_state)");
  require_shape("C", C, {seqlen, d_state}, "(seqlen, d_state)");
}

// The functions above are templates, and are compiled here for `float` and for `double`. Every
// chapter ends its code with such a list.

#define MAMBA2_INSTANTIATE(Real)                                                            \
  template Discretized<Real> discretize_zero_order_hold(Real, Real);                        \
  template Discretized<Real> discretize_mamba2(Real, Real);                                 \
  template Tensor<Real, 2> ssm_recurrent(const Tensor<Real, 2>&, const Tensor<Real, 1>&,    \
                                         const Tensor<Real, 2>&, const Tensor<Real, 2>&);   \
  template Tensor<Real, 2> ssm_matrix(const Tensor<Real, 1>&, const Tensor<Real, 2>&,       \
                                      const Tensor<Real, 2>&);                              \
  template Tensor<Real, 2> ssm_quadratic(const Tensor<Real, 2>&, const Tensor<Real, 1>&,    \
                                         const Tensor<Real, 2>&, const Tensor<Real, 2>&);   \
  template Tensor<Real, 1> ssm_kernel(Real, const Tensor<Real, 1>&, const Tensor<Real, 1>&, \
                                      std::size_t);                                         \
  template Tensor<Real, 2> causal_convolution(const Tensor<Real, 2>&, const Tensor<Real, 1>&);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
