// The grader of this chapter.
#include "exercises.hpp"

#include <demo/demo.hpp>
#include <exercises/grader.hpp>
#include <mamba2/activation.hpp>
#include <mamba2/scan_gradient.hpp>
#include <mamba2/ssm.hpp>

#include <array>
#include <cmath>
#include <string>
#include <vector>

using mamba2::as_matrix;
using mamba2::as_span;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

demo::Random draw(13);

template <std::size_t N>
Tensor<double, N> random(const std::size_t (&sizes)[N], double low = -1, double high = 1) {
  return demo::random_tensor<double>(sizes, draw, low, high);
}

// The derivative of the loss by one of its numbers, from two runs.
template <class Loss>
double slope(double& number, const Loss& loss) {
  const double here = number, small = 1e-5;
  number = here + small;
  const double above = loss();
  number = here - small;
  const double below = loss();
  number = here;
  return (above - below) / (2 * small);
}

}  // namespace

GRADE(1, "the zero-order hold, turned round") {
  const double weights[][2] = {{1, 0}, {0, 1}, {2, -3}};
  for (const auto& [wA, wB] : weights) {
    double A = -0.7, dt = 1.3;
    const auto loss = [&, wA = wA, wB = wB] {
      const auto made = mamba2::discretize_zero_order_hold(A, dt);
      return wA * made.A_bar + wB * made.B_bar;
    };
    const auto yours = exercises::hold_gradient(A, dt, wA, wB);
    const std::string at = " at A = -0.7, dt = 1.3, where the loss asks " +
                           grader::detail::number_text(wA) + " of A_bar and " +
                           grader::detail::number_text(wB) + " of B_bar";
    grader::expect_close(yours.A, slope(A, loss), "gradient of A" + at, 1e-6);
    grader::expect_close(yours.dt, slope(dt, loss), "gradient of dt" + at, 1e-6);
  }
}

GRADE(2, "the gated norm") {
  // A stream of its own, so that what follows is drawn as ever.
  demo::Random own(2);
  const double eps = 0.05;
  for (const std::size_t groups : {1UL, 2UL}) {
    auto y = demo::random_tensor<double>({6}, own, -2, 2),
         z = demo::random_tensor<double>({6}, own, -2, 2);
    auto weight = demo::random_tensor<double>({6}, own, 0.5, 2);
    const auto dout = demo::random_tensor<double>({6}, own);
    const auto loss = [&] {
      double sum = 0;
      for (std::size_t i = 0; i < 6; ++i) {
        const std::size_t width = 6 / groups, first = i / width * width;
        double square = 0;
        for (std::size_t k = first; k < first + width; ++k)
          square += std::pow(y(k) * mamba2::silu(z(k)), 2);
        const double r = std::sqrt(square / static_cast<double>(width) + eps);
        sum += dout(i) * weight(i) * y(i) * mamba2::silu(z(i)) / r;
      }
      return sum;
    };
    const auto yours = exercises::norm_gradient(y, z, weight, groups, eps, dout);
    grader::given("y", y, "z", z, "weight", weight, "dout", dout);
    const std::string of = ", " + std::to_string(groups) + (groups == 1 ? " group" : " groups");
    const auto slopes = [&](Tensor<double, 1>& numbers) {
      Tensor<double, 1> all = numbers;
      for (std::size_t i = 0; i < 6; ++i) all(i) = slope(numbers(i), loss);
      return all;
    };
    grader::expect_close(yours.weight, slopes(weight), "gradient of the weight" + of, 1e-6);
    grader::expect_close(yours.y, slopes(y), "gradient of y" + of, 1e-6);
    grader::expect_close(yours.z, slopes(z), "gradient of z" + of, 1e-6);
  }
}

namespace {

// A head, and what ssd_gradient() makes of it.
struct Head {
  std::size_t T, P, N;
  mamba2::ScanInput<double> in;
  Tensor<double, 4> dy, dlast;

  Head(std::size_t seqlen, std::size_t headdim, std::size_t d_state)
      : T(seqlen), P(headdim), N(d_state) {
    in.x = random({1, T, 1, P});
    in.dt = random({1, T, 1}, 0.1, 1);
    in.A = random({1}, -1, -0.3);
    in.B = random({1, T, 1, N});
    in.C = random({1, T, 1, N});
    dy = random({1, T, 1, P});
    dlast = random({1, 1, P, N});
  }
  mamba2::ScanOptions options() const {
    return {.dt_softplus = false, .chunk_size = 1000, .algorithm = mamba2::Algorithm::recurrent};
  }
  mamba2::ScanInput<double> gradient() const {
    return mamba2::ssd_gradient<double>(in, options(), dy, dlast);
  }
};

// Four axes or three, of which all but one or two have the length 1.
Tensor<double, 2> rows(const Tensor<double, 4>& t, std::size_t count) {
  auto m = zeros<double>(count, t.size() / std::max<std::size_t>(count, 1));
  std::copy(t.begin(), t.end(), m.begin());
  return m;
}
template <std::size_t N>
Tensor<double, 1> row(const Tensor<double, N>& t) {
  auto v = zeros<double>(t.size());
  std::copy(t.begin(), t.end(), v.begin());
  return v;
}

// The gradients of X = dt x and a = dt A, by the library's first step, for a head without states.
struct Inner {
  Tensor<double, 2> dX;
  Tensor<double, 1> da;
};
Inner inner(const Head& h) {
  Tensor<double, 2> X = rows(h.in.x, h.T), B = rows(h.in.B, h.T), C = rows(h.in.C, h.T), dX = X, dB = B,
                    dC = C;
  Tensor<double, 1> a = row(h.in.dt);
  for (std::size_t t = 0; t < h.T; ++t)
    for (std::size_t p = 0; p < h.P; ++p) X(t, p) *= a(t);
  a *= h.in.A(0);
  dX.fill(0);
  std::vector<double> da(h.T, 0.0);
  mamba2::diagonal_block_gradient<double>({as_matrix(X), as_span(a), as_matrix(B), as_matrix(C)},
                                          as_matrix(rows(h.dy, h.T)),
                                          {as_matrix(dX), da, as_matrix(dB), as_matrix(dC)});
  auto gradient = zeros<double>(h.T);
  std::copy(da.begin(), da.end(), gradient.begin());
  return {dX, gradient};
}

}  // namespace

GRADE(3, "one head's decay") {
  Head h(7, 3, 4);
  h.dlast.fill(0);
  const auto [dX, da] = inner(h);
  const auto yours = exercises::head_gradient(rows(h.in.x, h.T), row(h.in.dt), h.in.A(0), dX, da);
  const auto expected = h.gradient();
  const auto same = [](double a, double b) {
    return std::abs(a - b) < 1e-9 * std::max(1.0, std::abs(b));
  };
  grader::expect_close(yours.x, rows(expected.x, h.T), "gradient of x");
  if (yours.dt.size() == h.T) {
    const auto is = [&](const auto& wrong) {
      for (std::size_t t = 0; t < h.T; ++t)
        if (!same(yours.dt(t), wrong(t))) return false;
      return true;
    };
    const auto through_X = [&, dX = dX](std::size_t t) {
      double sum = 0;
      for (std::size_t p = 0; p < h.P; ++p) sum += h.in.x(0, t, 0, p) * dX(t, p);
      return sum;
    };
    grader::expect(
        !is(through_X),
        "a term of the step size's gradient is forgotten: the one through the decay, a = dt A");
    grader::expect(
        !is([&, da = da](std::size_t t) { return h.in.A(0) * da(t); }),
        "a term of the step size's gradient is forgotten: the one through the inputs, X = dt x");
  }
  grader::expect_close(yours.dt, row(expected.dt), "gradient of the step sizes");
  for (std::size_t t = 0; t < h.T; ++t)
    grader::expect(!same(yours.A, h.in.dt(0, t, 0) * da(t)),
                   "the rate's gradient is that of token " + std::to_string(t) +
                       " alone, but every token uses the rate: it is a sum over time");
  grader::expect_close(yours.A, expected.A(0), "gradient of the rate");
}

GRADE(4, "heard less said") {
  for (const bool last : {false, true}) {
    Head h(9, 2, 3);
    h.in.dt.fill(1);  // then X is x, and the rate's gradient is the sum of all
    if (!last) h.dlast.fill(0);
    const auto out = mamba2::ssd(h.in, h.options());
    const Tensor<double, 2> X = rows(h.in.x, h.T), dX = rows(h.gradient().x, h.T);
    const auto yours = exercises::decay_gradient(X, dX, rows(out.y, h.T), rows(h.dy, h.T),
                                                 rows(out.last_state, h.P), rows(h.dlast, h.P));
    // Step by step: dt = 1 everywhere, and where dt changes a little, X is kept.
    auto expected = zeros<double>(h.T);
    for (std::size_t t = 0; t < h.T; ++t) {
      const Tensor<double, 4> x = h.in.x;
      expected(t) = slope(h.in.dt(0, t, 0), [&] {
        for (std::size_t p = 0; p < h.P; ++p) h.in.x(0, t, 0, p) = x(0, t, 0, p) / h.in.dt(0, t, 0);
        const auto moved = mamba2::ssd(h.in, h.options());
        double loss = 0;
        for (std::size_t i = 0; i < h.dy.size(); ++i) loss += h.dy.data()[i] * moved.y.data()[i];
        for (std::size_t i = 0; i < h.dlast.size(); ++i)
          loss += h.dlast.data()[i] * moved.last_state.data()[i];
        return loss;
      });
      h.in.x = x;
      expected(t) /= h.in.A(0);
    }
    grader::expect_close(yours, expected,
                         last ? "gradients of nine log-decays, the last state asked for too"
                              : "gradients of nine log-decays",
                         1e-6);
  }
}

GRADE(5, "from chunk to chunk") {
  for (const auto& [T, Q] :
       {std::array<std::size_t, 2>{4, 4}, {8, 4}, {11, 4}, {3, 5}, {5, 1}, {0, 3}}) {
    const std::size_t P = 3, N = 2, chunks = (T + Q - 1) / Q;
    const auto dA = random({T}, -1, 0);
    const auto C = random({T, N}), dY = random({T, P}), dlast = random({P, N});
    const auto yours = exercises::state_gradients(dA, C, dY, dlast, Q);
    auto expected = zeros<double>(chunks + 1, P, N);
    auto dh = dlast;  // token by token
    std::copy(dh.begin(), dh.end(), &expected(chunks, 0, 0));
    for (std::size_t t = T; t-- > 0;) {
      for (std::size_t p = 0; p < P; ++p)
        for (std::size_t n = 0; n < N; ++n)
          dh(p, n) = std::exp(dA(t)) * (dh(p, n) + dY(t, p) * C(t, n));
      if (t % Q == 0) std::copy(dh.begin(), dh.end(), &expected(t / Q, 0, 0));
    }
    grader::expect_close(yours, expected,
                         "gradients of the states at the borders, " + std::to_string(T) +
                             " tokens in chunks of " + std::to_string(Q));
  }
}

namespace {

exercises::OwnInput own_input() {
  return {random({7}), random({7}, -1, -0.1), random({7, 3}), random({7, 3})};
}

// Which numbers of an input there are: each with a name for the verdict.
template <class Visit>
void each_number(exercises::OwnInput& in, exercises::OwnInput& gradient, const Visit& visit) {
  const auto numbers = [&](const std::string& name, auto& values, auto& gradients) {
    grader::expect(values.shape() == gradients.shape(),
                   "the gradient of " + name + " has the shape of " + name);
    const std::size_t width = values.size() / 7;
    for (std::size_t i = 0; i < values.size(); ++i)
      visit(name, i / width, values.data()[i], gradients.data()[i]);
  };
  numbers("X", in.X, gradient.X);
  numbers("a", in.a, gradient.a);
  numbers("B", in.B, gradient.B);
  numbers("C", in.C, gradient.C);
}

}  // namespace

GRADE(6, "a step of your own: the recurrence") {
  exercises::OwnInput in = own_input(), unused = in;
  const auto y = exercises::own_scan(in);
  grader::expect(y.size() == 7, "own_scan() returns an output for each token, (seqlen)");
  grader::expect(demo::difference(y, y) == 0, "the outputs of own_scan() are finite numbers");
  auto X = zeros<double>(7, 1), known = X;
  std::copy(in.X.begin(), in.X.end(), X.begin());
  const Tensor<double, 1> A_bar = xt::exp(in.a);
  known = mamba2::ssm_recurrent<double>(X, A_bar, in.B, in.C);
  double difference = 0;
  for (std::size_t t = 0; t < 7; ++t) difference = std::max(difference, std::abs(known(t, 0) - y(t)));
  grader::expect(difference > 1e-6, "this is the book's recurrence: change something about its step");
  // Token by token: nothing comes out before it goes in, and what goes in at the third is heard at the sixth, or later.
  each_number(in, unused, [&](const std::string& name, std::size_t t, double& number, double) {
    const double here = number;
    number += 0.01;
    const auto moved = exercises::own_scan(in);
    number = here;
    double heard = 0;
    for (std::size_t s = 0; s < 7; ++s) {
      const double change = std::abs(moved(s) - y(s));
      grader::expect(s >= t || change == 0, "output " + std::to_string(s) + " depends on " + name +
                                                " of token " + std::to_string(t) +
                                                ", which comes later");
      heard = std::max(heard, change);
    }
    grader::expect(t != 3 || heard > 0, name + " of token 3 changes no output");
    if (t == 1 && (name == "X" || name == "B"))
      grader::expect(std::abs(moved(6) - y(6)) > 0,
                     name + " of token 1 is not heard at token 6: there is no state");
  });
}

GRADE(6, "a step of your own: its gradient") {
  exercises::OwnInput in = own_input();
  const auto dy = random({7});
  exercises::OwnInput yours = exercises::own_scan_gradient(in, dy);
  each_number(in, yours, [&](const std::string& name, std::size_t t, double& number, double gradient) {
    const double expected = slope(number, [&] {
      const auto y = exercises::own_scan(in);
      double loss = 0;
      for (std::size_t s = 0; s < 7; ++s) loss += dy(s) * y(s);
      return loss;
    });
    grader::expect_close(gradient, expected,
                         "gradient of " + name + " at token " + std::to_string(t) +
                             ", against two runs of your own_scan()",
                         1e-6);
  });
}
