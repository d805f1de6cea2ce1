// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/activation.hpp>
#include <mamba2/mamba1.hpp>
#include <mamba2/selection.hpp>
#include <mamba2/ssd.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

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
  grader::given("x", x, "z", z, "h0", 0.75);
  grader::expect_close(exercises::gated_recurrence(x, z, 0.75), expected,
                       "the states h_t, from h = 0.75");
}

GRADE(3, "a hump from two heads") {
  for (const auto& [slow, fast] : {std::pair{-1.0 / 16, -1.0 / 5}, {-0.01, -0.3}, {-0.5, -0.6}}) {
    const std::string of = " with log-decays " + grader::detail::number_text(slow) + " and " +
                           grader::detail::number_text(fast);
    const exercises::Hump yours = exercises::hump(slow, fast);
    const auto kernel = [&, slow = slow, fast = fast](double k) {
      return yours.slow * std::exp(slow * k) + yours.fast * std::exp(fast * k);
    };
    // The best place on a fine grid, then on a finer one around it.
    double top = 0;
    for (double width = 200, step = 0.5; step > 1e-7; width = 2 * step, step /= 50) {
      const double from = std::max(0.0, top - width), to = top + width;
      for (double k = from; k <= to; k += step)
        if (kernel(k) > kernel(top)) top = k;
    }
    grader::expect_close(kernel(0), 0.0, "the kernel at 0" + of);
    grader::expect_close(kernel(top), 1.0, "the kernel at its highest" + of);
    grader::expect_close(yours.top, top, "where it is highest, in tokens" + of, 1e-5);
  }
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

namespace {

// What a register says on a roll of paper: the roll, with an amount behind each question.
std::string rung_up(const std::string& characters, const std::string& roll, const std::string& what) {
  const exercises::Register r = exercises::cash_register(characters);
  const std::size_t V = characters.size(), T = roll.size();
  grader::expect(
      r.x.shape() == std::array<std::size_t, 2>{V, 2} && r.dt.shape() == r.x.shape() &&
          r.B.size() == V && r.C.size() == V && r.dt_bias.size() == 2 && r.A_log.size() == 2,
      "x and dt have the shape (characters, 2), B and C (characters), dt_bias and A_log (2)");
  mamba2::ScanInput<double> in;
  in.x = zeros<double>(1, T, 2, 1);
  in.dt = zeros<double>(1, T, 2);
  in.B = in.C = zeros<double>(1, T, 1, 1);
  in.dt_bias = r.dt_bias;
  in.A = mamba2::rates(r.A_log);
  for (std::size_t t = 0; t < T; ++t) {
    const std::size_t i = characters.find(roll[t]);
    for (std::size_t h = 0; h < 2; ++h) {
      in.x(0, t, h, 0) = r.x(i, h);
      in.dt(0, t, h) = r.dt(i, h);
    }
    in.B(0, t, 0, 0) = r.B(i);
    in.C(0, t, 0, 0) = r.C(i);
  }
  const auto y = mamba2::ssd(in).y;
  std::string printed;
  double bill = 0, takings = 0;
  for (std::size_t t = 0; t < T; ++t) {
    const char c = roll[t];
    if (c >= '0' && c <= '9') bill += c - '0', takings += c - '0';
    if (c == 'n') bill = 0;
    if (c == 'd') takings = 0;
    if (c != ' ') printed += c;
    if (c != '=' && c != '#') continue;
    const double expected = c == '=' ? bill : takings, yours = y(0, t, c == '=' ? 0 : 1, 0);
    const std::string read = T < 60 ? "\nroll:       " + roll.substr(0, t + 1) : "";
    grader::expect(std::abs(yours - expected) < 0.001,
                   "compared:   the answer to '" + std::string(1, c) + "', character " +
                       std::to_string(t + 1) + " of " + what +
                       "\nexpected:   " + grader::detail::number_text(expected) +
                       "\nyours:      " + grader::detail::number_text(yours) + read);
    printed += grader::detail::number_text(std::round(yours)) + "  ";
  }
  return printed;
}

}  // namespace

GRADE(5, "a cash register") {
  rung_up("0123456789=#nd ", "34=", "a short roll");
  rung_up("=#dn 9876543210x", "12=n5=3=#n7=#", "two customers, in other words");
  rung_up("0123456789=#nd ", "9=#d=#8#=n=#", "two days");
  std::string roll;
  for (int customer = 0; customer < 300; ++customer) {
    for (int i = 0; i < 9; ++i) roll += std::to_string((customer + i * i) % 10) + std::string(20, ' ');
    roll += "=n";
    if (customer % 100 == 99) roll += "#d";
  }
  rung_up("nd 0123456789=#", roll, "three days with a hundred customers each, and much waiting");
  grader::show("the printed roll:\n    " +
               rung_up("0123456789=#nd ", "4 5 = n 7 7 7 = n 1 = # d n 2 = #", "the last roll"));
}
