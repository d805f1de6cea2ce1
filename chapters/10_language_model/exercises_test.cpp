// The grader of this chapter.
#include "exercises.hpp"

#include <demo/demo.hpp>
#include <exercises/grader.hpp>
#include <mamba2/error.hpp>
#include <mamba2/half.hpp>
#include <mamba2/language_model.hpp>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>

using mamba2::Tensor;
using mamba2::zeros;

namespace {

std::string hex(std::uint32_t bits) {
  const char* digits = "0123456789abcdef";
  std::string text;
  for (int shift = 28; shift >= 0; shift -= 4) text += digits[bits >> shift & 15];
  return "0x" + text;
}

std::string safetensors(const std::string& header, const std::vector<float>& data) {
  const std::uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), 8);
  file += header;
  file.append(reinterpret_cast<const char*>(data.data()), 4 * data.size());
  return file;
}

const std::vector<float> seven = {0.5f, -1, 2, 3.25f, -4, 5, 600};

std::string good_file() {
  return safetensors(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("half":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},)"
      R"("whole":{"dtype":"I32","shape":[1],"data_offsets":[8,12]},)"
      R"("b":{"dtype":"F32","shape":[2,2],"data_offsets":[12,28]}})",
      seven);
}

void refuses(const std::string& file, const std::string& name, const std::string& message) {
  grader::expect_throws<mamba2::FileError>([&] { exercises::read_tensor(file, name); }, message);
}

}  // namespace

GRADE(1, "half a float") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float want = mamba2::bfloat16_to_float(half), yours = exercises::widen(half);
    if (std::isnan(want) ? !std::isnan(yours)
                         : std::bit_cast<std::uint32_t>(yours) != std::bit_cast<std::uint32_t>(want))
      grader::expect(false, "widen(" + hex(bits) + ") should be the float with bits " +
                                hex(std::bit_cast<std::uint32_t>(want)) + ", yours has " +
                                hex(std::bit_cast<std::uint32_t>(yours)));
  }
  const auto same = [](float value) {
    const std::uint32_t yours = exercises::narrow(value), want = mamba2::float_to_bfloat16(value);
    grader::expect(yours == want, "narrow() of the float with bits " +
                                      hex(std::bit_cast<std::uint32_t>(value)) + " should be " +
                                      hex(want) + ", yours is " + hex(yours));
  };
  std::uint32_t state = 10;
  for (int i = 0; i < 2000; ++i) {
    state = state * 1664525u + 1013904223u;
    if (!std::isnan(std::bit_cast<float>(state))) same(std::bit_cast<float>(state));
  }
  for (std::uint32_t upper = 0x3f80; upper < 0x3f90; ++upper)  // just below, on and just above half way
    for (const std::uint32_t lower : {0x7fffu, 0x8000u, 0x8001u})
      same(std::bit_cast<float>(upper << 16 | lower));
  for (const float value :
       {0.0f, -0.0f, 1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::max()})
    same(value);
  for (const std::uint32_t nan : {0x7fc00000u, 0x7f800001u, 0x7fffffffu, 0xff800001u})
    grader::expect(std::isnan(mamba2::bfloat16_to_float(exercises::narrow(std::bit_cast<float>(nan)))),
                   "narrow() of the NaN with bits " + hex(nan) + " should be a NaN");
}

GRADE(2, "count the parameters") {
  using exercises::Sizes;
  for (const Sizes& s : {Sizes{.d_model = 768, .n_layer = 24, .padded_vocab_size = 50288},
                         Sizes{.d_model = 2560, .n_layer = 64, .padded_vocab_size = 50288},
                         Sizes{.d_model = 30,
                               .n_layer = 3,
                               .padded_vocab_size = 56,
                               .d_state = 7,
                               .d_conv = 5,
                               .expand = 4,
                               .headdim = 10,
                               .ngroups = 3,
                               .tie_embeddings = false}}) {
    const std::size_t want =
        mamba2::parameter_count({.n_layer = s.n_layer,
                                 .vocab_size = s.padded_vocab_size,
                                 .tie_embeddings = s.tie_embeddings,
                                 .mixer = mamba2::Mamba2Config{.d_model = s.d_model,
                                                               .d_state = s.d_state,
                                                               .d_conv = s.d_conv,
                                                               .expand = s.expand,
                                                               .headdim = s.headdim,
                                                               .ngroups = s.ngroups}});
    const std::size_t yours = exercises::count_parameters(s);
    grader::expect(yours == want, "a model of " + std::to_string(s.n_layer) + " layers of width " +
                                      std::to_string(s.d_model) + " has " + std::to_string(want) +
                                      " parameters, not " + std::to_string(yours));
  }
}

GRADE(3, "read a tensor") {
  const std::string file = good_file();
  grader::expect_close(exercises::read_tensor(file, "a"), std::vector<double>{0.5, -1}, "tensor a");
  grader::expect_close(exercises::read_tensor(file, "b"), std::vector<double>{3.25, -4, 5, 600},
                       "tensor b");
  refuses(file, "c", "a tensor that is not in the header should be refused");
  refuses(file, "half", "a tensor of halves should be refused");
  refuses(file, "whole",
          "a tensor of whole numbers should be refused, though its size is that of floats");
  for (std::size_t length : {0u, 5u, 8u, 40u, 200u})
    refuses(file.substr(0, length), "b",
            "a file cut off after " + std::to_string(length) + " bytes should be refused");
  refuses(file.substr(0, file.size() - 4), "b",
          "data that ends before the tensor does should be refused");
  const auto lie = [](const std::string& shape, const std::string& range) {
    return safetensors(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":" + range + "}}", seven);
  };
  refuses(safetensors(R"({"a":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}})", seven), "a",
          "a tensor of whole numbers, as wide as floats, should be refused");
  refuses(lie("[3]", "[0,8]"), "a", "three floats in eight bytes should be refused");
  refuses(lie("[4294967296,4294967296]", "[0,0]"), "a",
          "a shape whose product wraps to zero should be refused");
  refuses(lie("[4611686018427387906]", "[0,8]"), "a",
          "a shape whose size in bytes wraps to eight should be refused");
  refuses(lie("[8]", "[0,32]"), "a", "a range beyond the end of the file should be refused");
  refuses(lie("[2]", "[16,8]"), "a", "a range that ends before it begins should be refused");
  refuses(std::string(8, '\xff') + file.substr(8), "a",
          "a header as long as the whole address space should be refused");
  std::string wraps = safetensors(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", {});
  const std::uint64_t length = ~std::uint64_t{7};  // with the eight bytes before it: zero
  std::memcpy(wraps.data(), &length, 8);
  refuses(wraps, "a",
          "a header whose length wraps around, with the eight bytes before it, should be refused");
}

// Exercise 4.

namespace {

using Ids = Tensor<std::int64_t, 2>;

// The library's mixer of a branch, as a plain function.
std::function<Tensor<double, 2>(const Tensor<double, 2>&)> as_function(
    const mamba2::LanguageModel<double>& model, std::size_t branch) {
  auto parameters = std::make_shared<mamba2::LanguageModelParameters<double>>(model.parameters());
  const std::shared_ptr<mamba2::Mixer<double>> mixer = model.config().branches()[branch].mixer->make(
      parameters->branches[branch].mixer, mamba2::full_weight<double>);
  return [parameters, mixer, &model](const Tensor<double, 2>& u) {
    Tensor<double, 2> y(u.shape());
    mixer->forward({.u = mamba2::as_matrix(u), .batch = 1}, nullptr, model.operations(), nullptr,
                   mamba2::as_matrix(y));
    return y;
  };
}

void expect_the_librarys(const mamba2::LanguageModelConfig& config, const std::string& what) {
  mamba2::LanguageModel<double> model(config, 7);
  model.update(
      [](auto& parameters) {  // norms whose weights are not all one, an embedding that is heard
        demo::Random draw(3);
        demo::fill(parameters.embedding_weight, draw, -0.4, 0.4);
        for (auto& branch : parameters.branches) demo::fill(branch.norm_weight, draw, 0.5, 1.5);
        demo::fill(parameters.norm_f_weight, draw, 0.5, 1.5);
      });
  std::vector<exercises::Layer> layers;
  for (std::size_t i = 0; i < model.parameters().branches.size(); ++i)
    layers.push_back({model.parameters().branches[i].norm_weight, as_function(model, i)});
  const std::vector<std::size_t> ids{3, 1, 4, 1, 5, 9, 2};
  Ids batch({1, ids.size()});
  std::copy(ids.begin(), ids.end(), batch.begin());
  const auto logits = model.forward(batch);
  Tensor<double, 2> expected({ids.size(), config.vocab_size});
  for (std::size_t t = 0; t < ids.size(); ++t)
    for (std::size_t v = 0; v < config.vocab_size; ++v) expected(t, v) = logits(0, t, v);
  grader::expect_close(
      exercises::scores(ids, model.parameters().embedding_weight, layers,
                        model.parameters().norm_f_weight, config.norm_eps, config.vocab_size),
      expected, what);
}

}  // namespace

GRADE(4, "the residual loop") {
  mamba2::LanguageModelConfig config{
      .n_layer = 1,
      .vocab_size = 11,
      .norm_eps = 1e-2,
      .mixer = mamba2::Mamba2Config{.d_model = 6, .d_state = 5, .headdim = 4}};
  expect_the_librarys(config, "scores of a model of one layer");
  config.n_layer = 3;
  expect_the_librarys(config, "scores of a model of three layers");
  config.d_intermediate = 8;
  expect_the_librarys(config, "scores of a model whose layers have a second branch, an MLP");
}
