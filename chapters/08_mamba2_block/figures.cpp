// The data of this chapter's figures.
#include <demo/bfloat16.hpp>
#include <demo/demo.hpp>
#include <demo/figure.hpp>
#include <mamba2/block.hpp>

#include <fstream>
#include <string>
#include <type_traits>
#include <vector>

using namespace mamba2;

namespace {

using demo::relative_difference;

constexpr std::size_t d_model = 64, seqlen = 96, layers = 24;

// The stream after each layer of x = x + block(norm(x)); as usual, the sum itself is never rounded.
template <class Real>
std::vector<Tensor<Real, 3>> stream(const std::vector<Mamba2Block<Real>>& blocks,
                                    const ForwardOptions<Real>& options, bool rounded = false) {
  Random random(1);
  auto x = zeros<Real>(1, seqlen, d_model), normed = x;
  for (auto& value : x) value = static_cast<Real>(random.normal());
  const Tensor<Real, 1> weight({d_model}, 1);
  std::vector<Tensor<Real, 3>> after;
  for (const auto& block : blocks) {
    rms_norm<Real>(as_rows(x), weight, 1e-5, as_rows(normed));
    if constexpr (std::is_same_v<Real, double>)
      if (rounded) demo::round_all(normed);
    x += block.forward(normed, options).y;
    after.push_back(x);
  }
  return after;
}

// Layer, float32 chunked, float32 recurrent, bfloat16 weights, all in bfloat16: relative difference
// from float64.
void rounding(std::ofstream out) {
  const Mamba2Config config{.d_model = d_model, .d_state = 32, .headdim = 16, .chunk_size = 32};
  std::vector<Mamba2Block<double>> exact;
  std::vector<Mamba2Block<float>> single;
  std::vector<Mamba2Block<double>> rounded;
  for (std::size_t i = 0; i < layers; ++i) {
    // The same weights in all three: drawn as floats.
    single.emplace_back(config, i);
    exact.emplace_back(config, i);
    exact.back().update([](auto& parameters) {
      for (const auto& values : parameter_spans(parameters))
        for (double& value : values) value = static_cast<double>(static_cast<float>(value));
    });
    rounded.push_back(exact.back());
    rounded.back().update([](auto& parameters) {
      for (const auto& values : parameter_spans(parameters)) demo::round_all(values);
    });
  }
  const auto want = stream<double>(exact, {});
  const auto chunked = stream<float>(single, {});
  const auto recurrent = stream<float>(single, {.algorithm = Algorithm::recurrent});
  const auto short_weights = stream<double>(rounded, {});
  for (auto& block : rounded) block.use(demo::rounding_operations());
  const auto all = stream<double>(rounded, {}, true);
  for (std::size_t i = 0; i < layers; ++i) {
    out << i + 1 << ' ' << relative_difference(chunked[i], want[i]) << ' '
        << relative_difference(recurrent[i], want[i]) << ' '
        << relative_difference(short_weights[i], want[i]) << ' ' << relative_difference(all[i], want[i])
        << '\n';
  }
}

}  // namespace

int main(int, char** arguments) {
  rounding(demo::create(std::string(arguments[1]) + "/rounding.dat"));
}
