// ## What a state should remember {#s4_hippo}
//
// Now the matrix. What would one *like* $N$ numbers to say about a long past? Say you may keep $N$
// numbers of a curve, all of it that has been drawn so far. A sensible choice is the curve of a
// simple kind that lies closest to it: the best polynomial of degree below $N$. You keep its
// coefficients. As the curve goes on, the best polynomial changes, and the coefficients with it.
// Can they be kept up to date without going back to the curve? That is the question that HiPPO
// [@gu2020] asked, and the answer is a matrix.
//
// First a good way to write polynomials. Powers of $z$ are a poor one, for they all look alike. The
// **Legendre polynomials** $P_n$ stand at right angles on $[-1, 1]$: the mean of $P_n P_k$ over the
// interval is zero where $n \ne k$. Times $\sqrt{2n+1}$ their mean square is one; call them $p_n$.
// They come from each other,
//
// $$
// (n+1)\,P_{n+1}(z) = (2n+1)\,z\,P_n(z) - n\,P_{n-1}(z) .
// $$ {#eq:legendre}

#include <mamba2/hippo.hpp>

#include <cmath>

namespace mamba2 {

Tensor<double, 1> legendre(std::size_t d_state, double z) {
  auto p = zeros<double>(d_state);
  double before = 0, P = 1;  // P_{n-1} and P_n
  for (std::size_t n = 0; n < d_state; ++n) {
    const double degree = static_cast<double>(n);
    p(n) = std::sqrt(2 * degree + 1) * P;
    const double next = ((2 * degree + 1) * z * P - degree * before) / (degree + 1);
    before = P;
    P = next;
  }
  return p;
}

// With such a basis the best coefficients are means. Stretch the past, from time $0$ to now, $t$,
// over $[-1, 1]$, so that $z = 2s/t - 1$ belongs to the time $s$:
//
// $$
// c_n(t) = \frac1t \int_0^t x(s)\,p_n\!\left(\frac{2s}{t} - 1\right) ds .
// $$ {#eq:projection}
//
// That is all that the state should be. Now let time go on, and take the derivative. Three things
// depend on $t$. The factor $1/t$ gives $-\tfrac1t c_n$. The upper end of the integral gives
// $\tfrac1t x(t)\,p_n(1)$: the newest input. And the polynomial is stretched further; its
// derivative is $-\tfrac{2s}{t^2}\,p_n'(z) = -\tfrac1t (z+1)\,p_n'(z)$. This last thing looks new,
// but it is a polynomial of the same degree as $p_n$, so it can be written in the basis:
// $(z+1)\,p_n' = \sum_k D_{nk}\,p_k$. Its integral is then $\sum_k D_{nk} c_k$, in numbers that we
// keep. The coefficients are
//
// $$
// D_{nk} = \operatorname{mean}\bigl((z+1)\,p_n'\,p_k\bigr) = \begin{cases}
// \sqrt{(2n+1)(2k+1)} & k < n \\ n & k = n \\ 0 & k > n , \end{cases}
// $$ {#eq:derivative}
//
// and @exercise{4} finds them from the definition. Put together,
//
// $$
// c' = \tfrac1t ( A\,c + B\,x ), \quad A = -(1 + D), \quad B_n = p_n(1) = \sqrt{2n+1} .
// $$ {#eq:legs}
//
// The curve itself is gone from the equation. $N$ numbers and the newest input are enough.

Tensor<double, 1> legs_input(std::size_t d_state) {
  return legendre(d_state, 1);
}

Tensor<double, 2> legs_matrix(std::size_t d_state) {
  auto A = zeros<double>(d_state, d_state);
  const Tensor<double, 1> B = legs_input(d_state);
  for (std::size_t n = 0; n < d_state; ++n) {
    for (std::size_t k = 0; k < n; ++k) A(n, k) = -B(n) * B(k);
    A(n, n) = -static_cast<double>(n + 1);
  }
  return A;
}

// In steps, by the bilinear rule, with $\Delta = 1$ and the factor $1/t$ at the end of the step.
// The matrix is lower triangular, so its equation is solved from the first number to the last as
// one reads it. The first input is all of the past there is: a constant.

Tensor<double, 2> legs_memory(const Tensor<double, 1>& x, std::size_t d_state) {
  const Tensor<double, 2> A = legs_matrix(d_state);
  const Tensor<double, 1> B = legs_input(d_state);
  auto c = zeros<double>(x.size(), d_state);  // a row after each input
  if (x.size() > 0 && d_state > 0) c(0, 0) = x(0);
  for (std::size_t t = 1; t < x.size(); ++t) {
    const double half = 0.5 / static_cast<double>(t + 1);  // of the step
    for (std::size_t n = 0; n < d_state; ++n) {
      double sum = c(t - 1, n) + 2 * half * B(n) * x(t) + half * A(n, n) * c(t - 1, n);
      for (std::size_t k = 0; k < n; ++k) sum += half * A(n, k) * (c(t - 1, k) + c(t, k));
      c(t, n) = sum / (1 - half * A(n, n));
    }
  }
  return c;
}

// And to look at what the state remembers, draw the polynomial.

Tensor<double, 1> recall(const Tensor<double, 1>& c, std::size_t count) {
  auto x = zeros<double>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double z = (2 * static_cast<double>(i) + 1) / static_cast<double>(count) - 1;
    const Tensor<double, 1> p = legendre(c.size(), z);
    for (std::size_t n = 0; n < c.size(); ++n) x(i) += c(n) * p(n);
  }
  return x;
}

}  // namespace mamba2

// ::: figure recall
// A signal of 600 steps (grey), and what the state of LegS says of it, drawn from the state alone:
// from 8 numbers and from 32, in the middle of the signal and at its end.
// :::
//
// The state after 300 steps draws the first half; the same state, 300 steps later, draws all of it.
// It was never told how long the signal would be. Nothing has faded, but everything is stretched:
// twice the past in as many numbers, and so the details that fitted a moment ago no longer do. That
// is what a memory of fixed size has to do, and LegS (for *Legendre, scaled*) does it evenly.
//
// ## A clock that does not slow down {#s4_clock}
//
// The factor $1/t$ is no good for a model whose numbers stand still. S4 leaves it out, $h' = A h +
// B x$ with the same $A$ and $B$. What is remembered then? Let the old clock show $t$ and the new
// one $\tau = \ln t$. As $dt/t = d\tau$, the equation with $1/t$ is the equation without it, in the
// time $\tau$. So the state holds means of a past that is stretched exponentially: with $s$ for how
// long ago,
//
// $$
// h_n(\tau) = \int_0^\infty x(\tau - s)\; e^{-s}\,p_n\bigl(2e^{-s} - 1\bigr)\,ds .
// $$ {#eq:warped}
//
// That is a convolution, as it must be, and it tells the kernel of each number of the state in
// closed form (the tests hold the matrix to it): a polynomial in $e^{-s}$. S4 was half a year old
// when this was noticed [@gu2022train].
//
// ::: figure basis
// What each of the first numbers of the state keeps of an impulse $s$ ago. Left S4, with LegS's
// matrix; right two of S4D's, below.
// :::
//
// The latest unit of time fills more than half of $[-1, 1]$; it is remembered sharply. Five units
// ago all is blurred, and what is older is nearly nothing. How many *steps* a unit of time has, the
// step size says: $1/\Delta$. So $\Delta$ sets how far the memory reaches. It is learnt, and it has
// to begin near the right value, as we shall see.
