// What the tests of the operator share: golden cases, inputs of any size, the definition in plain loops.
#pragma once

#include <mamba2/ssd.hpp>
#include <support/testing.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

namespace testing {

inline constexpr mamba2::Algorithm kAlgorithms[] = {mamba2::Algorithm::recurrent, mamba2::Algorithm::quadratic,
                                                    mamba2::Algorithm::chunked};

template <class Real>
struct SsdCase {
  mamba2::ScanInput<Real> input;
  mamba2::ScanOptions options;
  mamba2::Tensor<double, 4> y, last_state;  // expected
};

inline std::vector<std::string> ssd_case_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_DIR "/ssd"))
    names.push_back(entry.path().filename().string());
  return names;
}

template <class Real>
SsdCase<Real> ssd_case(const std::string& name) {
  const std::string folder = "ssd/" + name;
  SsdCase<Real> c;
  c.input.x = load_golden<Real, 4>(folder, "x");
  c.input.dt = load_golden<Real, 3>(folder, "dt");
  c.input.A = load_golden<Real, 1>(folder, "A");
  c.input.B = load_golden<Real, 4>(folder, "B");
  c.input.C = load_golden<Real, 4>(folder, "C");
  if (has_golden(folder, "D")) {  // (nheads) or (nheads, headdim)
    auto D = read_npy<double>(golden_path(folder) / "D.npy");
    if (D.shape.size() == 1) D.shape.push_back(1);
    c.input.D = tensor_from<Real, 2>("D", D);
  }
  if (has_golden(folder, "dt_bias")) c.input.dt_bias = load_golden<Real, 1>(folder, "dt_bias");
  if (has_golden(folder, "init")) c.input.initial_state = load_golden<Real, 4>(folder, "init");
  if (has_golden(folder, "z")) c.input.z = load_golden<Real, 4>(folder, "z");
  if (has_golden(folder, "seq_idx")) c.input.seq_idx = load_golden<std::int64_t, 2>(folder, "seq_idx");
  const nlohmann::json json = nlohmann::json::parse(std::ifstream(golden_path(folder) / "case.json"));
  c.options.dt_softplus = json["softplus"];
  if (!json["dt_limit"].is_null()) {
    c.options.dt_min = json["dt_limit"][0];
    c.options.dt_max = json["dt_limit"][1];
  }
  c.y = load_golden<double, 4>(folder, "y");
  c.last_state = load_golden<double, 4>(folder, "last_state");
  return c;
}

/// An input that uses everything there is, seq_idx excepted.
inline mamba2::ScanInput<double> made_up_input(const mamba2::ScanSizes& s, std::uint64_t seed = 1) {
  seed *= 16;  // one for each tensor
  mamba2::ScanInput<double> in;
  in.x = random_tensor<double, 4>({s.batch, s.seqlen, s.nheads, s.headdim}, ++seed);
  in.dt = random_tensor<double, 3>({s.batch, s.seqlen, s.nheads}, ++seed, -3, 1);
  in.A = random_tensor<double, 1>({s.nheads}, ++seed, -2, -0.1);
  in.B = random_tensor<double, 4>({s.batch, s.seqlen, s.ngroups, s.d_state}, ++seed);
  in.C = random_tensor<double, 4>({s.batch, s.seqlen, s.ngroups, s.d_state}, ++seed);
  in.D = random_tensor<double, 2>({s.nheads, s.headdim}, ++seed);
  in.z = random_tensor<double, 4>({s.batch, s.seqlen, s.nheads, s.headdim}, ++seed, -2, 2);
  in.dt_bias = random_tensor<double, 1>({s.nheads}, ++seed);
  in.initial_state = random_tensor<double, 4>({s.batch, s.nheads, s.headdim, s.d_state}, ++seed);
  return in;
}

inline mamba2::ScanInput<float> to_float(const mamba2::ScanInput<double>& in) {
  mamba2::ScanInput<float> out;
  out.x = convert<float>(in.x);
  out.dt = convert<float>(in.dt);
  out.A = convert<float>(in.A);
  out.B = convert<float>(in.B);
  out.C = convert<float>(in.C);
  if (in.D) out.D = convert<float>(*in.D);
  if (in.z) out.z = convert<float>(*in.z);
  if (in.dt_bias) out.dt_bias = convert<float>(*in.dt_bias);
  if (in.initial_state) out.initial_state = convert<float>(*in.initial_state);
  out.seq_idx = in.seq_idx;
  return out;
}

/// The definition, one number at a time, with nothing of the library in it.
inline mamba2::ScanOutput<double> plain_ssd(const mamba2::ScanInput<double>& in, const mamba2::ScanOptions& options) {
  const std::size_t batch = in.x.shape(0), seqlen = in.x.shape(1), nheads = in.x.shape(2), headdim = in.x.shape(3);
  const std::size_t heads_per_group = nheads / in.B.shape(2), d_state = in.B.shape(3);
  mamba2::ScanOutput<double> out{in.x, mamba2::zeros<double>(batch, nheads, headdim, d_state)};
  for (std::size_t b = 0; b < batch; ++b)
    for (std::size_t h = 0; h < nheads; ++h)
      for (std::size_t p = 0; p < headdim; ++p) {
        std::vector<double> state(d_state, 0.0);
        for (std::size_t n = 0; in.initial_state && n < d_state; ++n) state[n] = (*in.initial_state)(b, h, p, n);
        for (std::size_t t = 0; t < seqlen; ++t) {
          if (in.seq_idx && t > 0 && (*in.seq_idx)(b, t) != (*in.seq_idx)(b, t - 1)) state.assign(d_state, 0.0);
          double dt = in.dt(b, t, h) + (in.dt_bias ? (*in.dt_bias)(h) : 0.0);
          if (options.dt_softplus) dt = dt > 20 ? dt : std::log1p(std::exp(dt));
          if (dt < options.dt_min) dt = options.dt_min;
          if (dt > options.dt_max) dt = options.dt_max;
          double y = 0;
          for (std::size_t n = 0; n < d_state; ++n) {
            const std::size_t g = h / heads_per_group;
            state[n] = std::exp(dt * in.A(h)) * state[n] + dt * in.B(b, t, g, n) * in.x(b, t, h, p);
            y += state[n] * in.C(b, t, g, n);
          }
          if (in.D) y += (*in.D)(h, in.D->shape(1) == 1 ? 0 : p) * in.x(b, t, h, p);
          if (in.z) y *= (*in.z)(b, t, h, p) / (1 + std::exp(-(*in.z)(b, t, h, p)));
          out.y(b, t, h, p) = y;
        }
        for (std::size_t n = 0; n < d_state; ++n) out.last_state(b, h, p, n) = state[n];
      }
  return out;
}

/// Tokens [begin, end) of an input; the state before the first of them is for the caller to set.
template <class Real>
mamba2::ScanInput<Real> tokens(const mamba2::ScanInput<Real>& in, std::size_t begin, std::size_t end) {
  const auto cut = [&](const auto& t) -> std::decay_t<decltype(t)> {
    return xt::view(t, xt::all(), xt::range(begin, end));
  };
  mamba2::ScanInput<Real> out = in;
  out.x = cut(in.x);
  out.dt = cut(in.dt);
  out.B = cut(in.B);
  out.C = cut(in.C);
  if (in.z) out.z = cut(*in.z);
  if (in.seq_idx) out.seq_idx = cut(*in.seq_idx);
  return out;
}

}  // namespace testing
