// ## Diagonal after all {#s4_diagonal}
//
// Half a year after S4 it was found that the part that makes all the trouble can be left out
// [@gupta2022]: take S4's $\Lambda$ and forget $P$. Why that works can be seen from what $P$ does
// [@gu2022s4d]. Up to a factor it is $B$, $P = B/\sqrt2$, and $B_n = p_n(1)$. So $B^\top h$ is the
// polynomial at its right end, what the state says of the *newest* input. If it remembers well,
// that is the newest input:
//
// $$
// \begin{aligned}
// A h + B x &= (A + P P^\top)\,h - \tfrac12 B\,\underbrace{B^\top h}_{\approx\, x} + B\,x
// \\ &\approx (A + P P^\top)\,h + \tfrac12 B\,x .
// \end{aligned}
// $$ {#eq:forget_p}
//
// What is left is the normal part, with half of $B$. It should be nearly the same, the nearer the
// more numbers the state has, and for a smooth input it is:
//
// @output limit
//
// So **S4D** takes a diagonal $A$ from the beginning. In a diagonal model $B_n$ and $C_n$ occur
// only as a product, so $B = 1$. Its numbers come in conjugate pairs, and of a pair only one is
// stored: the other adds the same real part. With the zero-order hold,
//
// $$
// K_k = 2\,\mathrm{Re} \sum_{n} w_n\,E_n^{\,k}, \qquad
// E_n = e^{\Delta A_n}, \quad w_n = C_n\,\frac{e^{\Delta A_n} - 1}{A_n} .
// $$ {#eq:vandermonde}
//
// As a product, that is a matrix with the powers of each $E_n$ in a row, a **Vandermonde matrix**,
// times the vector of the $w_n$. It need not be written down: the next power is the last one times
// $E_n$. Three pages of S4 have become a loop.

#include <mamba2/error.hpp>
#include <mamba2/hippo.hpp>
#include <mamba2/s4_kernel.hpp>
#include <mamba2/s4d.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

namespace mamba2 {

Tensor<double, 1> vandermonde_kernel(const Tensor<Complex, 1>& weights, const Tensor<Complex, 1>& nodes,
                                     std::size_t seqlen) {
  require_shape("nodes", nodes, {weights.size()}, "(pairs)");
  auto K = zeros<double>(seqlen);
  for (std::size_t n = 0; n < weights.size(); ++n) {
    Complex term = weights(n);
    for (std::size_t k = 0; k < seqlen; ++k) {
      K(k) += 2 * term.real();
      term *= nodes(n);
    }
  }
  return K;
}

// ## Four beginnings {#s4_beginnings}
//
// A diagonal model is a chord of springs, and everything depends on how it is tuned. Four tunings
// have names. For $n = 0, 1, \dots, N/2 - 1$:
//
// | name | $A_n$ | where it comes from |
// |:--|:--|:--|
// | LegS | $-\tfrac12 + i\omega_n$ | the $\Lambda$ of S4 |
// | Inv | $-\tfrac12 + i\,\tfrac N\pi \bigl(\tfrac{N}{2n+1} - 1\bigr)$ | a formula near the former |
// | Lin | $-\tfrac12 + i\,\pi n$ | the frequencies of a Fourier series |
// | Real | $-(n+1)$ | the eigenvalues of LegS's matrix itself |
//
// The last one looks like the most faithful. It is the diagonal of LegS's matrix in the coordinates
// of its own eigenvectors, those that no machine can use. It has no springs at all, only buckets.

Tensor<Complex, 1> s4d_rates(S4DInitial initial, std::size_t d_state) {
  require(d_state % 2 == 0, "d_state", "an even number", std::to_string(d_state));
  const std::size_t pairs = d_state / 2;
  const double N = static_cast<double>(d_state);
  auto A = zeros<Complex>(pairs);
  if (initial == S4DInitial::legs && pairs > 0) {
    const auto all = legs_diagonal_plus_low_rank(zeros<double>(d_state)).Lambda;  // lowest first
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(pairs), pairs, A.begin());
  }
  for (std::size_t i = 0; i < pairs; ++i) {
    const double n = static_cast<double>(i), pi = std::numbers::pi;
    if (initial == S4DInitial::inverse) A(i) = Complex(-0.5, N / pi * (N / (2 * n + 1) - 1));
    if (initial == S4DInitial::linear) A(i) = Complex(-0.5, pi * n);
    if (initial == S4DInitial::real) A(i) = -(n + 1);
  }
  return A;
}

// ::: figure rates
// The frequencies $\omega_n$ of three tunings in order, for $N = 64$, one of each pair (the lowest
// of Lin is zero). Real has none.
// :::
//
// LegS and Inv have most of their frequencies low and a few very high ones, up to $N^2/\pi$; Lin
// spaces them evenly. What they have in common is the friction, $\tfrac12$ for all: every spring
// remembers as long as every other, and they differ in pitch alone. In Real they differ in nothing
// *but* how fast they forget.
//
// A layer has several channels, each with a $\Delta$ of its own, spread as Mamba's are
// (@chapter{selection}). The parameters, described as @chapter{mamba2_block} does it; none of them
// decays.

//: fold The parameters, described
void S4DConfig::check() const {
  require(channels > 0, "channels", "at least 1", "0");
  require(d_state > 0 && d_state % 2 == 0, "d_state", "an even number above 0",
          std::to_string(d_state));
  require(dt_min > 0 && dt_min <= dt_max, "dt_min", "above 0 and at most dt_max",
          std::to_string(dt_min));
}

std::vector<ParameterInfo> describe(const S4DConfig& config) {
  config.check();
  const std::size_t channels = config.channels, pairs = config.d_state / 2;
  const Tensor<Complex, 1> A = s4d_rates(config.initial, config.d_state);
  const double low = std::log(config.dt_min), high = std::log(config.dt_max);
  const auto dt = [=](Random& random, std::size_t) { return random.uniform(low, high); };
  const auto A_log = [=](Random&, std::size_t i) { return std::log(-A(i % pairs).real()); };
  const auto frequency = [=](Random&, std::size_t i) { return A(i % pairs).imag(); };
  const auto C = [](Random& random, std::size_t) { return std::sqrt(0.5) * random.normal(); };
  std::vector<ParameterInfo> list;
  const auto add = [&](const char* name, std::vector<std::size_t> shape, const char* axes,
                       Initial initial) {
    list.push_back({name, std::move(shape), axes, Role::other, false, Split{}, std::move(initial)});
  };
  add("log_dt", {channels}, "(channels)", dt);
  add("A_log", {channels, pairs}, "(channels, d_state / 2)", A_log);
  add("frequency", {channels, pairs}, "(channels, d_state / 2)", frequency);
  add("C", {channels, pairs, 2}, "(channels, d_state / 2, 2)", C);
  return list;
}

// As ever, what is learnt is $A_{\log}$, so that the real part $-e^{A_{\log}}$ stays negative. The
// frequency may become what it likes. From the parameters of one spring to its numbers:

namespace {

struct Mode {
  double dt;
  Complex A, C, E, F;  // E = e^{dt A}, F = (E - 1) / A
};

Mode mode(const S4DParameters& p, std::size_t channel, std::size_t n) {
  const double dt = std::exp(p.log_dt(channel));
  const Complex A(-std::exp(p.A_log(channel, n)), p.frequency(channel, n));
  const auto step = discretize_zero_order_hold(A, dt);
  return {dt, A, Complex(p.C(channel, n, 0), p.C(channel, n, 1)), step.A_bar, step.B_bar};
}

void check(const S4DParameters& p) {
  const std::size_t channels = p.log_dt.size(), pairs = p.A_log.shape(1);
  require_shape("A_log", p.A_log, {channels, pairs}, "(channels, d_state / 2)");
  require_shape("frequency", p.frequency, {channels, pairs}, "(channels, d_state / 2)");
  require_shape("C", p.C, {channels, pairs, 2}, "(channels, d_state / 2, 2)");
}

}  // namespace

Tensor<double, 2> s4d_kernel(const S4DParameters& p, std::size_t seqlen) {
  check(p);
  const std::size_t channels = p.log_dt.size(), pairs = p.A_log.shape(1);
  auto K = zeros<double>(channels, seqlen);
  for (std::size_t c = 0; c < channels; ++c) {
    auto weights = zeros<Complex>(pairs), nodes = weights;
    for (std::size_t n = 0; n < pairs; ++n) {
      const Mode m = mode(p, c, n);
      weights(n) = m.C * m.F;
      nodes(n) = m.E;
    }
    const Tensor<double, 1> row = vandermonde_kernel(weights, nodes, seqlen);
    std::copy(row.begin(), row.end(), K.begin() + static_cast<std::ptrdiff_t>(c * seqlen));
  }
  return K;
}

// For a model that writes, one token at a time, it is a recurrence like any other. A complex number
// for each pair is all that it remembers.

Tensor<double, 2> s4d_recurrent(const S4DParameters& p, const Tensor<double, 2>& x) {
  check(p);
  const std::size_t channels = p.log_dt.size(), pairs = p.A_log.shape(1), seqlen = x.shape(1);
  require_shape("x", x, {channels, seqlen}, "(channels, seqlen)");
  auto y = zeros<double>(channels, seqlen);
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t n = 0; n < pairs; ++n) {
      const Mode m = mode(p, c, n);
      Complex h = 0;
      for (std::size_t t = 0; t < seqlen; ++t) {
        h = m.E * h + m.F * x(c, t);
        y(c, t) += 2 * (m.C * h).real();
      }
    }
  return y;
}

// ## What it learns from {#s4_gradient}
//
// From the gradient of the outputs to that of the kernel was @eqref{eq:correlation}. From the
// kernel to the parameters it is a line of calculus, if one reckons with complex numbers as with
// any others and takes the real part at the end. With $F_n = (E_n - 1)/A_n$ and a change of
// everything,
//
// $$
// \begin{aligned}
// dK_k &= 2\,\mathrm{Re}\,\bigl( E^k\,dw + k\,w\,E^k\,d(\Delta A) \bigr)
// \\ dw &= F\,dC + C\,\frac{E}{A}\,d(\Delta A) - \frac{C F}{A}\,dA ,
// \end{aligned}
// $$
//
// for each $n$. Multiply by $\nabla K_k$ and sum over $k$. Of the kernel's gradient only two sums
// are needed, $S = \sum_k \nabla K_k\,E^k$ and $S' = \sum_k k\,\nabla K_k\,E^k$. Then the loss
// changes by
//
// $$
// 2\,\mathrm{Re}\,\Bigl( S F\,dC + U\,d(\Delta A) - \frac{S C F}{A}\,dA \Bigr), \quad
// U = C \Bigl( \frac{S E}{A} + S' F \Bigr) .
// $$ {#eq:s4d_gradient}
//
// What is left is the chain rule: $d(\Delta A) = \Delta\,dA + A\,\Delta\,d(\log \Delta)$, and
// $dA = \mathrm{Re}(A)\,dA_{\log} + i\,d\omega$. Of a complex number $q$ times $i$ the real part is
// $-\mathrm{Im}\,q$.

void s4d_kernel_gradient(const S4DParameters& p, const Tensor<double, 2>& dK, S4DParameters& gradient) {
  check(p);
  check(gradient);
  const std::size_t channels = p.log_dt.size(), pairs = p.A_log.shape(1), seqlen = dK.shape(1);
  require_shape("dK", dK, {channels, seqlen}, "(channels, seqlen)");
  require_shape("gradient", gradient.A_log, {channels, pairs}, "(channels, d_state / 2)");
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t n = 0; n < pairs; ++n) {
      const Mode m = mode(p, c, n);
      Complex S = 0, S_k = 0, power = 1;
      for (std::size_t k = 0; k < seqlen; ++k) {
        S += dK(c, k) * power;
        S_k += static_cast<double>(k) * dK(c, k) * power;
        power *= m.E;
      }
      const Complex U = m.C * (S * m.E / m.A + S_k * m.F);
      const Complex of_A = m.dt * U - S * m.C * m.F / m.A;
      gradient.C(c, n, 0) += 2 * (S * m.F).real();
      gradient.C(c, n, 1) -= 2 * (S * m.F).imag();
      gradient.A_log(c, n) += 2 * of_A.real() * m.A.real();
      gradient.frequency(c, n) -= 2 * of_A.imag();
      gradient.log_dt(c) += 2 * m.dt * (U * m.A).real();
    }
}

}  // namespace mamba2

// The tests hold each of them against differences.
//
// ## A long memory, learnt {#s4_memory}
//
// The task is to repeat: what came in 250 steps ago is to come out now.[^delay] The signals are
// random curves without corners, another one each time. For a convolution the answer is one thing:
// a kernel that is a narrow peak at lag 250 and nothing anywhere else.
//
// [^delay]: After a task of [@gu2022train], who use it to compare first values, too.
//
// @quote src/demo/delay.hpp#delay
//
// The model is one channel of S4D with 64 numbers of state, and its loss the mean square of what is
// wrong. A step of training is what this chapter has built: kernel, convolution, and back.
//
// @quote src/demo/delay.hpp#step
//
// All five runs below learn *all* parameters, rates and $\Delta$ included, from the same signals
// with the same AdamW. They have the same number of numbers and could become each other. They
// differ in where they begin.
//
// @output memory
//
// An error of 1 is what silence would get.
//
// ::: figure losses
// The error against steps of training, five beginnings.
// :::
//
// The three with frequencies learn it. The other two do not, and four times as many steps do not
// help them. Where the step size is forty times too large, the memory ends after a dozen steps. The
// gradient is a sum over what the springs still hold of the signal of 250 steps ago, and if they
// hold nothing, it says nothing.
//
// Real is another case, for its slowest bucket still holds a third of what came 250 steps ago. But
// a bucket that begins to swing, slowly, changes the kernel by something as smooth as itself, and a
// peak has no use for that. It would have to swing fast, and no way there leads downhill.
//
// ::: figure learnt
// Kernels before training (grey) and after it, from Lin and from Real (mind the scales).
// :::
//
// Springs that are in step at one lag and out of step everywhere else make a peak. That is a
// Fourier series, and Lin begins as one.
//
// ## What selection gives up, and gains {#s4_selection}
//
// Selection makes $\Delta$, $B$ and $C$ depend on the token. Everything that made this chapter
// quick rested on their standing still:
//
// | | S4, S4D | Mamba-1 | Mamba-2 |
// |:--|:--|:--|:--|
// | $A$ | designed, complex, $N$ springs | real, $N$ buckets | one bucket, $N$ addresses |
// | $\Delta$, $B$, $C$ | the same at each step | from the token | from the token |
// | all steps at once by | Fourier transform | parallel scan | products of matrices |
// | state per channel | 64 | 16 | 128 |
// | *when* is known by | what a spring does since | the decay | the decay |
// | *what* is known by | nothing | what was let in | what was let in, and where |
//
// The first column can do what is written in its kernel, at the same lags for every sequence. To
// see what it cannot do, ask at the end of a sequence for a value that came in earlier, with noise
// before and after it: always 20 steps ago, or anywhere from 10 to 30 steps ago. Here is the error
// of the best of *all* kernels, which can be computed by least squares, without any training; and
// of the model of @chapter{state_space} with one bucket, whose $\Delta_t$ is set by hand:
//
// @output selection
//
// A kernel puts its weight on some lags, and where the value is not, it hears noise. The selective
// model looks at the token: an endless step where something is to be stored, no step where there is
// noise. The lag does not matter. (A mark on the value would not help a kernel: it adds what it
// hears of the mark, and cannot let it decide.) Nor do several such layers with something between
// them that is not linear make up for it: on *selective copying*, a task of this kind, they stay
// below 60 per cent, and pass 97 with selection (Table 1 of [@gu2023]). A text is full of such
// tasks, and holds little that comes back at a fixed distance.
//
// That is why Mamba gave up the convolution, and with it the springs: as it can choose *what* to
// keep, a cruder memory of *when* will do. Its rates are real, and in Mamba-1 begin at $-1, -2,
// \dots, -N$. That is S4D-Real, on this chapter's task the worst of the four beginnings. (The paper
// keeps complex ones for a single one of its tasks, which is sound [@gu2023].) Springs return in
// Mamba-3 [@lahoti2026], which turns its state by angles that it computes from the token.
