#include <mamba2/activation.hpp>
#include <mamba2/activation_gradient.hpp>
#include <mamba2/adjoints.hpp>
#include <mamba2/cross_entropy.hpp>
#include <mamba2/linear.hpp>
#include <support/adjoints.hpp>
#include <support/testing.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace mamba2;
using testing::check_adjoint;
using testing::joined;
using testing::message_of;
using testing::numbers;
using testing::random_tensor;
using testing::values;

namespace {

using Gradients = std::vector<std::vector<double>>;

std::span<double> as_values(Tensor<double, 1>& v) {
  return {v.data(), v.size()};
}

MatrixRef<const double> given(const Tensor<double, 2>& m) {
  return as_matrix(m);
}

// The numbers w as a matrix.
Tensor<double, 2> matrix_of(const std::vector<double>& w, std::size_t first, std::size_t rows, std::size_t columns) {
  auto m = Tensor<double, 2>::from_shape({rows, columns});
  std::copy_n(w.begin() + static_cast<std::ptrdiff_t>(first), m.size(), m.data());
  return m;
}

}  // namespace

TEST_CASE("the slopes of scalar functions are those of their graphs", "[adjoints]") {
  const double h = 1e-5;
  for (const double x : {-700.0, -30.0, -3.0, -0.5, 0.0, 0.25, 2.0, 19.9, 20.1, 700.0}) {
    CAPTURE(x);
    CHECK(std::abs(softplus_derivative(x) - (softplus(x + h) - softplus(x - h)) / (2 * h)) < 1e-8);
    CHECK(std::abs(silu_derivative(x) - (silu(x + h) - silu(x - h)) / (2 * h)) < 1e-8);
  }
  CHECK(softplus_derivative(20.5f) == 1);
  CHECK(std::isfinite(silu_derivative(-1e4f)));
}

TEST_CASE("a step that a limit has cut passes nothing back", "[adjoints]") {
  const double h = 1e-5;
  for (const bool softplus : {true, false}) {
    const ScanOptions options{.dt_softplus = softplus, .dt_min = 0.1, .dt_max = 0.7};
    for (const double raw : {-4.0, -0.3, 0.0, 0.2, 0.6, 3.0}) {
      const double want = (step_size(raw + h, options) - step_size(raw - h, options)) / (2 * h);
      CAPTURE(softplus, raw);
      CHECK(std::abs(step_size_derivative(raw, options) - want) < 1e-8);
    }
  }
  CHECK(step_size_derivative(-0.5, {.dt_softplus = false}) == 0);
  CHECK(step_size_derivative(0.5, {.dt_softplus = false}) == 1);
}

TEST_CASE("the adjoint of a linear layer", "[adjoints]") {
  for (const bool with_bias : {true, false}) {
    auto x = random_tensor<double, 2>({5, 3}, 1), weight = random_tensor<double, 2>({4, 3}, 2);
    auto bias = random_tensor<double, 1>({with_bias ? 4u : 0u}, 3);
    check_adjoint({.inputs = {numbers(x), numbers(weight), numbers(bias)},
                   .forward =
                       [&] {
                         auto y = zeros<double>(5, 4);
                         linear<double>(as_matrix(x), as_matrix(weight), as_span(bias), as_matrix(y));
                         return values(y);
                       },
                   .backward =
                       [&](const std::vector<double>& w) {
                         const auto dy = matrix_of(w, 0, 5, 4);
                         auto room = random_tensor<double, 2>({5, 7}, 9);  // dx is columns of something wider
                         auto dweight = zeros<double>(4, 3);
                         auto dbias = zeros<double>(bias.size());
                         const auto dx = column_block(as_matrix(room), 2, 3);
                         linear_gradient<double>(given(x), given(weight), given(dy), dx, as_matrix(dweight),
                                                 as_values(dbias));
                         const Tensor<double, 2> copy = xt::view(room, xt::all(), xt::range(2, 5));
                         return Gradients{values(copy), values(dweight), values(dbias)};
                       }});
  }
}

namespace {

struct ConvolutionCase {
  std::size_t batch, seqlen, width;
  bool bias, silu, initial, last;
  std::vector<std::int64_t> seq_idx;
};

// A convolution with all that it reads, and what it gives: outputs and, if asked for, the state that is left.
struct Convolution {
  explicit Convolution(const ConvolutionCase& c)
      : how(c),
        x(random_tensor<double, 2>({c.batch * c.seqlen, 3}, 1)),
        weight(random_tensor<double, 2>({3, c.width}, 2)),
        bias(random_tensor<double, 1>({c.bias ? 3u : 0u}, 3)),
        before(random_tensor<double, 2>({c.initial ? c.batch : 0, 3 * c.width}, 4)) {}

  ShortConvolution<double> input() const {
    return {.x = as_matrix(x),
            .batch = how.batch,
            .weight = as_matrix(weight),
            .bias = as_span(bias),
            .initial_state = how.initial ? as_matrix(before) : MatrixRef<const double>(),
            .seq_idx = how.seq_idx,
            .silu = how.silu};
  }
  std::vector<double> forward() const {
    auto y = Tensor<double, 2>::from_shape({x.shape(0), 3});
    short_convolution(input(), as_matrix(y));
    return how.last ? joined(values(y), values(convolution_state(input()))) : values(y);
  }
  std::vector<std::vector<double>> backward(const std::vector<double>& w) const {
    const auto dy = matrix_of(w, 0, x.shape(0), 3);
    const auto dlast = how.last ? matrix_of(w, dy.size(), how.batch, 3 * how.width) : Tensor<double, 2>();
    auto dx = random_tensor<double, 2>(x.shape(), 8), dweight = zeros<double>(3, how.width);
    auto dbias = zeros<double>(bias.size());
    auto dbefore = random_tensor<double, 2>(before.shape(), 9);
    short_convolution_gradient<double>(input(), as_matrix(dy), how.last ? as_matrix(dlast) : MatrixRef<const double>(),
                                       {.x = as_matrix(dx),
                                        .weight = as_matrix(dweight),
                                        .bias = as_values(dbias),
                                        .initial_state = how.initial ? as_matrix(dbefore) : MatrixRef<double>()});
    return {values(dx), values(dweight), values(dbias), values(dbefore)};
  }

  ConvolutionCase how;
  Tensor<double, 2> x, weight;
  Tensor<double, 1> bias;
  Tensor<double, 2> before;
};

}  // namespace

TEST_CASE("the adjoint of the short convolution", "[adjoints]") {
  const auto how = GENERATE(
      ConvolutionCase{2, 7, 4, true, true, false, false, {}}, ConvolutionCase{2, 7, 4, true, true, true, true, {}},
      ConvolutionCase{2, 7, 4, false, false, true, false, {}}, ConvolutionCase{3, 2, 4, true, true, true, true, {}},
      ConvolutionCase{3, 2, 4, true, true, false, true, {}}, ConvolutionCase{2, 4, 1, true, true, true, true, {}},
      ConvolutionCase{2, 0, 4, true, true, true, true, {}},
      // Packed: the last sequence goes back to the start in the second entry only; numbers may come again.
      ConvolutionCase{2, 7, 4, true, true, true, true, {0, 0, 1, 1, 1, 1, 0, 5, 5, 5, 5, 5, 5, 5}},
      ConvolutionCase{1, 8, 3, true, true, true, true, {4, 2, 2, 2, 2, 2, 3, 3}},
      ConvolutionCase{2, 2, 4, true, true, true, true, {0, 1, 1, 1}});
  Convolution c(how);
  CAPTURE(how.batch, how.seqlen, how.width, how.initial, how.last, how.seq_idx.size());
  check_adjoint({.inputs = {numbers(c.x), numbers(c.weight), numbers(c.bias), numbers(c.before)},
                 .forward = [&] { return c.forward(); },
                 .backward = [&](const std::vector<double>& w) { return c.backward(w); }});
}

TEST_CASE("nobody need ask for the gradient of the window before the text", "[adjoints]") {
  const Convolution c({2, 5, 4, true, true, true, false, {}});
  const std::vector<double> w = values(random_tensor<double, 1>({30}, 5));
  const auto all = c.backward(w);
  const auto dy = matrix_of(w, 0, 10, 3);
  auto dx = zeros<double>(10, 3), dweight = zeros<double>(3, 4);
  auto dbias = zeros<double>(3);
  short_convolution_gradient<double>(c.input(), as_matrix(dy), {},
                                     {.x = as_matrix(dx), .weight = as_matrix(dweight), .bias = as_values(dbias)});
  CHECK(values(dx) == all[0]);
  CHECK(values(dweight) == all[1]);
}

TEST_CASE("the adjoint of the norm", "[adjoints]") {
  auto x = random_tensor<double, 2>({4, 6}, 1);
  auto weight = random_tensor<double, 1>({6}, 2);
  for (const double eps : {1e-5, 0.3}) {
    check_adjoint({.inputs = {numbers(x), numbers(weight)},
                   .forward =
                       [&] {
                         auto y = zeros<double>(4, 6);
                         rms_norm<double>(as_matrix(x), as_span(weight), eps, as_matrix(y));
                         return values(y);
                       },
                   .backward =
                       [&](const std::vector<double>& w) {
                         auto dx = matrix_of(w, 0, 4, 6);  // in place
                         auto dweight = zeros<double>(6);
                         rms_norm_gradient<double>(given(x), as_span(weight), eps, given(dx), as_matrix(dx),
                                                   as_values(dweight));
                         return Gradients{values(dx), values(dweight)};
                       }});
  }
}

TEST_CASE("the adjoint of norm and gate, in either order, by groups, and of the gate alone", "[adjoints]") {
  for (const bool with_norm : {true, false}) {
    for (const bool norm_first : {false, true}) {
      for (const std::size_t groups : {1u, 2u}) {
        auto y = random_tensor<double, 2>({3, 6}, 1), z = random_tensor<double, 2>({3, 6}, 2, -3, 3);
        auto weight = random_tensor<double, 1>({with_norm ? 6u : 0u}, 3);
        const GatedNorm<double> how{as_span(weight), groups, norm_first, 0.01};
        CAPTURE(with_norm, norm_first, groups);
        check_adjoint({.inputs = {numbers(y), numbers(z), numbers(weight)},
                       .forward =
                           [&] {
                             auto out = zeros<double>(3, 6);
                             gated_norm<double>(as_matrix(y), as_matrix(z), how, as_matrix(out));
                             return values(out);
                           },
                       .backward =
                           [&](const std::vector<double>& w) {
                             auto dy = matrix_of(w, 0, 3, 6);  // in place
                             auto dz = zeros<double>(3, 6);
                             auto dweight = zeros<double>(weight.size());
                             gated_norm_gradient<double>(given(y), given(z), how, given(dy), as_matrix(dy),
                                                         as_matrix(dz), as_values(dweight));
                             return Gradients{values(dy), values(dz), values(dweight)};
                           }});
      }
    }
  }
}

TEST_CASE("the adjoint of looking up rows adds to the rows that were looked up", "[adjoints]") {
  const std::vector<std::int64_t> ids{3, 0, 3, 3, 1};
  auto table = random_tensor<double, 2>({5, 2}, 1);
  check_adjoint({.inputs = {numbers(table)},
                 .forward =
                     [&] {
                       std::vector<double> x;
                       for (const std::int64_t id : ids) x.insert(x.end(), {table(id, 0), table(id, 1)});
                       return x;
                     },
                 .backward =
                     [&](const std::vector<double>& w) {
                       const auto dx = matrix_of(w, 0, 5, 2);
                       auto dtable = zeros<double>(5, 2);
                       embedding_gradient<double>(ids, as_matrix(dx), as_matrix(dtable));
                       return Gradients{values(dtable)};
                     }});
}

TEST_CASE("the gradient of the cross-entropy is what was predicted minus what came", "[adjoints]") {
  const std::vector<std::int64_t> targets{2, 0, not_asked, 4};
  auto logits = random_tensor<double, 2>({4, 5}, 1, -4, 4);
  check_adjoint({.inputs = {numbers(logits)},
                 .forward =
                     [&] {
                       double loss = 0;
                       for (const std::size_t t : {0U, 1U, 3U}) {
                         double sum = 0;
                         for (std::size_t i = 0; i < 5; ++i) sum += std::exp(logits(t, i));
                         loss += std::log(sum) - logits(t, targets[t]);
                       }
                       return std::vector{loss};
                     },
                 .backward =
                     [&](const std::vector<double>& w) {
                       auto dlogits = logits;  // in place
                       cross_entropy_gradient<double>(given(dlogits), targets, w[0], as_matrix(dlogits));
                       return Gradients{values(dlogits)};
                     }});
  const auto vast = random_tensor<float, 2>({4, 5}, 1, -1e4, 1e4);
  auto dvast = vast;
  cross_entropy_gradient<float>(as_matrix(vast), targets, 0.25, as_matrix(dvast));
  for (const float value : dvast) CHECK(std::abs(value) <= 0.25f);
}

TEST_CASE("the gradient of a parameter is added to, that of an input is written", "[adjoints]") {
  const auto x = random_tensor<double, 2>({5, 3}, 1), dy = random_tensor<double, 2>({5, 3}, 2);
  const auto weight = random_tensor<double, 2>({3, 3}, 3);
  const auto norm = random_tensor<double, 1>({3}, 4);
  auto dx = zeros<double>(5, 3), dz = dx, dweight = zeros<double>(3, 3), dtaps = dweight;
  auto dbias = zeros<double>(3), dtap_bias = dbias, dnorm = dbias, dgated = dbias;
  std::vector<std::vector<double>> parameters, inputs;
  for (int pass = 1; pass <= 2; ++pass) {
    linear_gradient<double>(given(x), given(weight), given(dy), as_matrix(dx), as_matrix(dweight), as_values(dbias));
    inputs.push_back(values(dx));
    short_convolution_gradient<double>(
        {.x = as_matrix(x), .batch = 1, .weight = as_matrix(weight), .bias = as_span(norm)}, as_matrix(dy), {},
        {as_matrix(dx), as_matrix(dtaps), as_values(dtap_bias)});
    inputs.push_back(values(dx));
    rms_norm_gradient<double>(given(x), as_span(norm), 1e-5, given(dy), as_matrix(dx), as_values(dnorm));
    inputs.push_back(values(dx));
    gated_norm_gradient<double>(given(x), given(x), {.weight = as_span(norm)}, given(dy), as_matrix(dx), as_matrix(dz),
                                as_values(dgated));
    inputs.push_back(joined(values(dx), values(dz)));
    std::vector<double> all;
    for (const auto* const v : {&dbias, &dtap_bias, &dnorm, &dgated}) all = joined(all, values(*v));
    for (const auto* const m : {&dweight, &dtaps}) all = joined(all, values(*m));
    for (double& value : all) value /= pass;
    parameters.push_back(all);
  }
  for (std::size_t i = 0; i < 4; ++i) CHECK(inputs[i] == inputs[i + 4]);
  CHECK(testing::relative_difference(parameters[1], parameters[0]) < 1e-15);
}

TEST_CASE("adjoints refuse what does not fit", "[adjoints]") {
  auto a = zeros<double>(4, 3), b = zeros<double>(4, 2);
  auto v = zeros<double>(3);
  CHECK_THROWS_AS(linear_gradient<double>(given(a), given(b), given(a), as_matrix(a), as_matrix(b), {}), ShapeError);
  CHECK_THROWS_AS(rms_norm_gradient<double>(given(a), as_span(v), 0, given(b), as_matrix(a), as_values(v)), ShapeError);
  CHECK_THROWS_AS(gated_norm_gradient<double>(given(a), given(b), {}, given(a), as_matrix(a), as_matrix(a), {}),
                  ShapeError);
  CHECK_THROWS_AS(gated_norm_gradient<double>(given(a), given(a), {.weight = as_span(v), .groups = 2}, given(a),
                                              as_matrix(a), as_matrix(a), as_values(v)),
                  ValueError);
  CHECK_THROWS_AS(short_convolution_gradient<double>({.x = as_matrix(a), .batch = 2, .weight = as_matrix(a)},
                                                     as_matrix(a), {}, {as_matrix(a), as_matrix(a)}),
                  ShapeError);
  const std::vector<std::int64_t> ids{0, 1, 2, 4};
  CHECK(message_of<ValueError>([&] { embedding_gradient<double>(ids, as_matrix(a), as_matrix(a)); }) ==
        "ids: expected 0 to 3, got 4");
  CHECK(message_of<ValueError>([&] { cross_entropy_gradient<double>(given(a), ids, 1, as_matrix(a)); }) ==
        "targets: expected 0 to 2 or -1, got 4");
}
