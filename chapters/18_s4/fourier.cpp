// ## All steps at once {#s4_fourier}
//
// A kernel is known, for whatever matrix. The direct sum of the convolution costs
// $\tfrac12 T^2$ multiplications. The famous shortcut goes by way of frequencies.
//
// The discrete Fourier transform of $n$ numbers asks how much of each frequency is in them,
//
// $$
// V_k = \sum_{j=0}^{n-1} v_j\,e^{-2\pi i jk/n} .
// $$ {#eq:fourier}
//
// Write $z = e^{-2\pi i k/n}$. Then $V_k$ is the polynomial $\sum_j v_j z^j$, evaluated at the
// point $z$. And polynomials are what a convolution is about: multiply $\sum_j K_j z^j$ with
// $\sum_j x_j z^j$, collect equal powers, and the coefficient of $z^t$ is $\sum_k K_k x_{t-k} =
// y_t$. So the values of the product polynomial are the products of the values. Transform, multiply
// number by number, transform back.
//
// The fast Fourier transform does the first and the last step in about $n \log_2 n$
// multiplications. To write one is @chapter{state_space}'s last exercise; here is FFTW
// [@frigo2005], the library that most programs use. It wants a *plan* for each length. Making plans
// is not safe from several threads at a time, using them is. Our numbers are real, and then the
// frequencies come in mirrored pairs, $V_{n-k} = \overline{V_k}$. Half of them say all, at half the
// price.

#include <mamba2/error.hpp>
#include <mamba2/fourier.hpp>

#include <fftw3.h>

#include <algorithm>
#include <bit>
#include <mutex>
#include <string>

namespace mamba2 {

// What there is to write is care for somebody else's interface, in mamba2::RealFourier.

//: fold RealFourier, with FFTW inside
struct RealFourier::Plans {
  fftw_plan forward, backward;
};

static std::mutex& planner() {
  static std::mutex mutex;
  return mutex;
}

static fftw_complex* fftw(std::vector<Complex>& numbers) {
  return reinterpret_cast<fftw_complex*>(numbers.data());  // the standard says that they lie alike
}

RealFourier::RealFourier(std::size_t n) : n_(n), plans_(std::make_unique<Plans>()) {
  require(n > 0 && n <= (1U << 30), "n", "1 to 2^30", std::to_string(n));
  std::vector<double> values(n);
  std::vector<Complex> frequencies(n / 2 + 1);
  const int size = static_cast<int>(n);
  const unsigned how = FFTW_ESTIMATE | FFTW_UNALIGNED;  // no trials; any memory will do
  const std::lock_guard alone(planner());
  plans_->forward = fftw_plan_dft_r2c_1d(size, values.data(), fftw(frequencies), how);
  plans_->backward = fftw_plan_dft_c2r_1d(size, fftw(frequencies), values.data(), how);
}

RealFourier::~RealFourier() {
  const std::lock_guard alone(planner());
  fftw_destroy_plan(plans_->forward);
  fftw_destroy_plan(plans_->backward);
}

std::vector<Complex> RealFourier::forward(std::span<const double> values) const {
  if (values.size() > n_)
    throw ShapeError("values: expected at most " + std::to_string(n_) + " of them, got " +
                     std::to_string(values.size()));
  std::vector<double> padded(n_, 0.0);
  std::copy(values.begin(), values.end(), padded.begin());
  std::vector<Complex> frequencies(n_ / 2 + 1);
  fftw_execute_dft_r2c(plans_->forward, padded.data(), fftw(frequencies));
  return frequencies;
}

std::vector<double> RealFourier::backward(const std::vector<Complex>& frequencies) const {
  if (frequencies.size() != n_ / 2 + 1)
    throw ShapeError("frequencies: expected " + std::to_string(n_ / 2 + 1) + " of them, got " +
                     std::to_string(frequencies.size()));
  std::vector<Complex> copy = frequencies;  // FFTW overwrites what it reads
  std::vector<double> values(n_);
  fftw_execute_dft_c2r(plans_->backward, fftw(copy), values.data());
  for (double& value : values) value /= static_cast<double>(n_);
  return values;
}

// One trap is left. At the points $z$ of a transform of length $n$, $z^n = 1$: the power $z^n$
// cannot be told from $z^0$, nor $z^{n+1}$ from $z^1$. What the product has beyond $z^{n-1}$ comes
// in again at the front. Such a convolution goes round in a circle, and it is not causal: the first
// outputs hear the last inputs. So both are given room. The product of two polynomials with $T$
// coefficients has $2T - 1$ of them; with $n \ge 2T - 1$ nothing runs over. The room is filled with
// zeros.[^room]
//
// [^room]: We take the next power of two, for which a transform is quickest. We only read the first
// $T$ results, so a little less room would do where the kernel is shorter than the sequence.

Tensor<double, 1> fft_convolution(const Tensor<double, 1>& x, const Tensor<double, 1>& K) {
  const std::size_t T = x.size();
  auto y = zeros<double>(T);
  if (T == 0) return y;
  const RealFourier transform(std::bit_ceil(2 * T - 1));
  std::vector<Complex> product = transform.forward({x.data(), T});
  const std::vector<Complex> kernel = transform.forward({K.data(), std::min(T, K.size())});
  for (std::size_t k = 0; k < product.size(); ++k) product[k] *= kernel[k];
  const std::vector<double> all = transform.backward(product);
  std::copy_n(all.begin(), T, y.begin());
  return y;
}

// Training will need the other direction as well: from the gradient of the outputs, $\nabla y$, to
// that of the kernel. From @eqref{eq:matrix_kernel}, $K_k$ has a part in each $y_t$, $x_{t-k}$ in
// size, so
//
// $$
// \nabla K_k = \sum_{t \ge k} \nabla y_t\,x_{t-k} .
// $$ {#eq:correlation}
//
// With time running backwards this is a causal convolution again. (And since $K$ and $x$ have equal
// rights in a convolution, the same function gives $\nabla x$ if it is handed $K$ for $x$.)

Tensor<double, 1> fft_correlation(const Tensor<double, 1>& dy, const Tensor<double, 1>& x) {
  const std::size_t T = dy.size();
  require_shape("x", x, {T}, "(seqlen)");
  Tensor<double, 1> backwards(dy.shape()), gradient(dy.shape());
  std::reverse_copy(dy.begin(), dy.end(), backwards.begin());
  const Tensor<double, 1> sums = fft_convolution(backwards, x);
  std::reverse_copy(sums.begin(), sums.end(), gradient.begin());
  return gradient;
}

}  // namespace mamba2

// The forms agree, and so does the convolution with the recurrence:
//
// @output forms
//
// How long does it take?
//
// ::: figure clock
// One channel with 64 numbers of state (S4D, of which more below) on one core, measured when this
// page was made, against the length of the sequence. The kernel is made once for all sequences of a
// batch; the dashed line is what every further sequence takes.
// :::
//
// On one core the recurrence holds its own: it is linear in $T$, and the kernel has to be made as
// well. But it has $T$ steps that wait for each other, while the transform has $\log_2 T$ stages.
// On a machine that does ten thousand things at once that is the only number that counts. It is how
// S4 could be trained on sequences of 16 000 steps.[^lra]
//
// [^lra]: Path-X, the hardest task of the *Long Range Arena* [@tay2021], asks of an image of
// $128 \times 128$ points, read one after the other, whether two of them are joined by a line. No
// model had done better than chance before S4 [@gu2022].
