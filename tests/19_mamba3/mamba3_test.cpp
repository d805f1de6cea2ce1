// Mamba-3 as a mixer, and its gradients.
#include <mamba2/mamba3.hpp>
#include <mamba2/mamba3_gradient.hpp>
#include <nlohmann/json.hpp>
#include <support/adjoints.hpp>
#include <support/files.hpp>
#include <support/models.hpp>
#include <support/testing.hpp>

#include <fstream>
#include <string>
#include <vector>

using namespace mamba2;
using namespace testing;

namespace {

const std::vector<std::string> cases{"default", "all_rotated", "groups", "output_norm", "mimo", "mimo_output_norm"};

struct Case {
  std::string folder;
  Mamba3Config config;
  std::size_t length;
};

Case golden_case(const std::string& name) {
  const std::string folder = "mamba3/" + name;
  std::ifstream file(golden_path(folder + "/config.json"));
  const auto json = nlohmann::json::parse(file);
  Mamba3Config c{.d_model = json["d_model"], .d_state = json["d_state"], .headdim = json["headdim"]};
  c.ngroups = json["ngroups"];
  c.rope_fraction = json["rope_fraction"];
  c.is_mimo = json.value("is_mimo", false);
  c.mimo_rank = json.value("mimo_rank", std::size_t{4});
  c.is_outproj_norm = json.value("is_outproj_norm", false);
  c.chunk_size = 5;
  return {folder, c, json["prefill_length"]};
}

template <class Real>
Mamba3Parameters<Real> golden_parameters(const Case& c) {
  Mamba3Parameters<Real> p;
  set_zero(c.config, p);
  with_tensors(c.config, p, [&](const ParameterInfo& info, auto& tensor) {
    constexpr std::size_t axes = std::tuple_size_v<std::decay_t<decltype(tensor.shape())>>;
    if (info.present()) tensor = load_golden<Real, axes>(c.folder, info.name);
  });
  return p;
}

template <class Real>
Tensor<Real, 3> piece(const Tensor<Real, 3>& u, std::size_t first, std::size_t last) {
  return xt::view(u, xt::all(), xt::range(first, last));
}

template <class Real>
Tensor<Real, 3> outputs(const Mamba3Mixer<Real>& mixer, const Tensor<Real, 3>& u,
                        std::type_identity_t<Mamba3Cache<Real>*> cache = nullptr, std::size_t chunk_size = 0,
                        std::span<const std::int64_t> seq_idx = {}) {
  auto y = Tensor<Real, 3>::from_shape(u.shape());
  Mamba3Activations<Real> a;
  mixer.forward({.u = as_rows(u), .batch = u.shape(0), .seq_idx = seq_idx, .chunk_size = chunk_size}, cache,
                default_operations<Real>(), a, as_rows(y));
  return y;
}

// Every size differs; R = 1 or 2; one raw angle and rate is at a round number.
Mamba3Config small(bool mimo, bool norm) {
  return {.d_model = 6,
          .d_state = 4,
          .headdim = 3,
          .ngroups = 2,
          .rope_fraction = mimo ? 1.0 : 0.5,
          .is_outproj_norm = norm,
          .is_mimo = mimo,
          .mimo_rank = 2,
          .chunk_size = 3};
}

Mamba3Parameters<double> some_parameters(const Mamba3Config& config) {
  Mamba3Parameters<double> p;
  set_zero(config, p);
  mamba2::Random random(5);
  walk(config, [&](const ParameterInfo& info, std::span<double> values) { draw<double>(info, random, values); }, p);
  for (const auto& values : parameter_spans(p))
    for (double& value : values) value += random.uniform(-0.3, 0.3);
  return p;
}

Mamba3Cache<double> some_cache(const Mamba3Config& c, std::size_t batch) {
  const Mamba3Sizes s(c);
  return {random_tensor<double, 3>({batch, s.nheads, s.num_angles}, 61),
          random_tensor<double, 4>({batch, s.nheads, c.headdim, c.d_state}, 62),
          random_tensor<double, 4>({batch, s.rank, s.nheads, c.d_state}, 63),
          random_tensor<double, 3>({batch, s.nheads, c.headdim}, 64)};
}

}  // namespace

TEMPLATE_TEST_CASE("Mamba-3 gives the golden outputs and leaves the golden states", "[mamba3]", float, double) {
  for (const std::string& name : cases) {
    CAPTURE(name);
    const Case c = golden_case(name);
    auto p = golden_parameters<TestType>(c);
    const Mamba3Mixer<TestType> mixer(c.config, p);
    const auto u = load_golden<TestType, 3>(c.folder, "u");
    auto cache = mixer.empty_cache(u.shape(0));
    const auto near = [&](const auto& got, const char* what) {
      CAPTURE(what);
      constexpr std::size_t axes = std::tuple_size_v<std::decay_t<decltype(got.shape())>>;
      CHECK(relative_error(got, load_golden<double, axes>(c.folder, what)) < golden_tolerance<TestType>);
    };
    near(outputs(mixer, piece(u, 0, c.length), &cache), "y");
    near(cache.angle_state, "angle_state");
    near(cache.ssm_state, "ssm_state");
    near(cache.k_state, "k_state");
    near(cache.v_state, "v_state");
    auto steps = Tensor<TestType, 3>::from_shape({u.shape(0), 3, u.shape(2)});
    for (std::size_t t = 0; t < 3; ++t) {
      const Tensor<TestType, 2> token = xt::view(u, xt::all(), c.length + t);
      auto y = token;
      mixer.step(as_matrix(token), cache, default_operations<TestType>(), as_matrix(y));
      xt::view(steps, xt::all(), t) = y;
    }
    near(steps, "y_steps");
    near(cache.angle_state, "angle_state_after");
    near(cache.ssm_state, "ssm_state_after");
  }
}

TEMPLATE_TEST_CASE("gradients of Mamba-3 are the golden ones", "[mamba3]", float, double) {
  for (const std::string& name : cases) {
    const Case c = golden_case(name);
    const Mamba3Sizes sizes(c.config);
    auto p = golden_parameters<TestType>(c);
    Mamba3Parameters<TestType> d;
    set_zero(c.config, d);
    const Tensor<TestType, 3> u = piece(load_golden<TestType, 3>(c.folder, "u"), 0, c.length);
    const auto dy = load_golden<TestType, 3>(c.folder, "dy");
    auto y = u, du = u;
    Mamba3Activations<TestType> kept;
    const MixerInput<TestType> input{.u = as_rows(u), .batch = u.shape(0)};
    Mamba3Mixer<TestType>(c.config, p).forward(input, nullptr, default_operations<TestType>(), kept, as_rows(y));
    mamba3_gradient<TestType>({.sizes = sizes, .parameters = p, .input = input, .kept = kept}, as_rows(dy), d,
                              as_rows(du));
    CAPTURE(name);
    CHECK(relative_error(du, load_golden<double, 3>(c.folder, "grad_u")) < gradient_tolerance<TestType>);
    with_tensors(c.config, d, [&](const ParameterInfo& info, const auto& tensor) {
      constexpr std::size_t axes = std::tuple_size_v<std::decay_t<decltype(tensor.shape())>>;
      CAPTURE(info.name);
      if (info.present())
        CHECK(relative_error(tensor, load_golden<double, axes>(c.folder, "grad_" + info.name)) <
              gradient_tolerance<TestType>);
    });
  }
}

TEST_CASE("gradients of Mamba-3 are central differences, with a past and packed sequences", "[mamba3]") {
  const std::vector<std::int64_t> packed{0, 0, 0, 1, 1, 7, 7, 7, 7, 7};
  for (const bool mimo : {false, true}) {
    auto config = small(mimo, mimo);
    if (mimo) config.A_activation = RateActivation::softplus;
    const Mamba3Sizes sizes(config);
    auto p = some_parameters(config);
    auto u = random_tensor<double, 3>({2, 5, 6}, 1);
    const auto before = some_cache(config, 2);
    for (const bool in_parts : {false, true}) {
      CAPTURE(mimo, in_parts);
      const std::span<const std::int64_t> seq_idx =
          in_parts ? std::span<const std::int64_t>(packed) : std::span<const std::int64_t>();
      Adjoint adjoint;
      adjoint.inputs = {numbers(u)};
      for (const auto& span : parameter_spans(p)) adjoint.inputs.push_back(span);
      Mamba3Activations<double> kept;
      adjoint.forward = [&] {
        auto cache = before;
        auto y = u;
        Mamba3Mixer<double>(config, p).forward({.u = as_rows(std::as_const(u)), .batch = 2, .seq_idx = seq_idx}, &cache,
                                               default_operations<double>(), kept, as_rows(y));
        return values(y);
      };
      adjoint.backward = [&](const std::vector<double>& w) {
        adjoint.forward();
        Mamba3Parameters<double> d;
        set_zero(config, d);
        auto du = u;
        mamba3_gradient<double>({.sizes = sizes,
                                 .parameters = p,
                                 .input = {.u = as_rows(std::as_const(u)), .batch = 2, .seq_idx = seq_idx},
                                 .kept = kept,
                                 .before = &before},
                                {w.data(), 10, 6, 6}, d, as_rows(du));
        std::vector<std::vector<double>> all{values(du)};
        for (const auto& span : parameter_spans(d)) all.emplace_back(span.begin(), span.end());
        return all;
      };
      check_adjoint(adjoint, 1e-7);
    }
  }
}

TEST_CASE("pieces, single tokens, packed sequences and chunks give what Mamba-3 gives at once", "[mamba3]") {
  for (const bool mimo : {false, true}) {
    const auto config = small(mimo, !mimo);
    auto p = some_parameters(config);
    const Mamba3Mixer<double> mixer(config, p);
    const auto u = random_tensor<double, 3>({2, 11, 6}, 4);
    const auto want = outputs(mixer, u);
    for (const std::size_t chunk : {1u, 4u, 64u})
      CHECK(relative_error(outputs(mixer, u, nullptr, chunk), want) < 1e-12);
    for (const std::size_t cut : {0u, 1u, 5u, 11u}) {
      auto cache = mixer.empty_cache(2);
      const auto first = outputs(mixer, piece(u, 0, cut), &cache);
      CHECK(relative_error(outputs(mixer, piece(u, cut, 11), &cache), piece(want, cut, 11)) < 1e-12);
    }
    const Tensor<double, 3> one = xt::view(u, xt::range(0, 1), xt::all(), xt::all());
    const std::vector<std::int64_t> seq_idx{3, 3, 3, 3, 0, 0, 3, 3, 3, 3, 3};
    const auto packed = outputs(mixer, one, nullptr, 0, seq_idx);
    for (const auto& [from, to] : {std::pair{0u, 4u}, std::pair{4u, 6u}, std::pair{6u, 11u}})
      CHECK(relative_error(piece(packed, from, to), outputs(mixer, piece(one, from, to))) < 1e-12);
  }
}

TEST_CASE("what makes no Mamba-3 block is refused, by name", "[mamba3][config]") {
  const auto refusal = [](auto change) {
    auto config = small(false, false);
    change(config);
    return message_of<ValueError>([&] { config.check(); });
  };
  using C = Mamba3Config;
  CHECK(refusal([](C& c) { c.d_model = 0; }) == "d_model: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.headdim = 5; }).starts_with("headdim: expected a divisor of expand * d_model = 12"));
  CHECK(refusal([](C& c) { c.ngroups = 3; }).starts_with("ngroups: expected a divisor of the number of heads, 4"));
  CHECK(refusal([](C& c) { c.rope_fraction = 0.3; }).starts_with("rope_fraction: expected 0.5 or 1"));
  CHECK(refusal([](C& c) { c.d_state = 3; }).starts_with("d_state: expected enough for a pair"));
  CHECK(refusal([](C& c) { c.A_floor = -1; }).starts_with("A_floor: expected"));
  CHECK(refusal([](C& c) { c.dt_max = 0; }).starts_with("dt_max: expected"));
  CHECK(refusal([](C& c) { c.is_mimo = true, c.mimo_rank = 0; }) == "mimo_rank: expected at least 1, got 0");
  const auto config = small(true, true);
  auto p = some_parameters(config);
  const Mamba3Mixer<double> mixer(config, p);
  auto cache = mixer.empty_cache(3);
  CHECK_THROWS_AS(outputs(mixer, zeros<double>(2, 4, 6), &cache), ShapeError);
  p.B_bias = zeros<double>(4, 1, 4);
  CHECK(message_of<ShapeError>([&] { Mamba3Mixer<double>(config, p); }) ==
        "B_bias: expected shape (nheads, rank, d_state) = (4, 2, 4), got (4, 1, 4)");
}
