// Our solutions.
#include "exercises.hpp"

#include <mamba2/error.hpp>
#include <mamba2/json.hpp>

#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

namespace exercises {

using mamba2::zeros;

//: 1
float widen(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

std::uint16_t narrow(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return 0x7fc0;
  const std::uint32_t dropped = bits & 0xffff, last = (bits >> 16) & 1;
  const bool up = dropped > 0x8000 || (dropped == 0x8000 && last == 1);
  return static_cast<std::uint16_t>((bits >> 16) + (up ? 1 : 0));
}
//: end

//: 2
std::size_t count_parameters(const Sizes& s) {
  const std::size_t d_inner = s.expand * s.d_model, nheads = d_inner / s.headdim;
  const std::size_t conv_dim = d_inner + 2 * s.ngroups * s.d_state;
  const std::size_t in_proj = (d_inner + conv_dim + nheads) * s.d_model;  // z; x, B, C; dt
  const std::size_t conv1d = conv_dim * s.d_conv + conv_dim;
  const std::size_t per_head = 3 * nheads;  // dt_bias, A_log, D
  const std::size_t block = in_proj + conv1d + per_head + d_inner + d_inner * s.d_model;
  const std::size_t table = s.padded_vocab_size * s.d_model;
  return table + s.n_layer * (s.d_model + block) + s.d_model + (s.tie_embeddings ? 0 : table);
}
//: end

//: 3
std::vector<double> read_tensor(const std::string& file, const std::string& name) {
  const auto refuse = [&](const std::string& reason) { throw mamba2::FileError("file: " + reason); };
  std::uint64_t length = 0;
  if (file.size() < 8) refuse("too short");
  std::memcpy(&length, file.data(), 8);
  if (length > file.size() - 8) refuse("the header reaches beyond the file");
  const auto header = mamba2::parse_json(file.substr(8, length), "file");
  if (!header.is_object() || !header.contains(name)) refuse("no tensor '" + name + "'");
  const auto& entry = header.at(name);
  if (entry.at("dtype") != "F32") refuse("'" + name + "' does not hold floats");

  const std::size_t data = 8 + length, size = file.size() - data;
  const auto begin = entry.at("data_offsets").at(0).get<std::size_t>();
  const auto end = entry.at("data_offsets").at(1).get<std::size_t>();
  if (begin > end || end > size) refuse("'" + name + "' reaches beyond the file");
  std::size_t count = 1;
  for (const auto& extent : entry.at("shape")) {
    const auto factor = extent.get<std::size_t>();
    if (factor != 0 && count > size / factor) refuse("'" + name + "' is larger than the file");
    count *= factor;
  }
  if (count * 4 != end - begin) refuse("'" + name + "' has another shape than its range");

  std::vector<double> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    float number = 0;
    std::memcpy(&number, file.data() + data + begin + 4 * i, 4);
    numbers[i] = static_cast<double>(number);
  }
  return numbers;
}
//: end

//: 4
namespace {

Tensor<double, 2> rms_norm(const Tensor<double, 2>& x, const Tensor<double, 1>& weights, double eps) {
  Tensor<double, 2> normed = x;
  for (std::size_t t = 0; t < x.shape(0); ++t) {
    double squares = 0;
    for (std::size_t k = 0; k < x.shape(1); ++k) squares += x(t, k) * x(t, k);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.shape(1)) + eps);
    for (std::size_t k = 0; k < x.shape(1); ++k) normed(t, k) = scale * x(t, k) * weights(k);
  }
  return normed;
}

}  // namespace

Tensor<double, 2> scores(const std::vector<std::size_t>& ids, const Tensor<double, 2>& embedding,
                         const std::vector<Layer>& layers, const Tensor<double, 1>& norm_f, double eps,
                         std::size_t vocab_size) {
  const std::size_t tokens = ids.size(), d_model = embedding.shape(1);
  auto x = zeros<double>(tokens, d_model);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t k = 0; k < d_model; ++k) x(t, k) = embedding(ids[t], k);
  for (const Layer& layer : layers) {
    const auto normed = rms_norm(x, layer.norm, eps);
    x += layer.mixer(normed);
  }
  const auto last = rms_norm(x, norm_f, eps);
  auto result = zeros<double>(tokens, vocab_size);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t v = 0; v < vocab_size; ++v)
      for (std::size_t k = 0; k < d_model; ++k) result(t, v) += last(t, k) * embedding(v, k);
  return result;
}
//: end

}  // namespace exercises
