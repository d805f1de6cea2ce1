// ## Not diagonal {#s4_not_diagonal}
//
// The kernel costs $T N^2$ multiplications if $A$ is any matrix. If it is diagonal, it costs $T N$:
// each number of the state goes its own way, and its powers are powers of numbers. And nearly every
// matrix is diagonal in the right coordinates. Write $h = V g$ for an invertible $V$, and the model
// $(A, B, C)$ becomes $(V^{-1} A V,\ V^{-1} B,\ C V)$ without any change to its outputs. Take the
// eigenvectors for the columns of $V$, and it is done.
//
// On paper. LegS's matrix is triangular, so its eigenvalues stand on the diagonal, $-1, -2, \dots,
// -N$. Its eigenvectors are found from the first entry to the last. Here is how large their largest
// entry is beside the one that belongs to the diagonal:
//
// @output eigenvectors
//
// They grow like $2^{4N/3}$ [@gu2022]. With $N = 32$ the coordinates of a state of ordinary size
// have more than twelve digits before the point, and they have to cancel: no double can hold what
// is left. So $A$ is diagonal in no coordinates that a machine could use.
//
// There is one kind of matrix whose coordinates never misbehave. A matrix is **normal** if its
// eigenvectors stand at right angles. Then $V$ is a rotation, and its inverse is its conjugate
// transpose, $V^*$. LegS's matrix is not normal. But look at it beside its own transpose: below the
// diagonal $-\sqrt{(2n+1)(2k+1)}$, above it nothing. Add *half* of that product everywhere,
//
// $$
// A + P P^\top, \qquad P_n = \sqrt{n + \tfrac12}, \qquad
// P_n P_k = \tfrac12 \sqrt{(2n+1)(2k+1)} ,
// $$
//
// and below the diagonal half is left, above it stands the same half with the other sign, and on
// the diagonal $-(n+1) + n + \tfrac12 = -\tfrac12$. Up to that $-\tfrac12$ the sum is
// *skew-symmetric*, and such matrices are normal, with eigenvalues that are purely imaginary.
//
// ::: figure split
// LegS's matrix for $N = 8$ (blue: positive, red: negative) is a normal matrix minus a product of
// two vectors.
// :::
//
// ::: keyidea
// HiPPO's matrix is **normal plus low rank**. In the coordinates of its normal part it is diagonal,
// but for one product of two vectors: $A = \diag(\Lambda) - P P^*$, with
// $\Lambda_n = -\tfrac12 + i\omega_n$: $N$ springs of equal friction, and one thing that couples
// them.
// :::

#include <mamba2/error.hpp>
#include <mamba2/fourier.hpp>
#include <mamba2/hippo.hpp>
#include <mamba2/s4_kernel.hpp>

#include <xtensor-blas/xlinalg.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <tuple>
#include <vector>

namespace mamba2 {

// The library for linear algebra wants a Hermitian matrix, one that equals its conjugate transpose.
// $-i$ times a skew-symmetric one is that, with the $\omega_n$ for eigenvalues.

DiagonalPlusLowRank legs_diagonal_plus_low_rank(const Tensor<double, 1>& C) {
  const std::size_t N = C.size();
  const Tensor<double, 2> A = legs_matrix(N);
  const Tensor<double, 1> B = legs_input(N), P = B / std::sqrt(2.0);
  auto hermitian = zeros<Complex>(N, N);
  for (std::size_t n = 0; n < N; ++n)
    for (std::size_t k = 0; k < N; ++k)
      if (n != k) hermitian(n, k) = Complex(0, -1) * (A(n, k) + P(n) * P(k));
  const auto eigen = xt::linalg::eigh(hermitian);
  const Tensor<double, 1> frequencies = std::get<0>(eigen);
  const Tensor<Complex, 2> V = std::get<1>(eigen);  // an eigenvector in each column
  DiagonalPlusLowRank model{zeros<Complex>(N), zeros<Complex>(N), zeros<Complex>(N), zeros<Complex>(N)};
  for (std::size_t n = 0; n < N; ++n) {
    model.Lambda(n) = Complex(-0.5, frequencies(n));
    for (std::size_t k = 0; k < N; ++k) {
      model.P(n) += std::conj(V(k, n)) * P(k);
      model.B(n) += std::conj(V(k, n)) * B(k);
      model.C(n) += C(k) * V(k, n);
    }
  }
  return model;
}

static void check_model(const DiagonalPlusLowRank& model) {
  const std::size_t N = model.Lambda.size();
  require_shape("P", model.P, {N}, "(d_state)");
  require_shape("B", model.B, {N}, "(d_state)");
  require_shape("C", model.C, {N}, "(d_state)");
}

LinearSystem<Complex> written_out(const DiagonalPlusLowRank& model) {
  check_model(model);
  const std::size_t N = model.Lambda.size();
  LinearSystem<Complex> system{zeros<Complex>(N, N), model.B, model.C};
  for (std::size_t n = 0; n < N; ++n) {
    for (std::size_t k = 0; k < N; ++k) system.A(n, k) = -model.P(n) * std::conj(model.P(k));
    system.A(n, n) += model.Lambda(n);
  }
  return system;
}

// ## The kernel of S4 {#s4_cauchy}
//
// "Nearly diagonal" does not help with powers: in $\bar A^k$ the low rank grows with $k$. What it
// does help with are *inverses*. So S4 asks for the kernel by its frequencies, which turn out to be
// inverses, and lets a Fourier transform do the rest. There are four steps, none of them long.
//
// **1. Frequencies are a geometric series.** The transform of the kernel is the polynomial
// $\hat K(z) = \sum_{k<T} K_k z^k$ at the points $z = e^{-2\pi i j/T}$. (Its length is $T$, without
// room for a tail: nothing is convolved here, only a kernel asked for.) With
// $K_k = C \bar A^k \bar B$ that is a geometric series of matrices, and it has the sum that such a
// series has:
//
// $$
// \hat K(z) = C \Bigl( \sum_{k=0}^{T-1} (z \bar A)^k \Bigr) \bar B
// = C\,\bigl(1 - z^T \bar A^T\bigr) \bigl(1 - z \bar A\bigr)^{-1} \bar B .
// $$ {#eq:generating}
//
// At the $T$-th roots of unity $z^T = 1$. Then the first bracket is the same for all frequencies,
// and can be multiplied into $C$ once and for all:
//
// $$
// \hat K(z) = \tilde C\,\bigl(1 - z \bar A\bigr)^{-1} \bar B, \qquad
// \tilde C = C\,\bigl(1 - \bar A^T\bigr) .
// $$ {#eq:truncated}
//
// **2. Back to the matrix that is nearly diagonal.** Put in the bilinear rule, @eqref{eq:bilinear}.
// Both $\bar A$ and $\bar B$ begin with $(1 - \tfrac\Delta2 A)^{-1}$, which cancels:
//
// $$
// \begin{aligned}
// \bigl(1 - z \bar A\bigr)^{-1} \bar B
// &= \Bigl( \bigl(1 - \tfrac\Delta2 A\bigr) - z \bigl(1 + \tfrac\Delta2 A\bigr) \Bigr)^{-1} \Delta B
// \\ &= \bigl( g - u A \bigr)^{-1} B, \qquad
// g = \frac{1 - z}{\Delta}, \quad u = \frac{1 + z}{2} .
// \end{aligned}
// $$ {#eq:resolvent}
//
// This is why S4 wants the bilinear rule: $\bar A$ is a quotient of things linear in $A$, and the
// quotient goes through. With $e^{\Delta A}$ it would not.
//
// **3. Woodbury's identity.** The inverse of a matrix plus a product of two vectors is the inverse
// of the matrix, minus another product of two vectors. With $R = (g - u\Lambda)^{-1}$, which is
// diagonal, and $A = \Lambda - P P^*$:
//
// $$
// \bigl(g - u A\bigr)^{-1} = \bigl(g - u\Lambda + u\,P P^*\bigr)^{-1}
// = R - \frac{u\,R P\,P^* R}{1 + u\,P^* R P} .
// $$ {#eq:woodbury}
//
// (Multiply the right side by $R^{-1} + u P P^*$ to see it.)
//
// **4. Four sums.** Between $\tilde C$ and $B$, the diagonal $R$ makes sums of one kind,
//
// $$
// \langle v, w \rangle = \sum_n \frac{v_n\,w_n}{g - u\Lambda_n} ,
// $$ {#eq:cauchy}
//
// products with a **Cauchy matrix**, whose entries are one over a difference.[^cauchy] Four of them
// are a frequency:
//
// $$
// \hat K(z) = \langle \tilde C, B \rangle -
// \frac{u\,\langle \tilde C, P \rangle \langle \bar P, B \rangle}{1 + u\,\langle \bar P, P \rangle} .
// $$ {#eq:frequency}
//
// [^cauchy]: Divide numerator and denominator by $u$, and the entry is $1/(g/u - \Lambda_n)$ as
// usual. The paper does so. At $z = -1$ that is a division by zero, the only one of the
// frequencies at which $u$ vanishes; our way of writing it has no such place.

static Tensor<Complex, 2> power(Tensor<Complex, 2> base, std::size_t exponent) {
  Tensor<Complex, 2> result = xt::eye<Complex>(base.shape(0));
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result = xt::linalg::dot(result, base);
    base = xt::linalg::dot(base, base);
  }
  return result;
}

static Complex frequency(const DiagonalPlusLowRank& model, const Tensor<Complex, 1>& C, double dt,
                         Complex z) {
  const Complex g = (1.0 - z) / dt, u = (1.0 + z) / 2.0;
  Complex CB = 0, CP = 0, PB = 0, PP = 0;
  for (std::size_t n = 0; n < C.size(); ++n) {
    const Complex r = 1.0 / (g - u * model.Lambda(n));
    CB += C(n) * r * model.B(n);
    CP += C(n) * r * model.P(n);
    PB += std::conj(model.P(n)) * r * model.B(n);
    PP += std::conj(model.P(n)) * r * model.P(n);
  }
  return CB - u * CP * PB / (1.0 + u * PP);
}

// And the whole. The power $\bar A^T$ takes $\log_2 T$ squarings. S4 does not even do that: it
// learns $\tilde C$ instead of $C$.

Tensor<double, 1> s4_kernel(const DiagonalPlusLowRank& model, double dt, std::size_t seqlen) {
  const LinearSystem<Complex> discrete = discretize_bilinear(written_out(model), dt);
  auto K = zeros<double>(seqlen);
  if (seqlen == 0) return K;
  const Tensor<Complex, 2> last = power(discrete.A, seqlen);
  Tensor<Complex, 1> C = model.C;  // times 1 - last
  for (std::size_t n = 0; n < C.size(); ++n)
    for (std::size_t k = 0; k < C.size(); ++k) C(n) -= model.C(k) * last(k, n);

  const RealFourier transform(seqlen);
  std::vector<Complex> frequencies(seqlen / 2 + 1);
  for (std::size_t j = 0; j < frequencies.size(); ++j) {
    const double turn = static_cast<double>(j) / static_cast<double>(seqlen);
    frequencies[j] = frequency(model, C, dt, std::polar(1.0, -2 * std::numbers::pi * turn));
  }
  const std::vector<double> kernel = transform.backward(frequencies);
  std::copy(kernel.begin(), kernel.end(), K.begin());
  return K;
}

}  // namespace mamba2

// Held against the naive kernel of LegS's own matrix, which has never heard of complex numbers:
//
// @output kernel
//
// ::: paper
// This is Algorithm 1 of [@gu2022], there for $A = \Lambda - P Q^*$ with two vectors. With $Q = P$
// the eigenvalues of $A$ stay in the left half of the plane whatever is learnt, as its real part
// $\mathrm{Re}\,\Lambda - P P^*$ can only be negative.
// :::
