// # The matrix behind the model {#ch_semiseparable}
// @summary Why every block of the matrix below the diagonal has low rank, and how to compute the decay between any two steps without losing it.
//
// @Chapter{state_space} leaves a riddle behind. The matrix $M$ of a state space model has $T^2$
// entries, and multiplying by such a matrix costs $T^2$ multiplications for each channel. Yet the
// loop computes the same product in a time proportional to $T$, without the matrix ever being
// there. Most matrices allow nothing of the kind. What is it about this one?
//
// The answer is a property with a forbidding name and a simple content. $M$ is **semiseparable**:
// cut the sequence in two at any place, and all that the first part has to say to the second goes
// through $N$ numbers per channel, the state at the cut. Seen in the matrix, the block that
// connects the two parts has rank at most $N$, however large it is.
//
// That is the first half of the chapter, and it settles more than speed: it says how much a state
// can remember. The second half is about digits. Everything in $M$ rests on the decay between any
// two steps. Written the obvious way, in the precision in which models run, that goes quietly
// wrong, and the paper prints the obvious way.
//
// ## What it builds on {#semiseparable_builds_on}
//
// On @chapter{state_space}: the recurrence with $\bar A_t = e^{\Delta_t A}$, its matrix $M$,
// @eqref{eq:matrix}, and the six tokens. From linear algebra: the rank of a matrix, and what
// singular values are.[^svd]
//
// [^svd]: A matrix maps the unit ball to an ellipsoid. The singular values are the half-axes of the
// ellipsoid; the rank is the number of those that are not zero.
//
// ## Shapes {#semiseparable_shapes}
//
// ::: shapes The names of this chapter
// | symbol | in code | shape | what it is |
// |:--|:--|:--|:--|
// | $a_t$ | | $(T)$ | decay of each step; @chapter{state_space}'s $\bar A_t$, with one letter less |
// | $\Delta_t A$ | `dA` | $(T)$ | log-decay of each step, $\ln a_t$, at most 0 |
// | $L$ | `L` | $(T, T)$ | decay from step $j$ to step $i$, zero above the diagonal |
// | $S$ | `S` | $(T, T)$ | segment sums: its logarithm |
// | $c$ | `c` | $(T)$ | the running sum of the log-decays |
// | $B$, $C$ | `B`, `C` | $(T, N)$ | how the state is written and read |
// | $M$ | `M` | $(T, T)$ | $L \circ (C B^\top)$ |
// :::

#include <mamba2/error.hpp>
#include <mamba2/semiseparable.hpp>

#include <xtensor-blas/xlinalg.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>

namespace mamba2 {

// ## Nothing but decay {#semiseparable_mask}
//
// Take the smallest model, one state and $B = C = 1$. Its recurrence is
//
// $$
// y_t = a_t\,y_{t-1} + x_t, \qquad a_t = e^{\Delta_t A},
// $$ {#eq:scalar}
//
// a running sum that leaks. Its matrix is all decay, and it is called $L$:
//
// $$
// L = \begin{pmatrix}
// 1 & & &
// \\ a_1 & 1 & &
// \\ a_2 a_1 & a_2 & 1 &
// \\ a_3 a_2 a_1 & a_3 a_2 & a_3 & 1
// \end{pmatrix}, \qquad
// L_{ij} = a_i\,a_{i-1} \cdots a_{j+1} .
// $$ {#eq:mask}
//
// $L_{ij}$ is what is left at step $i$ of something that was written at step $j$. With $N$ states,
// each entry of $M$ is this number times a dot product, as @chapter{state_space} saw:
//
// $$
// M_{ij} = L_{ij} \cdot (C_i^\top B_j), \qquad \text{for all entries at once} \qquad M = L \circ (C B^\top) .
// $$ {#eq:hadamard}
//
// The circle multiplies entry by entry. For the six tokens, $C B^\top$ is 1 where two tokens name
// the same bucket and 0 elsewhere, and $M$ is $L$ with holes in it:
//
// @output mask
//
// $C B^\top$ is an ordinary product of matrices, the thing that processors are best at. So
// everything depends on $L$.
//
// ::: paper
// $L$ is the *1-semiseparable* matrix of [@dao2024], Equation 6; multiplying by it is the scalar
// recurrence, Equation 7. From here on the step size has moved into the input, as announced in
// @chapter{state_space}: $B$ stands for what is left of $\bar B$ then.
// :::
//
// ## Rank by hand {#semiseparable_by_hand}
//
// Look at the lower left corner of the $L$ above, rows 2 and 3, columns 0 and 1. Its two rows say
// the same thing, the second more faintly, and so do its columns:
//
// $$
// \begin{pmatrix} a_2 a_1 & a_2 \\ a_3 a_2 a_1 & a_3 a_2 \end{pmatrix} =
// \begin{pmatrix} a_2 \\ a_3 a_2 \end{pmatrix}
// \begin{pmatrix} a_1 & 1 \end{pmatrix} .
// $$
//
// A column times a row: rank 1. That is no accident. A product of decays that leads from a step
// before the cut to a step after it passes through the cut and can be taken apart there, a row's
// part and a column's part.
//
// Now with two states. Cut the six tokens in the middle, before the fourth, and take the block of
// $M$ that connects the halves: rows 3 to 5, columns 0 to 2. It has nine entries, but its last row
// repeats its first, since both tokens read bucket *a*. Two different rows, rank 2. The program
// takes the block apart as we did with $L$:
//
// @output factors
//
// The right factor has a row for each bucket. Multiply it by the three inputs, and you know what
// comes out: the levels at the cut, 4 and 12, as @chapter{state_space}'s table has them. The left
// factor has a row for each later token, which says how that token reads those levels. The later
// tokens know of the earlier ones through the two levels, and in no other way.
//
// ## A block has little to say {#semiseparable_rank}
//
// In general, cut the sequence before some step $m$, and look at the block of $M$ with the rows
// from $m$ on and the columns before $m$. It holds all that the past says to the future. At the cut
// each decay falls apart,
//
// $$
// L_{ij} = \underbrace{a_i \cdots a_m}_{\text{after the cut}} \cdot \underbrace{a_{m-1} \cdots a_{j+1}}_{\text{before it}}
// \qquad (j < m \le i) .
// $$ {#eq:split}
//
// The first factor depends only on the row, the second only on the column. Multiply that of the row
// into $C_i$ and that of the column into $B_j$, and $M$'s block is a product of two narrow
// matrices:
//
// $$
// M_{ij} = \underbrace{\bigl(a_i \cdots a_m\,C_i\bigr)^{\!\top}}_{\text{left: reads the state at the cut}}
//          \underbrace{\bigl(a_{m-1} \cdots a_{j+1}\,B_j\bigr)}_{\text{right: writes it}} .
// $$ {#eq:factors}
//
// ::: figure blocks
// A block below the diagonal is tall and wide, but it is the product of two matrices that are only
// $N$ thin. The state at the cut stands between them.
// :::
//
// Left has $N$ columns, right has $N$ rows, so their product has rank at most $N$. Neither the size
// of the block nor the place of the cut entered the argument.
//
// ::: paper
// Definition 3.1 of [@dao2024] calls a lower triangular matrix *N-semiseparable* if every block of
// it on or below the diagonal has rank at most $N$. Definition 3.2 (Equation 4) names the form
// $C_i^\top A_i \cdots A_{j+1} B_j$ of the entries *sequentially semiseparable*; there the $A_i$
// are matrices of $N \times N$, of which our numbers $a_i$ are the simplest kind. Lemma 3.3 is the
// factorisation above (Equation 5), Proposition 3.4 says that every semiseparable matrix can be
// written this way, and Theorem 3.5 draws the line under it: state space models *are* semiseparable
// matrices.
// :::
//
// Rank need not be taken on trust; it can be measured. xtensor-blas hands the matrix to LAPACK and
// gets its singular values back.

template <class Real>
Tensor<Real, 1> singular_values(const Tensor<Real, 2>& M) {
  if (M.size() == 0) return zeros<Real>(0);
  for (const Real entry : M)
    require(std::isfinite(entry), "M", "finite entries", std::to_string(entry));
  return std::get<1>(xt::linalg::svd(M, /* full_matrices = */ false, /* compute_uv = */ false));
}

// For 32 steps and a cut in the middle, the block between the halves has $16 \times 16$ entries.
// Its singular values, for four sizes of the state:
//
// ::: figure singular
// Singular values of the block below the cut, the largest scaled to one, in double. After the
// $N$-th they fall to the level of rounding.
// :::
//
// @output rank
//
// The whole matrix is another matter. It is triangular, and where no entry of its diagonal is zero
// it has full rank. Low rank is a property of what lies off the diagonal; hence the *semi* in the
// name.
//
// ## What a state can hold {#semiseparable_capacity}
//
// Rank is usually a matter of cost. Here it is also a matter of memory. Let the first $K$ tokens
// bring a number each, any numbers, and let each of the next $K$ tokens ask for one of them. A head
// that answers all of them exactly has ones in the right places of its block below the cut and
// zeros in all others, a matrix of rank $K$. And the rank is at most $N$. So **a head with $N$
// states can hold $N$ numbers per channel and answer for each of them; for $N + 1$ it cannot be
// done**, by no choice of $B$, $C$ and decays. With three states, a fourth number spoils the other
// three, or is lost, or a little of both. @Chapter{duality} sets such a memory by hand, and shows
// what comes back when a fourth is pressed into it.
//
// ## Why low rank is fast {#semiseparable_fast}
//
// And it is a matter of cost. Multiplying a vector by a block of $m \times m$ entries takes $m^2$
// multiplications. Multiplying by right and then by left takes $N m + m N$: less, as soon as $m$ is
// larger than $2 N$. The result in between is a vector of $N$ numbers, and you have met it: it is
// the state at the cut.
//
// The loop of @chapter{state_space} makes such a cut before *every* step; that is why it does so
// little work, and why it has to wait so often. The naive matrix makes no cut at all. Between them
// lies a choice: cut every $Q$ steps, treat the small triangles on the diagonal as matrices and
// everything below them through the state. That is the chunked scan of @chapter{chunked_scan}. What
// makes it correct is the rank of the blocks. What makes it accurate is the rest of this chapter.
//
// ## Sums of segments {#semiseparable_segsum}
//
// A product of many factors between 0 and 1 is soon too small for a floating-point number, and
// dividing such products is worse. So stay with logarithms. The log-decay of one step is
// $\Delta_t A$, called `dA` in code, and the log-decay over a segment is a sum:
//
// $$
// S_{ij} = \sum_{k=j+1}^{i} \Delta_k A, \qquad L_{ij} = e^{S_{ij}} .
// $$ {#eq:segsum}
//
// $S_{ij}$ is the sum over the segment that begins after $j$ and ends with $i$. On the diagonal the
// segment is empty and the sum is 0. Above it there is no segment, and the logarithm of the zero
// that belongs there is $-\infty$. Hence the name *segsum*.
//
// There are $T^2/2$ segments, and the textbook says how to get all their sums cheaply: form one
// running sum $c_i = \sum_{k \le i} \Delta_k A$, and then each segment is a difference,
// $S_{ij} = c_i - c_j$. Here is the textbook's way.

template <class Real>
Tensor<Real, 2> segsum_naive(const Tensor<Real, 1>& dA) {
  const std::size_t T = dA.shape(0);
  auto c = zeros<Real>(T);  // (seqlen): the running sum
  Real sum = 0;
  for (std::size_t t = 0; t < T; ++t) {
    sum += dA(t);
    c(t) = sum;
  }
  auto S = zeros<Real>(T, T);  // (seqlen, seqlen)
  S.fill(-std::numeric_limits<Real>::infinity());
  for (std::size_t i = 0; i < T; ++i)
    for (std::size_t j = 0; j <= i; ++j) S(i, j) = c(i) - c(j);
  return S;
}

// ## How the textbook fails {#semiseparable_cancellation}
//
// In exact arithmetic nothing is wrong with it. Watch what a `float` makes of it. It carries 24
// binary digits, and those are spent on the *size* of a number: near 1 neighbouring floats are
// about $10^{-7}$ apart, near 1000 already $6 \cdot 10^{-5}$. The running sum $c$ grows all along
// the sequence, so its rounding errors grow with it. The difference of two such sums may be small,
// as it is for steps close together, the very steps that have most to say to each other. The large
// parts cancel. The errors do not.
//
// Worse, the difference is an exponent. An *absolute* error $\varepsilon$ in $S$ is a *relative*
// error of about $\varepsilon$ in $e^S$: it does not shrink when the sum is small. The program
// takes random log-decays between $-2$ and $0$, for sequences of four lengths, and looks at the
// last four rows of each: at the entries up to 4 steps left of the diagonal, beside sums taken in
// double.
//
// @output cancellation
//
// ::: figure cancellation
// The largest relative error of $L$ among the 4 entries left of the diagonal, row by row, in
// `float`. The naive form gets worse as the sequence gets longer, although the entries are of the
// same size everywhere. The stable form does not.
// :::
//
// This is called *catastrophic cancellation*. A strongly decaying head has larger log-decays and
// loses digits faster; the half-precision formats in which models are often stored have so few that
// a few hundred steps are enough. The model does not crash. It gives slightly wrong answers, on
// long inputs only.
//
// It can also fail in one blow. Suppose that one step has to forget everything: $a_t = 0$, a
// log-decay of $-\infty$. That is a useful thing to have, for instance where a new document begins.
// After it the running sum is $-\infty$ for good, and every later difference is
// $-\infty - (-\infty)$, which is not a number:
//
// @output nan
//
// ::: paper An erratum
// Listing 1 of [@dao2024] and part III of the authors' posts [@blog] print the naive form. It is
// called twice there: inside chunks, where the running sum begins anew and stays short, and between
// chunks, where it runs over the whole sequence. The second is the place that long sequences spoil.
// The authors' package [@reference] holds a copy of the listing that calls a stable form, with the
// naive one above it under the name `segsum_unstable`; its fast kernels take differences inside
// chunks, held down at 0, and a plain loop between them.
// :::
//
// ## Each sum on its own {#semiseparable_stable}
//
// The cure is to subtract nothing. Begin each column afresh: on the diagonal the sum is 0, and each
// row further down adds one log-decay,
//
// $$
// S_{jj} = 0, \qquad S_{ij} = S_{i-1,j} + \Delta_i A .
// $$ {#eq:column}
//
// Every entry is now a sum of numbers of the same sign that belong to its own segment, and its
// rounding error is small *relative to itself*. Where $|S_{ij}|$ is small, so is the error; where
// it is large, $e^{S_{ij}}$ is next to nothing and the error with it. And it is no dearer: one
// addition for each entry, where the naive form has one subtraction.

template <class Real>
Tensor<Real, 2> segsum(const Tensor<Real, 1>& dA) {
  const std::size_t T = dA.shape(0);
  auto S = zeros<Real>(T, T);  // (seqlen, seqlen)
  S.fill(-std::numeric_limits<Real>::infinity());
  for (std::size_t i = 0; i < T; ++i) {
    for (std::size_t j = 0; j < i; ++j) S(i, j) = S(i - 1, j) + dA(i);
    S(i, i) = 0;
  }
  return S;
}

// The inner loop runs along a row, so that it reads and writes memory in order; each column is
// still a sum of its own.[^cumsum] A log-decay of $-\infty$ now does what it should. It enters the
// segments that contain it and no others.
//
// [^cumsum]: Where loops are slow and whole arrays are fast, as in PyTorch, do the same without
// one: write $\Delta_i A$ into every entry below the diagonal of a $T \times T$ matrix and 0 into
// all others, take running sums down the columns, and put $-\infty$ above the diagonal.
//
// ::: aside Is the naive form never right?
// Its error grows with the running sum, so it does little harm where the running sum is short, as
// inside the chunks of @chapter{chunked_scan}. Ours sums every segment on its own there, too, and
// that chapter shows what the difference comes to.
// :::
//
// ## Mask first, then take the exponential {#semiseparable_exp}
//
// From $S$ to $L$ it is one exponential per entry. The $-\infty$ above the diagonal becomes an
// exact zero by itself.

template <class Real>
Tensor<Real, 2> decay_mask(const Tensor<Real, 1>& dA) {
  Tensor<Real, 2> L = segsum(dA);  // (seqlen, seqlen)
  for (Real& entry : L) entry = std::exp(entry);
  return L;
}

// It is tempting to do it the other way round: take differences for all pairs, take exponentials,
// and put in the zeros last, by multiplying with a triangle of ones. But above the diagonal the
// differences have the wrong sign. They are positive, and grow with the distance, and their
// exponentials overflow. Infinity times the zero of the triangle is once more not a number:
//
// @output overflow
//
// The damage is often found only in training. The forward pass may replace the spoiled entries and
// look healthy, while in the backward pass a gradient is multiplied by the infinity that was
// replaced.[^where] With $-\infty$ put in *before* the exponential there is no infinity to begin
// with.
//
// [^where]: The derivative of $e^S$ is $e^S$, infinite here; the mask's gradient is 0; their
// product is NaN. The same trap is known from masked softmax.
//
// ::: keyidea
// Keep decays as logarithms, add them segment by segment, mask with $-\infty$, and take the
// exponential last. Every entry of $L$ is then between 0 and 1, and its error is tiny beside 1,
// however long the sequence.
// :::
//
// ## One family {#semiseparable_family}
//
// A state takes in outer products, fades, and is read: many sequence models are of this kind, and
// they differ in what fades how. Here they are, from the least free to the freest. In the last two
// the numbers of a state fade each at its own pace; $n$ counts states, $p$ channels, and $C_n$ is
// the column $n$ of $C$.
//
// | decay | model | $M = L \circ (C B^\top)$? | cut into chunks |
// |:--|:--|:--|:--|
// | $1$ | linear attention [@katharopoulos2020] | yes, $L$ is a triangle of ones | all of it products of matrices |
// | $\gamma$ | RetNet [@sun2023] | yes, $L_{ij} = \gamma^{\,i-j}$ | the same |
// | $a_t$ | **Mamba-2** | yes, $L$ as above | the same |
// | $a_{tn}$ | GLA [@yang2024] | no, $N$ masks: $\sum_n L^{(n)} \circ (C_n B_n^\top)$ | products between chunks, care inside |
// | $a_{tpn}$ | Mamba-1 [@gu2023] | no, $N P$ masks, a matrix for each channel | nothing to share: a scan |
//
// The first row needs a word. What goes by the name of linear attention in the paper that is cited
// also sends $B$ and $C$ through a positive function and divides each output by the sum of its
// weights. Both are left out here, as in everything that follows.
//
// ::: figure masks
// $L$ for 32 steps. Left: linear attention. Middle: RetNet, $\gamma = 0.85$. Right: Mamba-2, where
// each step sets its own decay; the steps with strong decay are edges that little gets across.
// :::
//
// Why the last column? Down to GLA the blocks below the diagonal are still products of a left and a
// right factor that all channels share: the decay of state $n$ goes into column $n$ of $C$ and of
// $B$. What GLA loses is the one mask, so the triangles on the diagonal need care. Mamba-1 loses
// the sharing. Every channel has a matrix of its own, and for a single column of $X$ there is
// nothing to gain by a product of matrices.
//
// That is all the code of this chapter, compiled for both types:

#define MAMBA2_INSTANTIATE(Real)                                 \
  template Tensor<Real, 2> segsum_naive(const Tensor<Real, 1>&); \
  template Tensor<Real, 2> segsum(const Tensor<Real, 1>&);       \
  template Tensor<Real, 2> decay_mask(const Tensor<Real, 1>&);   \
  template Tensor<Real, 1> singular_values(const Tensor<Real, 2>&);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
