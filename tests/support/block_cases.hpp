// The golden cases of one block.
#pragma once

#include <mamba2/block.hpp>
#include <support/testing.hpp>

#include <nlohmann/json.hpp>

#include <fstream>
#include <string>
#include <vector>

namespace testing {

inline const std::vector<std::string> block_cases{"default",          "groups",     "partial_ssm",
                                                  "D_per_channel",    "biases",     "no_conv_bias",
                                                  "norm_before_gate", "no_rmsnorm", "short_prompt"};

template <class Real>
struct BlockCase {
  std::string folder;
  mamba2::Mamba2Config config;
  mamba2::Mamba2Parameters<Real> parameters;
  std::size_t prefill_length;
  mamba2::Tensor<Real, 3> u;  // prefill_length + 3 tokens

  mamba2::Tensor<Real, 3> u_prefill() const { return xt::view(u, xt::all(), xt::range(0, prefill_length)); }
  mamba2::Tensor<double, 3> load3(const char* name) const { return load_golden<double, 3>(folder, name); }
  mamba2::Tensor<double, 4> load4(const char* name) const { return load_golden<double, 4>(folder, name); }
};

template <class Real>
BlockCase<Real> block_case(const std::string& name) {
  BlockCase<Real> golden;
  golden.folder = "block/" + name;
  std::ifstream file(golden_path(golden.folder) / "config.json");
  const auto json = nlohmann::json::parse(file);
  auto& c = golden.config;
  c.d_model = json.at("d_model");
  c.d_state = json.at("d_state");
  c.d_conv = json.at("d_conv");
  c.expand = json.at("expand");
  c.headdim = json.at("headdim");
  c.ngroups = json.at("ngroups");
  c.chunk_size = json.at("chunk_size");
  c.d_ssm = json.value("d_ssm", c.d_ssm);
  c.D_has_hdim = json.value("D_has_hdim", c.D_has_hdim);
  c.rmsnorm = json.value("rmsnorm", c.rmsnorm);
  c.norm_before_gate = json.value("norm_before_gate", c.norm_before_gate);
  c.bias = json.value("bias", c.bias);
  c.conv_bias = json.value("conv_bias", c.conv_bias);
  golden.prefill_length = json.at("prefill_length");
  golden.parameters = mamba2::zero_parameters<Real>(c);
  mamba2::with_tensors(mamba2::Mamba2Sizes(c), golden.parameters, [&](const auto& info, auto& tensor) {
    constexpr std::size_t axes = std::tuple_size_v<std::decay_t<decltype(tensor.shape())>>;
    if (info.present()) tensor = load_golden<Real, axes>(golden.folder, info.name);
  });
  golden.u = load_golden<Real, 3>(golden.folder, "u");
  return golden;
}

}  // namespace testing
