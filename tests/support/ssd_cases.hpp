// What the tests of the operator share: golden cases, made-up inputs of any size, distances.
#pragma once

#include <mamba2/ssd.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace support {

inline constexpr mamba2::Algorithm kAlgorithms[] = {mamba2::Algorithm::recurrent, mamba2::Algorithm::quadratic,
                                                    mamba2::Algorithm::chunked};

/// ‖got − want‖ / ‖want‖, summed in double; NaN in either one gives NaN, which is below no tolerance.
template <class A, class B>
double relative_error(const A& got, const B& want) {
  if (got.size() != want.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double g = static_cast<double>(got.data()[i]), w = static_cast<double>(want.data()[i]);
    difference += (g - w) * (g - w);
    norm += w * w;
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

/// Same shape, same numbers. (Catch cannot take a tensor's == apart.)
template <class A, class B>
bool same(const A& a, const B& b) {
  return a.shape() == b.shape() && std::equal(a.begin(), a.end(), b.begin());
}

/// A tensor of another precision.
template <class To, class From, std::size_t N>
mamba2::Tensor<To, N> convert(const mamba2::Tensor<From, N>& from) {
  mamba2::Tensor<To, N> to(from.shape());
  for (std::size_t i = 0; i < from.size(); ++i) to.data()[i] = static_cast<To>(from.data()[i]);
  return to;
}

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
  const std::filesystem::path folder = std::filesystem::path(GOLDEN_DIR) / "ssd" / name;
  const auto exists = [&](const char* file) { return std::filesystem::exists(folder / file); };
  const auto load = [&]<std::size_t N>(const char* file) {
    const mamba2::Tensor<double, N> tensor = xt::load_npy<double>((folder / file).string());
    return convert<Real>(tensor);
  };
  SsdCase<Real> c;
  c.input.x = load.template operator()<4>("x.npy");
  c.input.dt = load.template operator()<3>("dt.npy");
  c.input.A = load.template operator()<1>("A.npy");
  c.input.B = load.template operator()<4>("B.npy");
  c.input.C = load.template operator()<4>("C.npy");
  if (exists("D.npy")) {  // (nheads) or (nheads, headdim)
    const xt::xarray<double> D = xt::load_npy<double>((folder / "D.npy").string());
    const std::size_t heads = D.shape(0), columns = D.dimension() == 1 ? 1 : D.shape(1);
    c.input.D = mamba2::zeros<Real>(heads, columns);
    for (std::size_t i = 0; i < D.size(); ++i) c.input.D->data()[i] = static_cast<Real>(D.data()[i]);
  }
  if (exists("dt_bias.npy")) c.input.dt_bias = load.template operator()<1>("dt_bias.npy");
  if (exists("init.npy")) c.input.initial_state = load.template operator()<4>("init.npy");
  if (exists("z.npy")) c.input.z = load.template operator()<4>("z.npy");
  if (exists("seq_idx.npy")) {
    const mamba2::Tensor<std::int64_t, 2> seq_idx = xt::load_npy<std::int64_t>((folder / "seq_idx.npy").string());
    c.input.seq_idx = seq_idx;
  }
  const nlohmann::json json = nlohmann::json::parse(std::ifstream(folder / "case.json"));
  c.options.dt_softplus = json["softplus"];
  if (!json["dt_limit"].is_null()) {
    c.options.dt_min = json["dt_limit"][0];
    c.options.dt_max = json["dt_limit"][1];
  }
  c.y = xt::load_npy<double>((folder / "y.npy").string());
  c.last_state = xt::load_npy<double>((folder / "last_state.npy").string());
  return c;
}

/// Numbers that look random and are the same everywhere, in [low, high).
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed) {}
  double operator()(double low, double high) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * static_cast<double>(state_ >> 11) / 9007199254740992.0;
  }
  template <std::size_t N>
  mamba2::Tensor<double, N> tensor(const std::array<std::size_t, N>& shape, double low, double high) {
    mamba2::Tensor<double, N> t(shape);
    for (std::size_t i = 0; i < t.size(); ++i) t.data()[i] = (*this)(low, high);
    return t;
  }

 private:
  std::uint64_t state_;
};

/// An input that uses everything there is, seq_idx excepted.
inline mamba2::ScanInput<double> made_up_input(const mamba2::ScanSizes& s, std::uint64_t seed = 1) {
  Numbers numbers(seed);
  mamba2::ScanInput<double> in;
  in.x = numbers.tensor<4>({s.batch, s.seqlen, s.nheads, s.headdim}, -1, 1);
  in.dt = numbers.tensor<3>({s.batch, s.seqlen, s.nheads}, -3, 1);
  in.A = numbers.tensor<1>({s.nheads}, -2, -0.1);
  in.B = numbers.tensor<4>({s.batch, s.seqlen, s.ngroups, s.d_state}, -1, 1);
  in.C = numbers.tensor<4>({s.batch, s.seqlen, s.ngroups, s.d_state}, -1, 1);
  in.D = numbers.tensor<2>({s.nheads, s.headdim}, -1, 1);
  in.z = numbers.tensor<4>({s.batch, s.seqlen, s.nheads, s.headdim}, -2, 2);
  in.dt_bias = numbers.tensor<1>({s.nheads}, -1, 1);
  in.initial_state = numbers.tensor<4>({s.batch, s.nheads, s.headdim, s.d_state}, -1, 1);
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

}  // namespace support
