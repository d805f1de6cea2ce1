#include <mamba2/activation.hpp>
#include <mamba2/conv.hpp>
#include <mamba2/error.hpp>
#include <support/testing.hpp>

#include <array>
#include <span>
#include <utility>
#include <vector>

using namespace mamba2;
using testing::message_of;
using testing::random_tensor;
using testing::relative_error;

namespace {

// A small convolution with tensors of its own.
struct Sample {
  std::size_t batch, seqlen, channels, width;
  Tensor<double, 3> x = random_tensor<double, 3>({batch, seqlen, channels}, 1);
  Tensor<double, 2> weight = random_tensor<double, 2>({channels, width}, 2);
  Tensor<double, 1> bias = random_tensor<double, 1>({channels}, 3);
  Tensor<double, 3> state = random_tensor<double, 3>({batch, channels, width}, 4);

  ShortConvolution<double> convolution(bool with_state = true) const {
    return {.x = as_rows(x),
            .batch = batch,
            .weight = as_matrix(weight),
            .bias = bias,
            .initial_state = with_state ? as_rows<1>(state) : MatrixRef<const double>{}};
  }
};

Tensor<double, 2> run(const ShortConvolution<double>& in) {
  auto y = zeros<double>(in.x.rows, in.x.columns);
  short_convolution<double>(in, as_matrix(y));
  return y;
}

// The definition, written down a second time: pad on the left, then weigh.
Tensor<double, 2> by_padding(const Sample& s, bool with_state, bool gate) {
  auto y = zeros<double>(s.batch * s.seqlen, s.channels);
  for (std::size_t b = 0; b < s.batch; ++b) {
    for (std::size_t c = 0; c < s.channels; ++c) {
      std::vector<double> padded(s.width);
      for (std::size_t k = 0; k < s.width; ++k) padded[k] = with_state ? s.state(b, c, k) : 0;
      for (std::size_t t = 0; t < s.seqlen; ++t) padded.push_back(s.x(b, t, c));
      for (std::size_t t = 0; t < s.seqlen; ++t) {
        double sum = s.bias(c);
        for (std::size_t k = 0; k < s.width; ++k) sum += s.weight(c, k) * padded[t + 1 + k];
        y(b * s.seqlen + t, c) = gate ? silu(sum) : sum;
      }
    }
  }
  return y;
}

}  // namespace

TEST_CASE("the convolution is the padded sum, of any width and length", "[conv]") {
  for (const std::size_t width : {1, 2, 4, 7}) {
    for (const std::size_t seqlen : {0, 1, 2, 3, 4, 5, 11}) {
      const Sample s{.batch = 2, .seqlen = seqlen, .channels = 3, .width = width};
      for (const bool with_state : {false, true}) {
        CAPTURE(width, seqlen, with_state);
        auto in = s.convolution(with_state);
        CHECK(relative_error(run(in), by_padding(s, with_state, true)) < 1e-13);
        in.silu = false;
        CHECK(relative_error(run(in), by_padding(s, with_state, false)) < 1e-13);
      }
    }
  }
}

TEST_CASE("channels may be read out of a wider matrix, and written into one", "[conv]") {
  const Sample s{.batch = 2, .seqlen = 6, .channels = 5, .width = 3};
  const auto want = run(s.convolution());
  auto wide = zeros<double>(12, 9);
  xt::view(wide, xt::all(), xt::range(3, 8)) = xt::reshape_view(s.x, {12, 5});
  auto in = s.convolution();
  in.x = column_block(as_matrix(std::as_const(wide)), 3, 5);
  auto out = zeros<double>(12, 8), expected = out;
  short_convolution<double>(in, column_block(as_matrix(out), 2, 5));
  xt::view(expected, xt::all(), xt::range(2, 7)) = want;
  CHECK(relative_error(out, expected) == 0);
}

// Channels are independent: some of them, out of a state of all, are a convolution by themselves.
TEST_CASE("some channels of a convolution are a convolution", "[conv]") {
  const Sample s{.batch = 2, .seqlen = 6, .channels = 5, .width = 3};
  const auto want = run(s.convolution());
  auto in = s.convolution();
  in.x = column_block(in.x, 1, 3);
  in.weight = row_block(in.weight, 1, 3);
  in.bias = in.bias.subspan(1, 3);
  in.initial_state = column_block(in.initial_state, 1 * 3, 3 * 3);
  CHECK(relative_error(run(in), Tensor<double, 2>(xt::view(want, xt::all(), xt::range(1, 4)))) == 0);
}

TEST_CASE("a new convolution state may be written over the old one", "[conv]") {
  for (const std::size_t seqlen : {0, 1, 2, 3, 5}) {
    const Sample s{.batch = 2, .seqlen = seqlen, .channels = 3, .width = 3};
    auto in = s.convolution();
    const auto want = convolution_state(in);
    auto state = s.state;
    in.initial_state = as_rows<1>(std::as_const(state));
    unchecked::convolution_state<double>(in, as_rows<1>(state));
    CHECK(relative_error(state, want) == 0);
  }
}

TEST_CASE("the state carries the convolution over a cut, wherever it is", "[conv]") {
  const std::size_t seqlen = 9;
  for (const std::size_t width : {1, 2, 4, 12}) {
    const Sample s{.batch = 2, .seqlen = seqlen, .channels = 3, .width = width};
    const auto whole = run(s.convolution());
    const auto last = convolution_state(s.convolution());
    for (std::size_t cut = 0; cut <= seqlen; ++cut) {
      CAPTURE(width, cut);
      const Tensor<double, 3> head = xt::view(s.x, xt::all(), xt::range(0, cut)),
                              tail = xt::view(s.x, xt::all(), xt::range(cut, seqlen));
      auto first = s.convolution();
      first.x = as_rows(head);
      const auto state = convolution_state(first);
      auto second = s.convolution();
      second.x = as_rows(tail);
      second.initial_state = as_rows<1>(state);
      const auto y = run(second);
      for (std::size_t b = 0; b < 2; ++b) {
        for (std::size_t t = cut; t < seqlen; ++t) {
          for (std::size_t c = 0; c < 3; ++c)
            REQUIRE(std::abs(y(b * (seqlen - cut) + t - cut, c) - whole(b * seqlen + t, c)) < 1e-13);
        }
      }
      CHECK(relative_error(convolution_state(second), last) == 0);
    }
  }
}

TEST_CASE("no window reaches over a border between packed sequences", "[conv]") {
  const Sample s{.batch = 1, .seqlen = 10, .channels = 2, .width = 4};
  Tensor<std::int64_t, 2> seq_idx({1, 10});
  const std::array<std::size_t, 5> starts{0, 3, 4, 8, 10};
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t t = starts[i]; t < starts[i + 1]; ++t) seq_idx(0, t) = i == 2 ? 0 : static_cast<std::int64_t>(i);
  }
  auto packed = s.convolution();
  packed.seq_idx = {seq_idx.data(), seq_idx.size()};
  const auto y = run(packed);
  for (std::size_t i = 0; i < 4; ++i) {
    const Tensor<double, 3> piece = xt::view(s.x, xt::all(), xt::range(starts[i], starts[i + 1]));
    auto alone = s.convolution(/* with_state = */ i == 0);  // the state belongs to the first
    alone.x = as_rows(piece);
    CHECK(relative_error(Tensor<double, 2>(xt::view(y, xt::range(starts[i], starts[i + 1]))), run(alone)) < 1e-13);
    if (i == 3) CHECK(relative_error(convolution_state(packed), convolution_state(alone)) == 0);
  }
}

TEST_CASE("the state of one packed sequence still holds what came before it", "[conv]") {
  const Sample s{.batch = 1, .seqlen = 2, .channels = 2, .width = 4};
  const Tensor<std::int64_t, 2> seq_idx({1, 2}, 5);
  auto packed = s.convolution();
  packed.seq_idx = {seq_idx.data(), seq_idx.size()};
  CHECK(relative_error(convolution_state(packed), convolution_state(s.convolution())) == 0);
  CHECK(convolution_state(packed)(0, 1, 1) == s.state(0, 1, 3));
}

TEMPLATE_TEST_CASE("the convolution works in either precision", "[conv]", float, double) {
  const auto x = random_tensor<TestType, 3>({2, 7, 3}, 1);
  const auto weight = random_tensor<TestType, 2>({3, 4}, 2);
  auto y = zeros<TestType>(14, 3);
  short_convolution<TestType>({.x = as_rows(x), .batch = 2, .weight = as_matrix(weight)}, as_matrix(y));
  Sample s{.batch = 2, .seqlen = 7, .channels = 3, .width = 4};
  s.bias.fill(0);
  CHECK(relative_error(y, by_padding(s, false, true)) < 1e-6);
}

TEST_CASE("the convolution refuses what does not fit, by name", "[conv]") {
  const Sample s{.batch = 2, .seqlen = 6, .channels = 5, .width = 3};
  const auto refusal = [&](auto change) {
    auto in = s.convolution();
    change(in);
    return message_of<ShapeError>([&] { run(in); });
  };
  using In = ShortConvolution<double>;
  const Tensor<double, 1> bias = zeros<double>(4);
  const Tensor<double, 3> state = zeros<double>(2, 5, 4);
  const std::vector<std::int64_t> seq_idx(12);
  CHECK(refusal([](In& in) { in.batch = 5; }) == "x: expected batch * seqlen rows with batch = 5, got 12");
  CHECK(refusal([](In& in) { in.weight.rows = 4; }) ==
        "conv1d.weight: expected shape (channels, d_conv) = (5, at least 1), got (4, 3)");
  CHECK(refusal([](In& in) { in.weight.columns = 0; }) ==
        "conv1d.weight: expected shape (channels, d_conv) = (5, at least 1), got (5, 0)");
  CHECK(refusal([&](In& in) { in.bias = bias; }) == "conv1d.bias: expected shape (channels) = (5), got (4)");
  CHECK(refusal([&](In& in) { in.initial_state = as_rows<1>(state); }) ==
        "conv_state: expected shape (batch, channels * d_conv) = (2, 15), got (2, 20)");
  CHECK(refusal([&](In& in) { in.seq_idx = std::span(seq_idx).first(11); }) ==
        "seq_idx: expected shape (batch * seqlen) = (12), got (11)");
  auto y = zeros<double>(12, 4), short_y = zeros<double>(11, 5);
  CHECK(message_of<ShapeError>([&] { short_convolution<double>(s.convolution(), as_matrix(y)); }) ==
        "y: expected shape (batch * seqlen, channels) = (12, 5), got (12, 4)");
  CHECK(message_of<ShapeError>([&] { short_convolution<double>(s.convolution(), as_matrix(short_y)); }) ==
        "y: expected shape (batch * seqlen, channels) = (12, 5), got (11, 5)");
}
