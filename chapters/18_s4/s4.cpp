// # S4 {#ch_s4}
// @summary Where it came from: a state tuned like an instrument, whose every step is the same, and so one long convolution.
//
// Everything in this book so far *selects*: the decay, the address to write to and the one to read
// from are computed from the token. The models before Mamba did nothing of the kind. Their numbers
// were learnt once and then stayed the same at every step of every sequence. That sounds like a
// poorer model, and for text it is. But a model that never changes can do two things that Mamba-2
// cannot. It can be computed for all steps at once, by Fourier transforms, whatever its matrix is.
// And since its matrix is given in advance, it can be *designed*: there is an answer to the
// question what $N$ numbers should remember of a long past, and it can be put into the model before
// training begins.
//
// This chapter goes back there, one change at a time, from the recurrence of @chapter{state_space}.
// The parameters stand still. The decay becomes a matrix. The matrix is chosen so that the state
// can be read as a picture of the past. Then the matrix has to be made cheap, and there are two
// ways: S4 [@gu2022], whose trick is famous for being hard, and S4D [@gu2022s4d], which is easy and
// was found half a year later. In the end a small model learns a task with a long memory, from four
// beginnings, and three of them succeed.
//
// ## What it builds on {#s4_builds_on}
//
// On @chapter{state_space}: the recurrence, the zero-order hold, the kernel and the causal
// convolution, which this chapter's forms are held against. The parameters of S4D are described as
// @chapter{mamba2_block} describes those of a block, and its first values are drawn with the random
// numbers of @chapter{selection}. The program lets AdamW of @chapter{training} learn them, in one
// thread (@chapter{fast}).
//
// In thought, on @chapter{chunked_scan}, which is what took the convolution's place.
//
// ## Shapes {#s4_shapes}
//
// All numbers of this chapter are doubles: a kernel is a sum of thousands of powers, and nothing is
// gained here by rounding them. There is one channel, unless it is said that there are several;
// each has a model of its own, and they do not speak to each other.
//
// ::: shapes
// | symbol | in code | shape | what it is |
// |:--|:--|:--|:--|
// | $x$, $y$ | `x`, `y` | $(T)$ | inputs and outputs of a channel |
// | $h$ | `h` | $(N)$ | the state |
// | $A$, $\bar A$ | `A` | $(N, N)$ | what the state does by itself, in time that flows and in steps |
// | $B$, $\bar B$ | `B` | $(N)$ | how the input enters |
// | $C$ | `C` | $(N)$ | how the state is read |
// | $K$ | `K` | $(T)$ | the kernel |
// | $c$ | `c` | $(N)$ | a state that is read as coefficients of polynomials |
// | $\Lambda$, $P$ | `Lambda`, `P` | $(N)$ | of S4's matrix, $A = \diag(\Lambda) - P P^*$ |
// :::

#include <mamba2/error.hpp>
#include <mamba2/linear_system.hpp>

#include <xtensor-blas/xlinalg.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace mamba2 {

// ## From a bucket to a spring {#s4_spring}
//
// A bucket with a hole forgets. That is all it can do by itself: its level falls, and no choice of
// $A$ makes it rise again. Nothing in it could tell a token of ten steps ago from a weaker token of
// five steps ago.
//
// Hang a weight on a spring instead and give it a push. It goes down, comes up, goes down again,
// and where it is at a given moment says *when* it was pushed. For this one number is not enough.
// Where the weight is does not settle what it does next; its speed counts, too. So the state has
// two numbers, position $q$ and speed $v$, and each one's rate of change depends on both:
//
// $$
// \begin{pmatrix} q' \\ v' \end{pmatrix} =
// \begin{pmatrix} 0 & 1 \\ -k & -r \end{pmatrix}
// \begin{pmatrix} q \\ v \end{pmatrix} +
// \begin{pmatrix} 0 \\ 1 \end{pmatrix} x .
// $$ {#eq:spring}
//
// ($k$ is how stiff the spring is, $r$ the friction, and the push $x$ changes the speed.) This is
// the model of @eqref{eq:ode} once more, with a **matrix** for $A$. In general $N$ numbers, an
// $N \times N$ matrix $A$, and vectors $B$ and $C$. In steps:
//
// $$
// h_t = \bar A\,h_{t-1} + \bar B\,x_t, \qquad y_t = C\,h_t .
// $$ {#eq:matrix_recurrence}

template <class Value>
static void check_system(const LinearSystem<Value>& system) {
  const std::size_t N = system.B.size();
  require_shape("A", system.A, {N, N}, "(d_state, d_state)");
  require_shape("C", system.C, {N}, "(d_state)");
}

template <class Value>
Tensor<double, 1> linear_recurrent(const LinearSystem<Value>& system, const Tensor<double, 1>& x) {
  check_system(system);
  const std::size_t T = x.size(), N = system.B.size();
  auto h = zeros<Value>(N), before = h;  // (d_state)
  auto y = zeros<double>(T);             // (seqlen)
  for (std::size_t t = 0; t < T; ++t) {
    std::swap(h, before);
    for (std::size_t n = 0; n < N; ++n) {
      h(n) = system.B(n) * x(t);
      for (std::size_t m = 0; m < N; ++m) h(n) += system.A(n, m) * before(m);
      y(t) += std::real(system.C(n) * h(n));
    }
  }
  return y;
}

// (`Value` is `double` or `Complex`. Why anybody would want complex numbers here, the spring will
// say in a moment.) If $\bar A$ is a number times the identity matrix, this is
// @chapter{state_space}'s loop with one channel, and the program checks that.
//
// In Mamba-2 $\bar A_t$ *is* a single number, whatever else it may be. A head of it is a row of
// buckets that all leak alike. So why did its grandparents take a whole matrix, $N^2$ numbers?
// Because they had no other means. Mamba-2 tells tokens apart by *where* it writes them, since
// $B_t$ is another at each token. Here $B$ is the same for all, and every token is written in the
// same place. What is left to tell them apart is what the state does afterwards.
//
// ::: keyidea
// Without selection, when a token came can be read only from what has become of it since. So the
// matrix $A$ is the whole design.
// :::
//
// ## The kernel {#s4_kernel}
//
// As in @eqref{eq:convolution}, a model whose numbers do not change is a convolution, and its
// kernel is what comes out after a single impulse:
//
// $$
// K_k = C\,\bar A^{\,k}\,\bar B, \qquad y_t = \sum_{k=0}^{t} K_k\,x_{t-k} .
// $$ {#eq:matrix_kernel}

template <class Value>
Tensor<double, 1> linear_kernel(const LinearSystem<Value>& system, std::size_t seqlen) {
  auto impulse = zeros<double>(seqlen);
  if (seqlen > 0) impulse(0) = 1;
  return linear_recurrent(system, impulse);
}

// This is the naive way: one product of a matrix with a vector for each entry, $T N^2$
// multiplications, one after the other. Two thirds of this chapter are about doing it better. It
// stays as the oracle for everything that follows.
//
// ## Two ways to take a step {#s4_discretization}
//
// From $A$ to $\bar A$: for one number the zero-order hold gave $\bar A = e^{\Delta A}$. With a
// matrix the same derivation gives the exponential of a matrix, defined by the same series,
// $e^M = 1 + M + \tfrac12 M^2 + \cdots$ The series is short where $M$ is small. So halve $M$ until
// it is, take the series, and square the result as often: $e^M = (e^{M/2})^2$.

Tensor<double, 2> matrix_exponential(const Tensor<double, 2>& M) {
  const std::size_t N = M.shape(0);
  require_shape("M", M, {N, N}, "(n, n)");
  double size = 0;  // the largest sum over a row
  for (std::size_t i = 0; i < N; ++i) {
    double row = 0;
    for (std::size_t j = 0; j < N; ++j) row += std::abs(M(i, j));
    require(std::isfinite(row), "M", "finite numbers", "infinity or no number");
    size = std::max(size, row);
  }
  const int halvings = size > 0.5 ? std::ilogb(size) + 2 : 0;
  const Tensor<double, 2> small = M * std::ldexp(1.0, -halvings);  // of size 1/2 at most
  Tensor<double, 2> sum = xt::eye<double>(N), term = sum;
  for (int k = 1; k <= 16; ++k) {
    term = xt::linalg::dot(term, small) / k;
    sum += term;
  }
  for (int k = 0; k < halvings; ++k) sum = xt::linalg::dot(sum, sum);
  return sum;
}

// $\bar B$ takes a trick. @eqref{eq:zoh} divides by $A$, and a matrix may have no inverse: a weight
// without a spring, $k = r = 0$, is an example. But the input that is held during the step may be
// counted as one more number of the state, one that never changes. Then there is no input left,
// and one exponential gives both:
//
// $$
// \exp \left( \Delta \begin{pmatrix} A & B \\ 0 & 0 \end{pmatrix} \right) =
// \begin{pmatrix} \bar A & \bar B \\ 0 & 1 \end{pmatrix} .
// $$ {#eq:augmented}

LinearSystem<double> discretize_zero_order_hold(const LinearSystem<double>& system, double dt) {
  check_system(system);
  require(dt > 0, "dt", "a step above 0", std::to_string(dt));
  const std::size_t N = system.B.size();
  auto M = zeros<double>(N + 1, N + 1);
  for (std::size_t n = 0; n < N; ++n) {
    for (std::size_t m = 0; m < N; ++m) M(n, m) = dt * system.A(n, m);
    M(n, N) = dt * system.B(n);
  }
  const Tensor<double, 2> both = matrix_exponential(M);
  LinearSystem<double> discrete{zeros<double>(N, N), zeros<double>(N), system.C};
  for (std::size_t n = 0; n < N; ++n) {
    for (std::size_t m = 0; m < N; ++m) discrete.A(n, m) = both(n, m);
    discrete.B(n) = both(n, N);
  }
  return discrete;
}

// S4 takes another rule, for a reason that will show when its kernel is computed: the **bilinear**
// one. Euler's rule takes the rate at the beginning of the step for the whole of it. The bilinear
// rule takes the mean of the rates at the beginning and at the end,
//
// $$
// h_t = h_{t-1} + \Delta \left( A\,\frac{h_{t-1} + h_t}{2} + B\,x_t \right) .
// $$
//
// The new state stands on both sides. Bring it to one:
//
// $$
// \bar A = \bigl(1 - \tfrac\Delta2 A\bigr)^{-1} \bigl(1 + \tfrac\Delta2 A\bigr), \qquad
// \bar B = \bigl(1 - \tfrac\Delta2 A\bigr)^{-1} \Delta B .
// $$ {#eq:bilinear}

template <class Value>
LinearSystem<Value> discretize_bilinear(const LinearSystem<Value>& system, double dt) {
  check_system(system);
  require(dt > 0, "dt", "a step above 0", std::to_string(dt));
  const Tensor<Value, 2> one = xt::eye<Value>(system.B.size());
  const Tensor<Value, 2> half = system.A * Value(dt / 2);
  const Tensor<Value, 2> left = one - half, right = one + half;
  const Tensor<Value, 1> input = system.B * Value(dt);
  return {xt::linalg::solve(left, right), xt::linalg::solve(left, input), system.C};
}

// What do the rules do to a spring? Ask what a complex number is doing here. $h' = A h$ with a
// complex number $A = -a + i\omega$ has the solution $e^{-at} e^{i\omega t}$: a point that runs
// round in a circle, $\omega$ radians in a unit of time, while the circle shrinks. Its real part
// goes up and down like the weight on the spring. A complex number is a spring, and this is no
// figure of speech: the matrix of @eqref{eq:spring} has two eigenvalues that are conjugates of each
// other, and in the right coordinates the pair of numbers $(q, v)$ is one complex number. The real
// part of $A$ says how fast it fades, the imaginary part how fast it swings.

Discretized<Complex> discretize_zero_order_hold(Complex A, double dt) {
  const Complex z = dt * A, E = std::exp(z);
  if (A == 0.0) return {E, dt};
  const double half_sine = std::sin(z.imag() / 2);
  const Complex E_minus_1(std::expm1(z.real()) * std::cos(z.imag()) - 2 * half_sine * half_sine,
                          E.imag());
  return {E, E_minus_1 / A};
}

Discretized<Complex> discretize_bilinear(Complex A, double dt) {
  const Complex half = dt / 2 * A;
  return {(1.0 + half) / (1.0 - half), dt / (1.0 - half)};
}

// (The standard library has no `expm1` for complex numbers; its real part is written so that
// nothing cancels.)
//
// Now all that a rule does can be seen: it takes each complex number $\Delta A$ to another, $\bar
// A$. In time that flows a mode fades if it lies in the left half of the plane. In steps it fades
// if $|\bar A| < 1$, inside the unit circle.
//
// ::: figure planes
// The left half of the plane (a piece of it, $-3 \le \mathrm{Re}\,\Delta A \le 0$,
// $|\mathrm{Im}\,\Delta A| \le \pi$; colours by how fast the mode swings) and where the three rules
// take it. The grey circle has radius one.
// :::
//
// - **Euler's rule** moves the plane by one and does nothing else. What lies outside of the circle
//   grows: a spring that swings at all needs friction or tiny steps.
// - **The zero-order hold** rolls the plane up. Everything lands inside the circle, each mode at
//   the angle $\Delta\omega$ by which it turns in one step, fading as it should. But angles repeat
//   themselves. Beyond $\Delta\omega = \pi$ a fast swing cannot be told from a slower one, as
//   wheels in a film seem to turn backwards.
// - **The bilinear rule** bends the half plane into the circle, all of it and without folds. The
//   price is the pitch: a mode turns by $2 \arctan(\Delta\omega/2)$ in a step, nearly right where
//   it is slow, too slow where it is fast. And a mode that fades very fast lands near $-1$: it does
//   not vanish but changes its sign at each step.
//
// ::: figure swing
// A spring ($\omega = 2$, little friction) after one push, in steps of $\Delta = 0.6$. The grey
// line is what it does between the steps.
// :::
//
// For small steps all three are the same, and training can make up for the difference. S4D allows
// both, and finds little between them [@gu2022s4d].

#define MAMBA2_INSTANTIATE(Value)                                                                    \
  template LinearSystem<Value> discretize_bilinear(const LinearSystem<Value>&, double);              \
  template Tensor<double, 1> linear_recurrent(const LinearSystem<Value>&, const Tensor<double, 1>&); \
  template Tensor<double, 1> linear_kernel(const LinearSystem<Value>&, std::size_t);
MAMBA2_INSTANTIATE(double)
MAMBA2_INSTANTIATE(Complex)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
