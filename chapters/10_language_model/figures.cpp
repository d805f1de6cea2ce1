// The data of this chapter's figures: figures_NN OUTDIR
#include <demo/figure.hpp>
#include <mamba2/half.hpp>
#include <mamba2/language_model.hpp>

#include <cmath>
#include <string>
#include <vector>

namespace {

using mamba2::Algorithm;
using mamba2::LanguageModel;
using mamba2::Tensor;

constexpr std::size_t seqlen = 320, window = 16;

// Relative error of the logits in each window of positions.
template <class Real>
std::vector<double> errors(const Tensor<Real, 3>& got, const Tensor<double, 3>& want) {
  std::vector<double> result;
  const std::size_t vocab = want.shape(2);
  for (std::size_t t = 0; t < seqlen; t += window) {
    double difference = 0, size = 0;
    for (std::size_t i = t * vocab; i < (t + window) * vocab; ++i) {
      const double d = static_cast<double>(got.data()[i]) - want.data()[i];
      difference += d * d;
      size += want.data()[i] * want.data()[i];
    }
    result.push_back(std::sqrt(difference / size));
  }
  return result;
}

// The same model in double, each of its parameters changed on the way.
template <class Change>
LanguageModel<double> changed(const LanguageModel<float>& model, Change change) {
  auto parameters = mamba2::zero_parameters<double>(model.config());
  const auto copy = [&](const auto&, std::span<const float> from, std::span<double> to) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(change(from[i]));
  };
  walk(model.config(), copy, model.parameters(), parameters);
  return {model.config(), std::move(parameters)};
}

}  // namespace

int main(int, char** argv) {
  const mamba2::LanguageModelConfig config{
      .n_layer = 8,
      .vocab_size = 256,
      .mixer = mamba2::Mamba2Config{.d_model = 64, .d_state = 32, .headdim = 16, .chunk_size = 64}};
  const LanguageModel<float> model(config, 10);
  const auto exact = changed(model, [](float v) { return v; });
  auto ids = Tensor<std::int64_t, 2>::from_shape({1, seqlen});
  for (std::size_t i = 0; i < seqlen; ++i)
    ids.data()[i] = static_cast<std::int64_t>((i * i * 3 + 11 * i + 5) % 251);
  const auto want = exact.forward(ids);

  std::vector<std::vector<double>> columns;
  for (const auto algorithm : {Algorithm::recurrent, Algorithm::quadratic, Algorithm::chunked})
    columns.push_back(errors(model.forward(ids, {.algorithm = algorithm}), want));
  const auto in_float16 =
      changed(model, [](float v) { return mamba2::float16_to_float(mamba2::float_to_float16(v)); });
  columns.push_back(errors(in_float16.forward(ids), want));
  const auto in_bfloat16 =
      changed(model, [](float v) { return mamba2::bfloat16_to_float(mamba2::float_to_bfloat16(v)); });
  columns.push_back(errors(in_bfloat16.forward(ids), want));

  auto file = demo::create(std::string(argv[1]) + "/precision.dat");
  for (std::size_t row = 0; row < columns[0].size(); ++row) {
    file << row * window + window / 2;
    for (const auto& column : columns) file << " " << column[row];
    file << "\n";
  }
  return file ? 0 : 1;
}
