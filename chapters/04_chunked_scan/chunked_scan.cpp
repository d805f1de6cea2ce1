// # The chunked scan {#ch_chunked_scan}
// @summary Attention inside a chunk, the recurrence between chunks: linear work, and nearly all of it matrix products.
//
// We have two ways to compute the same thing, and each lacks what the other has. The recurrence
// does little work, but none of it is a product of matrices: each number is fetched, used a few
// times and put away, and the machine never gets near what it can do. The quadratic mode keeps the
// machine at its best, with work that for the most part need not be done.
//
// The way out is simple to say. Cut the sequence into **chunks** of $Q$ tokens, 64 for instance.
// *Inside* a chunk use attention: a square of 64 by 64 is small, and made of matrix products.
// *Between* chunks use the recurrence: one step for each chunk, not for each token, carries a state
// from one to the next. The work grows with the length and not with its square, and nearly all of
// it turns out to be matrix products.
//
// Chunks were not Mamba-2's invention: RetNet [@sun2023] and GLA [@yang2024] are computed in them,
// too. But Mamba-2 was designed around this algorithm, which takes some sixty lines. To see where
// they come from we go back to the matrix.
//
// ## What it builds on {#chunked_scan_builds_on}
//
// From @chapter{duality} the quadratic mode, mamba2::MatrixRef and multiply(). From
// @chapter{semiseparable} that a block of the matrix below the diagonal falls apart into a left and
// a right factor. As before, `X` holds $\Delta_t x_t$ and `dA` holds $\Delta_t A$.
//
// ## Shapes {#chunked_scan_shapes}
//
// ::: shapes
// | symbol | in code | whole | chunk | what it is |
// |:--|:--|:--|:--|:--|
// | $X$ | `X` | $(T, P)$ | $(Q, P)$ | inputs times their step size |
// | $B$ | `B` | $(T, N)$ | $(Q, N)$ | how an input enters the state |
// | $C$ | `C` | $(T, N)$ | $(Q, N)$ | how the state is read |
// | $\Delta A$ | `dA` | $(T)$ | $(Q)$ | log-decay of each step |
// | $h$ | `state` | | $(P, N)$ | the state before a chunk; once passed on, after it |
// | $\hat h$ | `own` | | $(P, N)$ | what a chunk adds to the state |
// | $Y$ | `Y` | $(T, P)$ | $(Q, P)$ | outputs |
//
// $Q$ is `chunk_size`. The last chunk may be shorter, so the number of tokens that a chunk really
// has is called `length`.
// :::

#include <mamba2/chunked_scan.hpp>
#include <mamba2/error.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mamba2 {

// ## Cutting the matrix {#chunked_scan_cutting}
//
// Cut $M$ into blocks of $Q \times Q$. Above the diagonal all is zero. That leaves two kinds of
// blocks.
//
// **On the diagonal** sits a chunk talking to itself. Rows and columns are the same $Q$ tokens, and
// the block is the whole matrix of a shorter sequence. Nothing new is needed for it: the quadratic
// mode does it, at the cost of a sequence of length $Q$.
//
// **Off the diagonal** later tokens look back at a chunk that is over. Take column $j$ in one chunk
// and row $i$ in a later one. Let $e$ be the last step of the earlier chunk and $s$ the first step
// of the later. The decay between the two tokens has in its exponent a sum over the steps
// $j + 1, \dots, i$, and those fall into three stretches: the rest of the earlier chunk, whole
// chunks in between, the beginning of the later one.
//
// $$
// \begin{aligned}
// \Delta_{j+1} A + \dots + \Delta_i A &= r_j + z + l_i
// \\ r_j &= \Delta_{j+1} A + \dots + \Delta_e A
// \\ z &= \Delta_{e+1} A + \dots + \Delta_{s-1} A
// \\ l_i &= \Delta_s A + \dots + \Delta_i A .
// \end{aligned}
// $$ {#eq:three_stretches}
//
// The first stretch depends on $j$ alone, the last on $i$ alone, and the middle one on neither,
// only on which two chunks they are. The exponential turns the sum into a product, and so every
// entry of the block falls apart:
//
// $$
// \begin{aligned}
// M_{ij} &= C_i^\top B_j\; e^{\,l_i + z + r_j}
// \\ &= \bigl(\underbrace{e^{l_i}\, C_i}_{\text{left}}\bigr)^{\!\top} \,\underbrace{e^{z}}_{\text{centre}}\;
// \bigl(\underbrace{e^{r_j}\, B_j}_{\text{right}}\bigr) .
// \end{aligned}
// $$ {#eq:block_factors}
//
// For the whole block, that is a matrix of $Q \times N$, a number, and a matrix of $N \times Q$.
// Beware of expecting too much of one block. With $Q = 64$ and $N = 128$ its two factors have four
// times as many entries as the block itself, whose rank is 64, all that it can have. The low rank
// of @chapter{semiseparable} belongs to the block below a cut, all later tokens by all earlier
// ones, which is long on both sides. For the small blocks the gain is that the factors are *few*.
// All blocks of one block row share the same left factor. All blocks of one block column share the
// same right factor. Only the centre differs, and that is a single number.
//
// ::: figure blocks
// The matrix of sixteen tokens in chunks of four; the stronger a square, the larger the entry.
// Blocks on the diagonal are small attentions. Each block below is a product of a left factor, a
// number and a right factor, shown for the one that is outlined ($N = 2$).
// :::
//
// ## Four colours {#chunked_scan_steps}
//
// Now let the factors act on $X$ one after the other, the right one first. It meets the inputs of
// its chunk and sums over them: $\hat h = \sum_j X_j\,(e^{r_j} B_j)^\top$. That is a matrix of
// $P \times N$, and we know it: it is the state that this chunk would leave behind if it were the
// first. The centres fade such states on their way over the chunks between. The left factor reads
// what arrives. So between the chunks sits the recurrence of @chapter{state_space}, with whole
// chunks for tokens.
//
// ::: figure flow
// The four steps. Amber: the diagonal block, from the inputs of a chunk straight to its outputs.
// Green: what the chunk adds to the state. Purple: the state passed from chunk to chunk. Blue: what
// the state before the chunk adds to the outputs.
// :::
//
// | step | function | reads, of the chunk | makes |
// |:--|:--|:--|:--|
// | 1 amber | diagonal_block() | $X$, $B$, $C$ | $Y$ |
// | 2 green | chunk_state() | $X$, $B$ | own state |
// | 3 purple | pass_state() | own state, state before | state after |
// | 4 blue | state_to_output() | $C$, state before | adds to $Y$ |
//
// (All of them read the decays, too.)
//
// Steps 1, 2 and 4 know nothing of other chunks, so they can be done for all chunks at once. Only
// step 3 has to go in order, and it has little to do.
//
// ::: keyidea
// A chunk's outputs are what its own tokens say to each other, plus what the state before it says
// to each of them. A state of fixed size is all that a chunk has to know of the past.
// :::
//
// ::: paper
// Section 6 of [@dao2024]: the block decomposition in 6.1 to 6.2, the cost in 6.3 and Theorem 6.1,
// with a figure in four colours that these follow in spirit.
// :::
//
// ## Six tokens by hand {#chunked_scan_by_hand}
//
// Before the code, the six tokens once more, in three chunks of two. Their matrix in its blocks:
//
// @output matrix
//
// And the four steps. A chunk has two numbers in each line: for its two tokens in the lines of $X$
// and of steps 1 and 4, for the two buckets in those of steps 2 and 3.
//
// @output steps
//
// The first chunk pours twice and has nothing before it, so all that it puts out comes from its
// diagonal block. Its own state is what is left in the buckets at its end, 4 and 12. The second
// chunk looks into *a*, which only the state can answer, and pours 6 in. Over the chunk the old
// levels fade to a quarter, its own 6 is added, and 7 and 3 go on. The last chunk pours nothing:
// its diagonal block and its own state are zero, and all that it says comes through the state. Step
// 1 plus step 4 is the output, and the recurrence agrees:
//
// @output sum
//
// ## Step 1, the diagonal block {#chunked_scan_diagonal}
//
// $Y = (L \circ C B^\top) X$ for the tokens of one chunk: @chapter{duality}, word for word. Rows of
// a tensor are a matrix whose stride is the tensor's, so a chunk needs no copy.

template <class Real>
void diagonal_block(ReadMatrix<Real> X, ReadSpan<Real> dA, ReadMatrix<Real> B, ReadMatrix<Real> C,
                    MatrixRef<Real> Y) {
  dual_quadratic<Real>(X, dA, B, C, Y);
}

// ## Step 2, the right factor {#chunked_scan_right}
//
// How much of token $j$ is left at the end of its chunk? The decays of all later steps have been at
// it, $r_j = \Delta_{j+1} A + \dots + \Delta_{\text{last}} A$. The sums are taken from the end
// backwards. Mind the order of the two lines: a token's own decay is not in its sum, so the factor
// is taken before the decay is added. The last token is left whole.[^double]
//
// [^double]: The sums are doubles, whatever `Real` is. Of a head that forgets next to nothing, a
// sum of many tiny numbers is all there is; @chapter{real_sequences} comes back to it.

template <class Real>
Tensor<Real, 1> decay_to_end(std::span<const Real> dA) {
  auto decay = zeros<Real>(dA.size());
  double sum = 0;  // dA[j+1] + ... + dA[last]
  for (std::size_t j = dA.size(); j-- > 0;) {
    decay(j) = static_cast<Real>(std::exp(sum));
    sum += dA[j];
  }
  return decay;
}

// Now scale the inputs and multiply, $\hat h = \sum_j (e^{r_j} X_j)\, B_j^\top$, which as one
// matrix product is $(\text{scaled } X)^\top B$. The formula has the decay at $B_j$, the code has
// it at $X_j$. The product is the same, and $P$ is usually smaller than $N$.

template <class Real>
Tensor<Real, 2> scale_rows(const Tensor<Real, 1>& factor, ReadMatrix<Real> m) {
  auto scaled = zeros<Real>(m.rows, m.columns);
  for (std::size_t i = 0; i < m.rows; ++i)
    for (std::size_t k = 0; k < m.columns; ++k) scaled(i, k) = factor(i) * m[i][k];
  return scaled;
}

template <class Real>
void chunk_state(ReadMatrix<Real> X, ReadSpan<Real> dA, ReadMatrix<Real> B, MatrixRef<Real> own) {
  require_length("dA", dA, X.rows, "(length)");
  const Tensor<Real, 2> X_left = scale_rows<Real>(decay_to_end(dA), X);  // (length, headdim)
  multiply<Real>(transpose(as_matrix(X_left)), B, /* beta = */ 0, own);
}

// ## Step 3, the centre {#chunked_scan_centre}
//
// Over one chunk the old state fades by all of the chunk's decays together, and the chunk's own
// state is added. This is the recurrence again, $h \leftarrow e^{\text{sum}} h + \hat h$, where a
// whole chunk counts for one step.

template <class Real>
void pass_state(ReadSpan<Real> dA, ReadMatrix<Real> own, MatrixRef<Real> state) {
  require_size("own", own, {state.rows, state.columns}, "(headdim, d_state)");
  const double decay = std::exp(std::accumulate(dA.begin(), dA.end(), 0.0));
  for (std::size_t p = 0; p < state.rows; ++p)
    for (std::size_t n = 0; n < state.columns; ++n)
      state[p][n] = static_cast<Real>(decay * state[p][n] + own[p][n]);
}

// ## Step 4, the left factor {#chunked_scan_left}
//
// Token $i$ reads the state from before the chunk, which by then has faded by
// $l_i = \Delta_{\text{first}} A + \dots + \Delta_i A$. Here token $i$'s own decay *is* included,
// unlike in step 2, since the state is shrunk before token $i$ reads it. So the decay is added
// first, and then the factor is taken. Whoever gets one of these two loops wrong gets outputs that
// look right and are not.

template <class Real>
Tensor<Real, 1> decay_from_start(std::span<const Real> dA) {
  auto decay = zeros<Real>(dA.size());
  double sum = 0;  // dA[0] + ... + dA[i]
  for (std::size_t i = 0; i < dA.size(); ++i) {
    sum += dA[i];
    decay(i) = static_cast<Real>(std::exp(sum));
  }
  return decay;
}

// $Y_i \mathrel{+}= e^{l_i}\, h\, C_i$, for all $i$ at once. The result is added to what step 1 has
// left in $Y$: that is what multiply()'s `beta = 1` is for.

template <class Real>
void state_to_output(ReadSpan<Real> dA, ReadMatrix<Real> C, ReadMatrix<Real> state, MatrixRef<Real> Y) {
  require_length("dA", dA, C.rows, "(length)");
  const Tensor<Real, 2> C_faded = scale_rows<Real>(decay_from_start(dA), C);  // (length, d_state)
  multiply<Real>(as_matrix(C_faded), transpose(state), /* beta = */ 1, Y);
}

// ## All together {#chunked_scan_together}
//
// Chunk after chunk, with one running state. Step 4 stands before steps 2 and 3, since it needs the
// state from *before* the chunk.

template <class Real>
Tensor<Real, 2> chunked_scan(const Tensor<Real, 2>& X, const Tensor<Real, 1>& dA,
                             const Tensor<Real, 2>& B, const Tensor<Real, 2>& C,
                             std::size_t chunk_size) {
  const std::size_t seqlen = X.shape(0), headdim = X.shape(1), d_state = B.shape(1);
  require(chunk_size > 0, "chunk_size", "at least 1", "0");
  require_shape("dA", dA, {seqlen}, "(seqlen)");
  require_shape("B", B, {seqlen, d_state}, "(seqlen, d_state)");
  require_shape("C", C, {seqlen, d_state}, "(seqlen, d_state)");

  auto Y = zeros<Real>(seqlen, headdim);
  auto state = zeros<Real>(headdim, d_state);  // before the chunk
  auto own = zeros<Real>(headdim, d_state);    // what the chunk adds
  for (std::size_t first = 0; first < seqlen; first += chunk_size) {
    const std::size_t length = std::min(chunk_size, seqlen - first);
    const auto chunk = [=](auto matrix) { return row_block(matrix, first, length); };
    const std::span<const Real> dA_chunk = as_span(dA).subspan(first, length);
    const MatrixRef<const Real> X_chunk = chunk(as_matrix(X)), B_chunk = chunk(as_matrix(B)),
                                C_chunk = chunk(as_matrix(C));
    const MatrixRef<Real> Y_chunk = chunk(as_matrix(Y));
    diagonal_block<Real>(X_chunk, dA_chunk, B_chunk, C_chunk, Y_chunk);
    state_to_output<Real>(dA_chunk, C_chunk, as_matrix(state), Y_chunk);
    chunk_state<Real>(X_chunk, dA_chunk, B_chunk, as_matrix(own));
    pass_state<Real>(dA_chunk, as_matrix(own), as_matrix(state));
  }
  return Y;
}

// That is the heart of Mamba-2. For one head; @chapter{real_sequences} puts it into batches, heads
// and groups and gives it a state to begin with.
//
// **Any length will do.** The last chunk takes the tokens that are left, be it one. Nothing in
// @eqref{eq:block_factors} asks for chunks of equal length.[^pad]
//
// [^pad]: Many implementations, small ones above all [@mamba2_minimal], insist on a multiple of the
// chunk size, because they reshape the time axis from $T$ into $(T / Q, Q)$, and a rectangle has no
// ragged edge. @Chapter{real_sequences} says how to pad for those.
//
// ## Beside Listing 1 {#chunked_scan_listing}
//
// The paper has the algorithm in thirty lines of PyTorch, and much code in the world descends from
// them. This is how they go together with ours:
//
// | step | here | in Listing 1 |
// |:--|:--|:--|
// | 1 | diagonal_block(), with mask_scores() | `L`, `Y_diag` |
// | 2 | decay_to_end(), then chunk_state() | `decay_states`, `states` |
// | 3 | pass_state(), once for each chunk | `decay_chunk`, `new_states` |
// | 4 | decay_from_start(), then state_to_output() | `state_decay_out`, `Y_off` |
//
// In steps 1, 2 and 4 the listing differs only in taking all chunks, heads and sequences at once,
// by `einsum` over tensors whose time axis has become two. Step 3 is another matter. There is no
// recurrence in it. `decay_chunk` holds the exponentials of segment sums over whole chunks, a mask
// of decays from any chunk to any later one, and `new_states` is that mask times the chunks' own
// states. It is the quadratic mode of @chapter{duality}, used a second time, with chunks for
// tokens. For a few dozen chunks that is as good as a loop. But it is quadratic in $T / Q$, and for
// very long sequences it shows.
//
// ## One after the other, or all at once {#chunked_scan_associative}
//
// So there are two ways to do step 3. There is a third, and it is worth knowing, for it is how
// recurrences are computed in parallel in general.
//
// To pass over a chunk is to fade and to add: $h \mapsto a\,h + \hat h$, with a number $a$ and a
// matrix $\hat h$. Pass over two chunks, and you have faded and added again, since $a' (a\,h + \hat
// h) + \hat h' = (a' a)\,h + (a' \hat h + \hat h')$. Two chunks can be made into one, before any
// state has arrived:
//
// $$
// (a, \hat h) \circ (a', \hat h') = (a\,a',\; a'\,\hat h + \hat h') .
// $$ {#eq:combine}
//
// The operator is *associative*: of three chunks one may join the first two first, or the last two.
// The three chunks of the example, both ways:
//
// @output associative
//
// What is associative can be done as a tree. Join neighbours in pairs, all pairs at the same time,
// then the pairs in pairs; after $\log_2$ of the number of chunks there is one. The states at the
// borders in between take as many levels again. This is the **parallel scan**
// [@blelloch1990; @martin2018], and single tokens can be joined as well as chunks: Mamba-1 computes
// its whole recurrence so.
//
// Which way is taken where? On one core the order does not matter, and a running state is the
// shortest way to write it. A GPU has thousands of units to feed, so the reference does step 2 for
// all chunks, then step 3, then steps 1 and 4 for all chunks, and keeps all $T/Q$ states in
// between. For step 3 part III of the authors' posts speaks of an associative scan [@blog]; the
// kernel that they ship is a plain loop over chunks. It is short enough. And where a sequence is
// spread over several machines, @eqref{eq:combine} is what the machines have to tell each other.
//
// ## Why no exponent is positive {#chunked_scan_exponents}
//
// @Chapter{duality} made the decay disappear into queries and keys, $e^{c_i} C_i$ and
// $e^{-c_j} B_j$, and it broke down with the length. Inside a chunk the running sum $c$ begins
// anew, so why not do it there? All that would be left of the mask are zeros above the diagonal. It
// is tempting, and it is not safe. A head with $\Delta A = -1.6$, one end of what a fresh layer
// begins with, is below $c_j = -100$ after 63 tokens, and $e^{100}$ is infinity in `float`.
// Infinity times $e^{-100}$, which is zero or nearly so, is NaN or nonsense.
//
// In the four steps every exponent is a sum over steps that have really passed between a token and
// the place where it is used: from $j$ to $i$ (step 1), from $j$ to the end (2), over the chunk
// (3), from the start to $i$ (4). Such sums are never positive, no factor exceeds 1, and what is
// too old fades quietly to zero.
//
// The same care decides how a sum is computed. It would be a line shorter to take one running sum
// for each chunk and to subtract: $c_i - c_j$ for step 1, $c_{\text{last}} - c_j$ for step 2. That
// is what many implementations do, and @chapter{semiseparable}'s naive segment sum, on the small
// scale of a chunk. Is it harmless there? The program takes a chunk of 256 tokens in which half of
// the steps forget nearly everything and the others nearly nothing, and computes the diagonal block
// in `float` both ways:
//
// @output precision
//
// In such a chunk the running sum reaches $-2000$, and a `float` of that size is only known to
// about $10^{-4}$. Two neighbours, one of which should be passed on to the other almost whole, get
// their weight from the difference of two such numbers. An error in the fifth digit is no disaster,
// and with weaker decays or smaller chunks it is less. But it buys nothing. A sum from its own end
// costs the same single addition, and it survives a log-decay of $-\infty$, where a difference is
// NaN. So each of the four functions takes `dA`, and sums for itself.
//
// ## What it costs {#chunked_scan_cost}
//
// The products, per chunk. Step 1: scores $(Q, N)(N, Q)$ and outputs $(Q, Q)(Q, P)$. Step 2:
// $(P, Q)(Q, N)$. Step 4: $(Q, N)(N, P)$. That is $Q^2 N + Q^2 P + 2\,Q N P$ multiply-adds for each
// of $T / Q$ chunks:
//
// $$
// T\,(Q N + Q P + 2 N P) .
// $$ {#eq:chunked_cost}

Cost cost_chunked(double seqlen, double d_state, double headdim, double chunk_size) {
  const double Q = chunk_size, N = d_state, P = headdim;
  const double largest = std::max({Q, N, P});
  return {.multiply_adds = seqlen * (Q * N + Q * P + 2 * N * P), .memory = 2 * N * P + Q * largest};
}

// Kept are two states and, one after the other, the scores of a chunk and a scaled copy of its $X$
// or $C$.
//
// The work is linear in $T$, as promised. If $Q$, $N$ and $P$ are of one size, all terms are alike
// and the cost is $O(T N^2)$, like the recurrence's. Step 3 is not in the formula. It takes $N P$
// multiply-adds for each *chunk*, so $N P / Q$ per token, and it is the only one that is not a
// matrix product. (The exponentials, $Q / 2$ per token, and the scaling of rows are left out as
// well.)
//
// ::: paper
// The count is that of section 6.3 of [@dao2024], where $\mathrm{BMM}(b, m, n, k)$ stands for $b$
// products of $(m, k)$ with $(k, n)$. Step 1 is given there as $\mathrm{BMM}(T/Q, Q, Q, N)$ and
// $\mathrm{BMM}(T/Q, Q, P, N)$. The second should end in $Q$: its sum runs over the tokens of the
// chunk.
// :::
//
// Which $Q$ is best? Here are the terms, per token, for $N = 128$ and $P = 64$:
//
// @output chunk_sizes
//
// Counted so, a chunk should be tiny. The diagonal blocks are the part that grows with $Q$, and
// half of their work is above the diagonal and wasted. At $Q = 1$ they are single entries, $N + P$
// multiplications each, and the algorithm *is* the recurrence, which touches the whole state for
// every token. The sum $Q (N + P) + N P / Q$ has its minimum at
//
// $$
// Q^\star = \sqrt{\frac{N P}{N + P}} ,
// $$ {#eq:best_chunk}
//
// between 6 and 7 in the example. The clock does not agree.
//
// ::: figure chunk_size
// Time of one head over 4096 tokens against the chunk size ($N = 128$, $P = 64$, `float`, one core,
// measured when this page was made). Dotted: the multiply-adds of the table's last column, at the
// rate that is reached with the largest chunks.
// :::
//
// To the right the two agree: the square of scores takes over. To the left they part. The fewer
// rows a product has, the worse is the rate at which it runs, as @chapter{duality}'s measurement
// showed, and what a chunk costs whatever its length, step 3 above all, comes round more often. So
// the best chunk is the smallest for which the products are efficient:
//
// @measured best_chunk
//
// The default of this library is 64. A GPU, whose units for matrix products want larger pieces, is
// usually given 64 to 256, and 256 is what the published models' configuration says. Since $Q$
// changes the speed and never the result, nothing has to be kept from training: choose what is
// fastest where you are.
//
// ## Three forms, one clock {#chunked_scan_measured}
//
// ::: figure three_forms
// One head ($N = 128$, $P = 64$, `float`, one core) in all three forms against the length of the
// sequence. The chunked scan ($Q = 64$) has the slope of the recurrence and the efficiency of the
// quadratic form.
// :::
//
// As long as all fits into one chunk, the chunked scan is the quadratic form, with steps 2 to 4
// done for nothing. From there on it grows like the recurrence, a straight line with slope one, and
// stays far below it: about the same number of operations, done at the rate of matrix products.
// This settles the question of the last chapter, whether a scan is really faster than the square.
// *This* one is, from a few chunks on. The paper's Figure 10 shows the same on a GPU, where it
// passes FlashAttention-2, the successor of [@dao2022], at about 2000 tokens and is 2 to 8 times as
// fast as Mamba-1's scan.
//
// There is more to be had. The scores $C B^\top$ are computed again for each head, although heads
// of a group share them; exponentials are taken one at a time; one core works and the others watch.
// @Chapter{fast} mends all of that without touching the four steps.
//
// Every function above is compiled here, once for `float` and once for `double`.

#define MAMBA2_INSTANTIATE(Real)                                                          \
  template Tensor<Real, 1> decay_to_end(std::span<const Real>);                           \
  template Tensor<Real, 1> decay_from_start(std::span<const Real>);                       \
  template Tensor<Real, 2> scale_rows(const Tensor<Real, 1>&, ReadMatrix<Real>);          \
  template void diagonal_block<Real>(ReadMatrix<Real>, ReadSpan<Real>, ReadMatrix<Real>,  \
                                     ReadMatrix<Real>, MatrixRef<Real>);                  \
  template void chunk_state<Real>(ReadMatrix<Real>, ReadSpan<Real>, ReadMatrix<Real>,     \
                                  MatrixRef<Real>);                                       \
  template void pass_state<Real>(ReadSpan<Real>, ReadMatrix<Real>, MatrixRef<Real>);      \
  template void state_to_output<Real>(ReadSpan<Real>, ReadMatrix<Real>, ReadMatrix<Real>, \
                                      MatrixRef<Real>);                                   \
  template Tensor<Real, 2> chunked_scan(const Tensor<Real, 2>&, const Tensor<Real, 1>&,   \
                                        const Tensor<Real, 2>&, const Tensor<Real, 2>&, std::size_t);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
