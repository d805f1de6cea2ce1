// # Attention in disguise {#ch_duality}
// @summary The matrix of the model is a mask times scores, and the loop and the matrix are two orders of one sum.
//
// @Chapter{state_space} found a matrix inside the recurrence, @chapter{semiseparable} took it
// apart. This chapter looks at it once more, from a few steps further away, and sees something
// familiar. Its entry $M_{ij}$ is a product of two numbers. One says how well what token $i$ asks
// for fits what token $j$ offers. The other says how much of token $j$ is left when token $i$
// arrives. Scores and a mask: that is *attention* [@vaswani2017], without its softmax.
//
// So a Mamba-2 head can be read in two ways. As a recurrence it walks along the text with a state
// of fixed size. As attention it lets each token look back at all earlier ones. The two are not
// similar, or related in spirit; they are the same sum, added up in two orders. The paper calls
// this *state space duality* and the model's core is named after it, SSD.
//
// The first half of the chapter is about that sum: why it has two orders, what belongs to the
// duality and what does not, what decay is good for, and what a head can be made to remember, which
// we try out by hand. The second half puts both orders into code and holds a clock beside them.
//
// ## What it builds on {#duality_builds_on}
//
// The recurrence and its matrix from @chapter{state_space}; segment sums, the decay mask and the
// rank of a block from @chapter{semiseparable}. It helps if you have met attention before; all that
// is needed of it is said here.
//
// From now on the step size is dealt with before a function is called: `X` holds $\Delta_t x_t$ and
// `dA` holds the log-decay $\Delta_t A$, a negative number for each step.
//
// ## Shapes {#duality_shapes}
//
// ::: shapes
// | symbol | in code | shape | what it is | attention calls it |
// |:--|:--|:--|:--|:--|
// | $X$ | `X` | $(T, P)$ | inputs times their step size | values |
// | $B$ | `B` | $(T, N)$ | how an input enters the state | keys |
// | $C$ | `C` | $(T, N)$ | how the state is read | queries |
// | $\Delta A$ | `dA` | $(T)$ | log-decay of each step | |
// | $L$ | | $(T, T)$ | decay mask, $\exp(\segsum(\Delta A))$ | mask |
// | $G$ | `G` | $(T, T)$ | scores, $C B^\top$ | scores |
// | $M$ | | $(T, T)$ | the matrix of the model, $L \circ G$ | masked scores |
// | $Z_t$ | `Z` | $(P, N)$ | what token $t$ adds to the state | |
// | $h_t$ | `h` | $(P, N)$ | the state after step $t$ | |
// | $Y$ | `Y` | $(T, P)$ | outputs | outputs |
// :::

#include <mamba2/duality.hpp>
#include <mamba2/error.hpp>
#include <mamba2/matrix.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

#include <xtensor-blas/xblas_config.hpp>  // before cxxblas, which else multiplies in loops of its own

#include <xflens/cxxblas/cxxblas.cxx>

namespace mamba2 {

// ## A product of two numbers {#duality_entry}
//
// What @chapter{state_space} put into row $i$ and column $j$ of its matrix, for $j \le i$, was
//
// $$
// M_{ij} = C_i^\top\, a_i\, a_{i-1} \cdots a_{j+1}\, B_j .
// $$
//
// The decays are plain numbers, so they can step out from between the two vectors:
//
// $$
// M_{ij} = \underbrace{a_i\, a_{i-1} \cdots a_{j+1}}_{L_{ij}} \;\cdot\; \underbrace{C_i^\top B_j}_{G_{ij}} .
// $$ {#eq:dual_entry}
//
// The first factor is the entry of @chapter{semiseparable}'s mask $L$, zero above the diagonal. The
// second is the entry of the product $C B^\top$, where row $t$ of the matrix $C$ is $C_t$ and row
// $t$ of $B$ is $B_t$. For the matrices as wholes, with $\circ$ for the product entry by entry,
//
// $$
// Y = (L \circ C B^\top)\, X .
// $$ {#eq:dual}
//
// Put this beside attention with a causal mask:
// $Y = \operatorname{softmax}(\text{mask} + Q K^\top)\, V$. Every token sends out a query $Q_i$,
// every token shows a key $K_j$, their products are the scores, and the outputs are sums of the
// values $V_j$, weighted by what became of the scores. Here $C$ is the matrix of queries, $B$ of
// keys, and $X$ of values.[^letters] Two things are different. There is no softmax: a weight may be
// negative, and the weights of a row need not sum to one. And the mask is more than a stencil of
// zeros and ones: it fades, by an amount that the model chooses for each token.
//
// [^letters]: Code that comes from the side of attention says `q`, `k`, `v` for $C$, $B$, $X$, and
// `g` for the log-decay $\Delta A$. This book's $Q$ is something else, from the next chapter on.
//
// ::: figure three_matrices
// Sixteen tokens. The decay mask knows only *how long ago*, the scores only *how well does it fit*;
// their product, entry by entry, is the matrix of the model. Blue is positive, red negative, and
// pale is small. The sixth token has a strong decay: from its row on the mask, and with it the
// matrix, has nearly forgotten what came before.
// :::
//
// ::: paper
// @eqref{eq:dual} is Equation 16 of [@dao2024], and that a state space model with scalar decay *is*
// masked attention with a 1-semiseparable mask is its Corollary 5.1. Masked attention with the
// softmax left out is Equation 10. A slip to know of: Equation 9 has $GV$ where $MV$ is meant.
// :::
//
// ## One sum, two orders {#duality_orders}
//
// Forget matrices for a moment and write out one number of the output:
//
// $$
// Y_{ip} = \sum_{j} \sum_{n} C_{in}\, B_{jn}\, L_{ij}\, X_{jp} .
// $$ {#eq:dual_contraction}
//
// Four factors, two sums. Addition does not mind in which order it is done, so there is a choice of
// which sum to take first, and that choice is the whole of the duality.
//
// **Sum over $n$ first.** Only $C$ and $B$ have an index $n$. Summing their products leaves one
// number for each pair of tokens; the mask and the values follow:
//
// $$
// \begin{aligned}
// G_{ij} &= \textstyle\sum_n C_{in} B_{jn}
// \\ M_{ij} &= L_{ij}\, G_{ij}
// \\ Y_{ip} &= \textstyle\sum_j M_{ij} X_{jp} .
// \end{aligned}
// $$ {#eq:dual_quadratic}
//
// This is attention. Something of size $T \times T$ stands in the middle, hence the name
// *quadratic* mode.
//
// **Sum over $j$ first.** Now $n$ has to wait. Without a sum yet, $B$ and $X$ make an outer product
// for each token; the sum over earlier tokens $j$, weighted by $L$, comes next, and $C$ last:
//
// $$
// \begin{aligned}
// Z_{jpn} &= X_{jp} B_{jn}
// \\ h_{ipn} &= \textstyle\sum_j L_{ij}\, Z_{jpn}
// \\ Y_{ip} &= \textstyle\sum_n C_{in} h_{ipn} .
// \end{aligned}
// $$ {#eq:dual_linear}
//
// The middle step looks as bad as before: for each of the $P N$ pairs $(p, n)$ it multiplies a
// $T \times T$ matrix with a column. But @chapter{semiseparable} showed what that matrix is.
// Multiplying with a 1-semiseparable $L$ is a recurrence in disguise, since row $i$ of $L$ is row
// $i - 1$ times $a_i$, with a 1 put on the diagonal:
//
// $$
// h_i = a_i\, h_{i-1} + Z_i .
// $$ {#eq:dual_state}
//
// And this is where the book began: $h_i$ is the state, $Z_i$ what token $i$ adds to it, and the
// last step of @eqref{eq:dual_linear} reads it with $C_i$. Nothing has size $T \times T$, and the
// work grows in proportion to $T$: the *linear* mode.
//
// ::: figure orders
// The same four tensors, contracted in two orders. The upper way makes a square of numbers, the
// lower one a state for each step, of which only the latest has to be kept.
// :::
//
// ::: keyidea
// The recurrence and attention are one contraction of $C$, $B$, $L$ and $X$. Sum over the state
// first, and you pay for pairs of tokens. Sum over time first, and you pay for a state. For the
// result it does not matter.
// :::
//
// ::: paper
// The four-way contraction is Equation 12 of [@dao2024], the quadratic order Equation 13, the
// linear order Equation 15; as a recurrence the latter is Equation 8. The paper writes such sums as
// $\operatorname{contract}(\mathtt{TN},\mathtt{SN}\to\mathtt{TS})(C, B)$: a letter for each axis,
// and what is missing behind the arrow is summed. That one is the first line of
// @eqref{eq:dual_quadratic}, three nested loops; NumPy and PyTorch call it `einsum`.
// :::
//
// ## Six tokens, both ways {#duality_by_hand}
//
// The example of @chapter{state_space}, with its steps dealt with: $X = (8, 12, 0, 6, 0, 0)$, and
// every token has the address of its bucket both as key and as query.
//
// In the quadratic order, $G = C B^\top$ first: 1 where two tokens name the same bucket. The mask
// takes away what lies above the diagonal, whatever the scores said, and fades the rest. Then the
// product with $X$:
//
// @output quadratic
//
// In the linear order nothing is ever squared. $Z$ has a row of two numbers for each token. The
// state decays, takes in a row of $Z$ and is read:
//
// @output linear
//
// Token 5, the last look into *a*, gets its 7 by the first way as $\tfrac18 \cdot 8 + 1 \cdot 6$:
// it has looked back at all tokens, and kept the two that poured into *a*. By the second way it is
// $1 \cdot 7 + 0 \cdot 3$: it has looked at nothing but the state. There is no row of the second
// computation that you could find in the first. Only the sums agree.
//
// ## Where two families meet {#duality_intersection}
//
// Each of the two readings can be widened, and they widen in different directions.
//
// *From the side of the state,* let the decay be a matrix $A_t$ that turns and mixes the numbers of
// the state. The recurrence works as before, and by @chapter{semiseparable} it reaches every
// semiseparable matrix. But now the $A_t$ stand between $C_i$ and $B_j$ and cannot step out. There
// are no scores.
//
// *From the side of attention,* keep the scores, and let $L$ be any matrix that can be multiplied
// with quickly. The second line of @eqref{eq:dual_linear} asks for nothing more, so this is
// attention at less than quadratic cost, with a mask of your choice: a Toeplitz matrix, whose
// entries depend on $i - j$ alone and which a Fourier transform multiplies; the matrix of the
// Fourier transform itself; and others. But a quick product is not yet a recurrence. For most of
// these masks there is no state: the next output needs all inputs once more.
//
// ::: figure intersection
// Two ways to multiply a sequence by a matrix. On the left the matrix has a state, on the right it
// has scores. In the middle stand those that have both.
// :::
//
// Which masks have a state? The paper's Theorem 5.2 has the answer: if masked attention can be
// computed as a recurrence that looks back over a bounded number of steps, then its mask is
// semiseparable. So semiseparable masks are not one clever choice among many. To ask for scores
// *and* for a state is to ask for one of them, and the mask of the last chapter, a product of
// decays, is the simplest.
//
// ::: paper
// Attention with any mask that can be multiplied with quickly is *structured masked attention*,
// Definition 4.2 of [@dao2024]; with a triangle of ones it is linear attention (Proposition 4.1).
// Corollary 5.1 goes from the state to attention, Theorem 5.2 comes back.
// :::
//
// ## What the scalar buys {#duality_scalar}
//
// All of this hung on one step, the one that let the decays out from between $C_i$ and $B_j$. It
// needs $a_t$ to be a number. Give that up in two stages.
//
// **A decay for each state**, $a_{tn}$, as in gated linear attention, GLA [@yang2024]:
//
// $$
// M_{ij} = \sum_n C_{in}\, \bigl( a_{in} \cdots a_{j+1,n} \bigr)\, B_{jn} .
// $$ {#eq:many_masks}
//
// There are $N$ masks now, and $M$ is a sum of $N$ attentions with a single state each. Yet less is
// lost than it seems. At a cut each of the $N$ products falls apart as before; the part of the row
// goes into $C_{in}$, that of the column into $B_{jn}$, and the block below the cut is left times
// right, a product of matrices of rank $N$. Only on the diagonal, where no cut lies between two
// tokens, is there no common mask to put on $C B^\top$. That is a matter of care, not of principle,
// and @exercise{chunked_scan.5} takes that care.
//
// **A decay for each state and channel**, $a_{tpn}$, as in Mamba-1, where the step size differs
// from channel to channel. Now every channel has a matrix of its own, and the matrix meets one
// column of $X$. A matrix times a vector uses each entry once. There is nothing left to share, so
// there are no products of matrices to be had, on the diagonal or off it. The recurrence
// @eqref{eq:dual_state} survives; attention is lost.
//
// Mamba-2's scalar is the other end: all numbers of a head's state fade together. That is a real
// restriction, and in return everything, diagonal included, is made of matrix products. Mamba-2
// spends the gain on a larger state: $N$ is 16 in the published Mamba-1 models and 128 in those of
// Mamba-2. @Chapter{selection} compares the two models.
//
// A word on names, since they are often mixed up. **SSD** is this operator, @eqref{eq:dual}, in
// whichever order it is computed. **Mamba-2** is the layer built around it in
// @chapter{mamba2_block}, with projections, a convolution, a gate and a norm.
//
// ## On paper, decay is invisible {#duality_invisible}
//
// Here is a puzzle. Let $c_i = \Delta_0 A + \dots + \Delta_i A$ be the running sum, so that
// $L_{ij} = e^{c_i - c_j}$ for $j \le i$, and give every token another query and another key:
//
// $$
// C'_i = e^{c_i}\, C_i, \qquad B'_j = e^{-c_j}\, B_j .
// $$ {#eq:undecayed}
//
// Then $C_i'^{\,\top} B'_j = e^{c_i - c_j}\, C_i^\top B_j = M_{ij}$. The decay is gone! The model
// with decay is linear attention *without* decay, of other queries and keys. As long as no decay is
// 0, there is nothing that the one can compute and the other cannot. What, then, is decay for?
//
// *It keeps numbers within reach.* $c_j$ is negative and falls along the sequence, so $B'_j$ grows
// without bound, and $C'_i$ vanishes as fast. On paper they compensate. In `float` $e^{88.8}$ is
// infinite:
//
// @output invisible
//
// With the decay in its place no factor exceeds 1; what is old fades, instead of all that is new
// growing. One says that the computation is well *conditioned*.
//
// *It lets each token speak for itself.* $B'_j$ depends on $c_j$, the decays of all tokens before.
// A layer that computes a token's key from that token cannot know them. With decay in the
// recurrence a token says what *it* does to the state, keep or fade, write or not, and the state
// carries the consequences.
//
// So decay adds nothing to what can be computed, and a great deal to what can be learnt and run.
//
// ## What a softmax would change {#duality_softmax}
//
// If attention has a linear order, why does everyone pay for the square? Because of the softmax.
// With it, the weight of token $j$ for token $i$ is
//
// $$
// \frac{e^{C_i^\top B_j}}{\sum_{k \le i} e^{C_i^\top B_k}} .
// $$
//
// The sum over $n$ now sits inside an exponential, and no sum over $j$ can be taken before the
// scores are known. Or can it? Write the exponential as a series:
//
// $$
// e^{C_i^\top B_j} = \sum_{k=0}^{\infty} \frac{(C_i^\top B_j)^k}{k!} .
// $$ {#eq:softmax_series}
//
// A power of a dot product is a dot product. $(C_i^\top B_j)^2 = \sum_{nm} (C_{in} C_{im})(B_{jn}
// B_{jm})$, so it is the score of two vectors with $N^2$ numbers, the products of all pairs; the
// third power needs $N^3$, and so on. Softmax attention is linear attention, divided by a sum, with
// a state of $1 + N + N^2 + N^3 + \cdots$ numbers for each channel: **the softmax is
// $N = \infty$**. A state of that size cannot be kept, and need not be: the finite way to keep the
// same is to keep the keys and values of all $T$ tokens, the *cache*, which grows by a row with
// every token. (@exercise{5} cuts the series off and sees how far it gets.)
//
// What attention gets for this is precision. It can put all its weight on a single token, a
// thousand tokens back, and reproduce it exactly. What the recurrence gets is memory and work per
// token that do not depend on how much came before.
//
// The mask differs too. Attention, apart from looking only backwards, does not know the order of
// its tokens and has to be told by position embeddings. Here $L_{ij}$ depends on what lies
// *between* $j$ and $i$. It is a kind of relative position whose steps the model sets itself: a
// token with a large $\Delta_t$ moves everything before it further into the past.
//
// ## A memory, set by hand {#duality_memory}
//
// Enough theory; let the head do something. It shall remember three facts: that the cat says meow,
// the dog woof, the owl hoot. The animals are keys, so they get addresses at right angles, and that
// takes $N = 3$. The sounds are values, four letters each, so $P = 4$ and a letter is a number, *a*
// being 1. The questions `cat?`, `dog?` and `owl?` are tokens that have the animal's address as
// query. What comes back is rounded to letters.
//
// The step sizes are where thought is needed. Noise and questions should leave the state alone:
// $\Delta = 0$. A fact must be written in full, but a step that writes also fades what is there,
// the facts before. The way out is a small step with a loud key, $\Delta = 0.001$ and $B = 1000$
// times the address: what is written is the product, what is erased is a thousandth.
//
// @output memory
//
// Nothing was learnt. We chose $B$, $C$ and $\Delta$ as a trained layer would compute them from its
// tokens. A thousand tokens of noise between facts and questions do no harm, since they take no
// step. (The task is called *associative recall*, and is a standard test of what a model can keep
// apart [@arora2024].)
//
// Now a fourth fact, that the cow says moo. There is no fourth direction at right angles to three
// others in $\R^3$. The program gives the cow the address between the three, and every answer is
// spoilt, the old ones too. It had to come: @chapter{semiseparable} showed that the block from
// facts to questions would need rank 4. Softmax attention over the same keys has no such bound. Its
// answers are sharp as long as no two keys are equal.
//
// Spoilt is not lost, however. A head of real size does not fall silent when it has one fact too
// many:
//
// ::: figure capacity
// A head is given facts with addresses drawn at random (unit vectors), each of which is then asked
// for once. The size of what is wrong in the answers beside that of the values, against the number
// of facts, for four sizes of the state. At equal load, facts per state, all four err alike.
// :::
//
// With $N / 4$ facts at random addresses, what is wrong in an answer is half as large as what is
// right, and a layer that follows may still make out what was meant. A larger $N$ moves the curve
// to the right. This is why Mamba-2 spends what it saves on states.
//
// ## A matrix inside somebody else's memory {#duality_matrix_ref}
//
// Now for the machine. The quadratic order consists of two matrix products, so before we write it
// down we need one. Every linear algebra library has a fast one, and the interface that all of them
// share, BLAS, asks for little: where a matrix begins, how many rows and columns it has, and how
// far apart its rows lie in memory, the **stride**. That last number matters more than it seems. A
// tensor of shape $(\text{seqlen}, \text{nheads}, \text{headdim})$ holds the matrix of each head,
// but not in one piece: from one row of a head to the next it is
// $\text{nheads} \cdot \text{headdim}$ numbers. With a stride such a matrix can be used where it
// lies.
//
// @quote src/mamba2/matrix.hpp#matrix_ref
//
// Functions that only read take a mamba2::ReadMatrix, the same thing for `const` elements, and a
// mamba2::ReadSpan for numbers in a row. mamba2::as_matrix() and mamba2::as_span() make them of
// whole tensors; mamba2::row_block() takes some rows of a matrix, and that is what
// @chapter{chunked_scan} will live on. None of them copies a number.
//
// The two factors of a product may also be turned round, and that moves no number either: BLAS is
// told to read rows as columns.
//
// @quote src/mamba2/matrix.hpp#factor
//
// Why a type of its own, and not one more member of the first? Nearly every function walks along
// the rows of a matrix. Given one that is turned round, it would walk the wrong way, and the
// numbers would only be wrong. So what transpose() gives fits into a product and nowhere else, and
// the compiler sees to it.
//
// mamba2::multiply() checks the sizes and hands the rest to BLAS. What it makes is written over
// `result` or, with `beta = 1`, added to it. Products without anything to sum are dealt with here,
// since BLAS refuses rows of length 0.

template <class Real>
void multiply(Factor<std::type_identity_t<Real>> left, Factor<std::type_identity_t<Real>> right,
              std::type_identity_t<Real> beta, MatrixRef<Real> result) {
  const std::size_t rows = left.rows(), summed = left.columns(), columns = right.columns();
  const MatrixRef<const Real> right_seen{nullptr, right.rows(), columns};
  require_size("right", right_seen, {summed, columns}, "(columns of left, columns of right)");
  require_size("result", result, {rows, columns}, "(rows of left, columns of right)");
  if (rows == 0 || columns == 0) return;
  if (summed == 0) {
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < columns; ++j) result[i][j] = beta == 0 ? 0 : beta * result[i][j];
    return;
  }
  const auto size = [](std::size_t n) { return static_cast<int>(n); };
  const auto order = [](Factor<Real> m) { return m.transposed ? cxxblas::Trans : cxxblas::NoTrans; };
  cxxblas::gemm<int>(cxxblas::RowMajor, order(left), order(right), size(rows), size(columns),
                     size(summed), /* alpha = */ Real(1), left.stored.data, size(left.stored.stride),
                     right.stored.data, size(right.stored.stride), beta, result.data,
                     size(result.stride));
}

// Is the library worth the trouble, when three nested loops would do? Measure it.
//
// ::: figure rates
// Multiply-adds per second of the product of two square matrices of `float`, on one core of the
// machine that made this page: the three loops one would write, compiled with all optimisations,
// against multiply().
// :::
//
// For the smallest matrices there is little to choose between the two. Then a gap opens, and it
// becomes wide. The reason for it is the reason for everything in this book that has to do with
// speed. A product of two $n \times n$ matrices does $n^3$ multiply-adds on $2 n^2$ numbers, so
// each number is used $n$ times. A good implementation works on small blocks, which it keeps in the
// processor's registers and nearest caches until nothing more can be done with them, and it keeps
// all of the processor's arithmetic units busy [@goto2008]. The recurrence uses each decay, each
// entry of $B$ and each entry of $C$ for a handful of operations and then asks for the next.
// Processors for machine learning have made the difference extreme: an A100 does 312 teraflops in
// half-precision matrix products and 19.5 in ordinary `float` arithmetic [@nvidia_a100]. On such a
// machine an algorithm that is not made of matrix products has given away nine tenths of the
// hardware before it begins.
//
// ## The quadratic mode {#duality_quadratic}
//
// @eqref{eq:dual_quadratic} in three lines. The scores, the mask on the scores, and the product
// with the inputs:

template <class Real>
void dual_quadratic(ReadMatrix<Real> X, ReadSpan<Real> dA, ReadMatrix<Real> B, ReadMatrix<Real> C,
                    MatrixRef<Real> Y) {
  auto G = zeros<Real>(dA.size(), dA.size());  // scores, (seqlen, seqlen)
  multiply<Real>(C, transpose(B), /* beta = */ 0, as_matrix(G));
  mask_scores<Real>(dA, as_matrix(G));
  multiply<Real>(as_matrix(G), X, /* beta = */ 0, Y);
}

// How is the mask put on? One could call mamba2::decay_mask(), which gives $L$ as a matrix, and
// multiply entry by entry. But $L$ need not exist. Its logarithms are the segment sums, and row $i$
// of those follows from row $i - 1$ by adding $\Delta_i A$ to each; so one row of sums is enough,
// updated as we go down. No exponential is taken above the diagonal, and each sum contains exactly
// its own steps: it is as exact as @chapter{semiseparable}'s stable segsum(), for the same work as
// the naive one.

template <class Real>
void mask_scores(ReadSpan<Real> dA, MatrixRef<Real> scores) {
  const std::size_t length = dA.size();
  require_size("scores", scores, {length, length}, "(length, length)");
  std::vector<Real> segment(length);  // segment[j] = dA[j+1] + ... + dA[i]
  for (std::size_t i = 0; i < length; ++i) {
    Real* const row = scores[i];
    for (std::size_t j = 0; j < i; ++j) {
      segment[j] += dA[i];
      row[j] *= std::exp(segment[j]);
    }
    std::fill(row + i + 1, row + length, Real(0));
  }
}

// The entry on the diagonal is left alone: $L_{ii} = 1$. And note that sums are only ever *added
// to*. A log-decay of $-\infty$, which says "forget everything before this step", gives
// $e^{-\infty} = 0$ where it should; with differences of running sums it would give
// $\infty - \infty$, which is no number.
//
// All this works on matrices wherever they lie. For whole tensors there is a second function of the
// same name, which makes room for the result.

template <class Real>
static void require_one_head(const Tensor<Real, 2>& X, const Tensor<Real, 1>& dA,
                             const Tensor<Real, 2>& B, const Tensor<Real, 2>& C);

template <class Real>
Tensor<Real, 2> dual_quadratic(const Tensor<Real, 2>& X, const Tensor<Real, 1>& dA,
                               const Tensor<Real, 2>& B, const Tensor<Real, 2>& C) {
  require_one_head(X, dA, B, C);
  auto Y = zeros<Real>(X.shape(0), X.shape(1));  // (seqlen, headdim)
  dual_quadratic<Real>(as_matrix(X), as_span(dA), as_matrix(B), as_matrix(C), as_matrix(Y));
  return Y;
}

// ## The linear mode {#duality_linear}
//
// In the order of @eqref{eq:dual_linear}, with its three steps taken token by token, so that
// neither $Z$ nor the states of past tokens have to be kept. Here the state lies on its side,
// $(N, P)$ instead of $(P, N)$: the innermost loop then runs along channels, which lie next to each
// other in `X`, `h` and `Y`, and the compiler can do several of them at once.

template <class Real>
Tensor<Real, 2> dual_linear(const Tensor<Real, 2>& X, const Tensor<Real, 1>& dA,
                            const Tensor<Real, 2>& B, const Tensor<Real, 2>& C) {
  require_one_head(X, dA, B, C);
  const std::size_t seqlen = X.shape(0), headdim = X.shape(1), d_state = B.shape(1);
  auto Y = zeros<Real>(seqlen, headdim);
  auto h = zeros<Real>(d_state, headdim);  // the state, transposed
  for (std::size_t t = 0; t < seqlen; ++t) {
    const Real decay = std::exp(dA(t));
    for (std::size_t n = 0; n < d_state; ++n)
      for (std::size_t p = 0; p < headdim; ++p) {
        h(n, p) = decay * h(n, p) + B(t, n) * X(t, p);
        Y(t, p) += C(t, n) * h(n, p);
      }
  }
  return Y;
}

// It is the loop of @chapter{state_space}, and the program below checks that it is. What this
// chapter adds is not the code but where it comes from.
//
// ## What the two cost {#duality_cost}
//
// Count multiplications. The quadratic mode: $N$ for each of $T^2$ scores, $P$ for each of $T^2$
// masked scores. (Half of the square is zero. The matrix product does not know that and computes it
// all the same; a form that skips the upper half, as @chapter{state_space}'s loops did, saves at
// most a factor of two.) The linear mode: for each token and each of the $N P$ numbers of the
// state, one multiplication to decay it, one to add to it and one to read it.

Cost cost_quadratic(double seqlen, double d_state, double headdim) {
  return {.multiply_adds = seqlen * seqlen * (d_state + headdim), .memory = seqlen * seqlen};
}

Cost cost_linear(double seqlen, double d_state, double headdim) {
  return {.multiply_adds = 3 * seqlen * d_state * headdim, .memory = d_state * headdim};
}

// Formulas of this kind are easily wrong by a factor. So the program does both contractions in
// plain loops in which each multiplication goes through a counter:
//
// @output count
//
// The mask's $T^2$ multiplications are left out of the formula, as is usual; at real sizes $N + P$
// is near two hundred, and one more does not matter. By these counts the linear mode wins as soon
// as $T^2 (N + P) > 3\,T N P$. But a machine does not do all multiplications at one rate. Say that
// it does $k$ of them in a product of matrices in the time that one takes in a loop. Then the
// linear mode wins from
//
// $$
// T > k \cdot \frac{3 N P}{N + P}
// $$ {#eq:dual_crossover}
//
// on. For $N = 128$ and $P = 64$, the sizes of Mamba-2's published models, the fraction is 128
// tokens:
//
// @output costs
//
// What is $k$? For an A100 the two rates above give $312 / 19.5 = 16$, and the square wins up to
// 2048 tokens, or twice that if it skips its upper half. For the machine that made this page:
//
// @measured crossing
//
// ::: figure forms
// Time of one head ($N = 128$, $P = 64$, `float`, one core) in the two orders, measured when this
// page was made. Dotted lines are the two modes' multiply-adds at one and the same rate, set so
// that the linear mode meets its line. Where the dotted lines cross, the counts say, the linear
// mode takes over; where the solid ones cross, it does.
// :::
//
// The slopes are as they should be: twice the length, twice the time for one and four times for the
// other. But the quadratic mode lies far below its dotted line, because its multiply-adds are
// matrix products, and those are cheap. This answers a question that is often asked, *is the scan
// really faster than attention's square?* In operations, nearly always. On the clock, only from
// some length on, and the better a machine is at matrix products, the greater is that length.
//
// That leaves us with an algorithm that does too much work quickly, and another that does little
// work slowly. @Chapter{chunked_scan} makes the best of the two.
//
// ::: paper The table of section 6.3
// The paper compares three designs for a sequence of length $T$, state size $N$ and head size
// $P = N$ (FLOPs up to a constant factor):
//
// | | attention | SSM (Mamba-1) | SSD |
// |:--|:--|:--|:--|
// | state size | $T$ | $N$ | $N$ |
// | training FLOPs | $T^2 N$ | $T N^2$ | $T N^2$ |
// | inference FLOPs per token | $T N$ | $N^2$ | $N^2$ |
// | memory, naively | $T^2$ | $T N^2$ | $T N$ |
// | made of matrix products | yes | no | yes |
//
// The last column is the algorithm of the next chapter. *Naively* means that every state is kept:
// $T$ states of $N^2$ numbers for the scan, but only one for each chunk for SSD, and with $Q = N$
// tokens to a chunk those are $T / N$. The table's $N^2$ per token in inference is right, since a
// token updates and reads $N^2$ numbers; Theorem 6.1 of the paper gives $O(TN)$ there.
// :::
//
// What is left is the check of the shapes, so that a mistake is reported under the name of the
// argument, and the list of what to compile.

template <class Real>
static void require_one_head(const Tensor<Real, 2>& X, const Tensor<Real, 1>& dA,
                             const Tensor<Real, 2>& B, const Tensor<Real, 2>& C) {
  require_shape("dA", dA, {X.shape(0)}, "(seqlen)");
  require_shape("B", B, {X.shape(0), B.shape(1)}, "(seqlen, d_state)");
  require_shape("C", C, {X.shape(0), B.shape(1)}, "(seqlen, d_state)");
}

#define MAMBA2_INSTANTIATE(Real)                                                           \
  template void multiply<Real>(Factor<Real>, Factor<Real>, Real, MatrixRef<Real>);         \
  template void mask_scores<Real>(ReadSpan<Real>, MatrixRef<Real>);                        \
  template void dual_quadratic<Real>(ReadMatrix<Real>, ReadSpan<Real>, ReadMatrix<Real>,   \
                                     ReadMatrix<Real>, MatrixRef<Real>);                   \
  template Tensor<Real, 2> dual_quadratic(const Tensor<Real, 2>&, const Tensor<Real, 1>&,  \
                                          const Tensor<Real, 2>&, const Tensor<Real, 2>&); \
  template Tensor<Real, 2> dual_linear(const Tensor<Real, 2>&, const Tensor<Real, 1>&,     \
                                       const Tensor<Real, 2>&, const Tensor<Real, 2>&);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
