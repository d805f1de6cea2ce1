// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/activation.hpp>
#include <mamba2/mamba1.hpp>
#include <mamba2/selection.hpp>
#include <mamba2/ssd.hpp>

#include <cmath>

using mamba2::Tensor;
using mamba2::zeros;

namespace {

template <std::size_t N>
Tensor<double, N> noise(const std::array<std::size_t, N>& shape, std::uint64_t seed, double low = -1,
                        double high = 1) {
  mamba2::Random random(seed);
  Tensor<double, N> tensor(shape);
  for (auto& value : tensor) value = random.uniform(low, high);
  return tensor;
}

}  // namespace

GRADE(1, "a head that remembers for so long") {
  for (const double A : {-1.0, -0.25, -9.0}) {
    for (const double tokens : {0.5, 3.0, 40.0, 1000.0}) {
      const double dt = mamba2::softplus(exercises::bias_for_half_life(A, tokens));
      grader::expect_close(std::exp(tokens * dt * A), 0.5,
                           "what a head of rate " + std::to_string(A) + " has left after " +
                               std::to_string(tokens) + " tokens");
    }
  }
}

GRADE(1, "a head that remembers for a million million tokens") {
  // Where log(e^dt - 1) has lost its digits.
  const double dt = mamba2::softplus(exercises::bias_for_half_life(-1, 1e12));
  grader::expect_close(1e12 * dt / std::log(2.0), 1.0, "tokens times step size, in units of ln 2");
}

GRADE(2, "the gate by itself") {
  const auto x = noise<1>({11}, 1), z = noise<1>({11}, 2, -4, 4);
  auto expected = zeros<double>(11);
  double h = 0.75;
  for (std::size_t t = 0; t < 11; ++t) {
    const double gate = 1 / (1 + std::exp(-z(t)));
    expected(t) = h = (1 - gate) * h + gate * x(t);
  }
  grader::expect_close(exercises::gated_recurrence(x, z, 0.75), expected,
                       "the states h_t, from h = 0.75");
}

GRADE(3, "the selective scan from a state") {
  const std::size_t seqlen = 13, cut = 5, d_inner = 4, d_state = 3;
  const mamba2::SelectiveScanInput<double> input{
      noise<3>({1, seqlen, d_inner}, 3),         noise<3>({1, seqlen, d_inner}, 4, 0.1, 0.9),
      noise<2>({d_inner, d_state}, 5, -2, -0.2), noise<3>({1, seqlen, d_state}, 6),
      noise<3>({1, seqlen, d_state}, 7),         noise<1>({d_inner}, 8)};
  // The whole sequence by the library; the reader's function gets the state after the first tokens, and
  // the rest.
  const auto part = [](const Tensor<double, 3>& m, std::size_t first,
                       std::size_t last) -> Tensor<double, 3> {
    return xt::view(m, xt::all(), xt::range(first, last));
  };
  const auto rest = [&](const Tensor<double, 3>& m) -> Tensor<double, 2> {
    return xt::view(m, 0, xt::range(cut, seqlen));
  };
  const auto whole = mamba2::selective_scan(input);
  const auto first =
      mamba2::selective_scan<double>({part(input.x, 0, cut), part(input.dt, 0, cut), input.A,
                                      part(input.B, 0, cut), part(input.C, 0, cut), input.D});
  Tensor<double, 2> state = xt::view(first.last_state, 0);
  const auto yours = exercises::selective_scan_from(rest(input.x), rest(input.dt), input.A,
                                                    rest(input.B), rest(input.C), input.D, state);
  grader::expect_close(yours, rest(whole.y), "outputs, from a state that is not zero");
  grader::expect_close(state, Tensor<double, 2>(xt::view(whole.last_state, 0)), "the last state");
}

GRADE(4, "untie the rates") {
  const std::size_t seqlen = 9, nheads = 3, headdim = 2, d_state = 5, d_inner = nheads * headdim;
  const auto A_log = noise<1>({nheads}, 9), dt_bias = noise<1>({nheads}, 10),
             dt2 = noise<1>({seqlen * nheads}, 11);
  mamba2::ScanInput<double> heads;
  heads.x = noise<4>({1, seqlen, nheads, headdim}, 12);
  heads.dt = zeros<double>(1, seqlen, nheads);
  auto dt = zeros<double>(seqlen, nheads);
  for (std::size_t i = 0; i < dt2.size(); ++i) heads.dt.data()[i] = dt.data()[i] = dt2(i);
  heads.dt_bias = dt_bias;
  heads.A = mamba2::rates(A_log);
  heads.B = noise<4>({1, seqlen, 1, d_state}, 13);
  heads.C = noise<4>({1, seqlen, 1, d_state}, 14);
  const auto by_heads = mamba2::ssd(heads).y;

  const auto untied = exercises::untie(A_log, dt_bias, dt, headdim, d_state);
  grader::expect(untied.A.shape() == std::array<std::size_t, 2>{d_inner, d_state},
                 "A needs the shape (nheads * headdim, d_state) = (6, 5), yours is " +
                     mamba2::shape_text(untied.A.shape()));
  grader::expect(untied.dt.shape() == std::array<std::size_t, 2>{seqlen, d_inner},
                 "dt needs the shape (seqlen, nheads * headdim) = (9, 6), yours is " +
                     mamba2::shape_text(untied.dt.shape()));
  mamba2::SelectiveScanInput<double> channels{
      zeros<double>(1, seqlen, d_inner), zeros<double>(1, seqlen, d_inner), untied.A,
      zeros<double>(1, seqlen, d_state), zeros<double>(1, seqlen, d_state), zeros<double>(d_inner)};
  std::copy(heads.x.begin(), heads.x.end(), channels.x.begin());
  std::copy(untied.dt.begin(), untied.dt.end(), channels.dt.begin());
  std::copy(heads.B.begin(), heads.B.end(), channels.B.begin());
  std::copy(heads.C.begin(), heads.C.end(), channels.C.begin());
  auto expected = zeros<double>(1, seqlen, d_inner);
  std::copy(by_heads.begin(), by_heads.end(), expected.begin());
  grader::expect_close(mamba2::selective_scan(channels).y, expected,
                       "Mamba-1's scan with your rates and step sizes");
}
