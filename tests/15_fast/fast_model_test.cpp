// Blocks and models on the fast operations: steps, weights in bfloat16, what is counted, what is left allocated.
#include <mamba2/cache.hpp>
#include <mamba2/compact.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/generation.hpp>
#include <mamba2/half.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/limits.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/products.hpp>
#include <support/models.hpp>
#include <support/testing.hpp>

#include <malloc.h>

using namespace mamba2;
using namespace testing;

namespace {

template <class Real>
constexpr double rounding = std::is_same_v<Real, float> ? 2e-6 : 1e-13;

// Every size is different; rows are longer than a register and no multiple of one.
LanguageModelConfig small_config(bool tied = true) {
  return {
      .n_layer = 2,
      .vocab_size = 61,
      .pad_vocab_size_multiple = 7,
      .tie_embeddings = tied,
      .mixer = Mamba2Config{.d_model = 42, .d_state = 9, .headdim = 7, .ngroups = 3, .chunk_size = 16, .bias = true}};
}

Tensor<std::int64_t, 2> small_ids(std::size_t batch, std::size_t seqlen) {
  auto ids = Tensor<std::int64_t, 2>::from_shape({batch, seqlen});
  for (std::size_t i = 0; i < ids.size(); ++i) ids.data()[i] = static_cast<std::int64_t>((i * 31 + i * i * 7) % 61);
  return ids;
}

// What a weight is after it has gone through fewer bytes.
template <class Real>
void round_weight(Tensor<Real, 2>& weight, WeightType type) {
  for (std::size_t i = 0; i < weight.shape(0); ++i) {
    double largest = 0;
    for (std::size_t j = 0; j < weight.shape(1); ++j)
      largest = std::max(largest, std::abs(static_cast<double>(weight(i, j))));
    for (std::size_t j = 0; j < weight.shape(1); ++j) {
      const auto w = static_cast<double>(weight(i, j));
      weight(i, j) =
          static_cast<Real>(type == WeightType::bfloat16
                                ? static_cast<double>(bfloat16_to_float(float_to_bfloat16(static_cast<float>(w))))
                                : std::round(w / largest * 127) * largest / 127);
    }
  }
}

// Kernels and products of an older processor, while a test runs.
struct WithInstructionSet {
  explicit WithInstructionSet(const char* name) { use_instruction_set(name); }
  ~WithInstructionSet() { use_instruction_set(""); }
  WithInstructionSet(const WithInstructionSet&) = delete;
  WithInstructionSet& operator=(const WithInstructionSet&) = delete;
};

}  // namespace

TEST_CASE("models begin with the fast operations", "[fast]") {
  CHECK(&default_operations<float>() == &fast_operations<float>());
  CHECK(&default_operations<double>() == &fast_operations<double>());
}

TEMPLATE_TEST_CASE("a fast step equals the plain one", "[fast]", float, double) {
  const std::size_t batch = 2, channels = 23;
  for (const std::size_t width : {1, 2, 4, 5}) {
    const auto x = random_tensor<TestType, 2>({batch, channels + 3}, 1, -3, 3);
    const auto weight = random_tensor<TestType, 2>({channels, width}, 2);
    const auto bias = random_tensor<TestType, 1>({channels}, 3);
    auto state = random_tensor<TestType, 3>({batch, channels, width}, 4), want_state = state;
    auto got = zeros<TestType>(batch, channels), want = got;
    const MatrixRef<const TestType> token = column_block(as_matrix(x), 2, channels);
    fast_operations<TestType>().convolution_step(token, as_matrix(weight), as_span(bias), as_rows<1>(state),
                                                 as_matrix(got));
    convolution_step<TestType>(token, as_matrix(weight), as_span(bias), want_state, as_matrix(want));
    CHECK(relative_error(got, want) < rounding<TestType>);
    CHECK(relative_error(state, want_state) == 0);
  }
  for (const std::size_t skip : {0, 1, 5}) {  // no D, one for each head, one for each channel
    ScanInput<TestType> in;
    in.x = random_tensor<TestType, 4>({batch, 1, 6, 5}, 1);
    in.dt = random_tensor<TestType, 3>({batch, 1, 6}, 2, -3, 1);
    in.A = random_tensor<TestType, 1>({6}, 3, -8, -0.1);
    in.B = random_tensor<TestType, 4>({batch, 1, 3, 7}, 4);
    in.C = random_tensor<TestType, 4>({batch, 1, 3, 7}, 5);
    if (skip > 0) in.D = random_tensor<TestType, 2>({6, skip}, 6);
    in.dt_bias = random_tensor<TestType, 1>({6}, 8);
    auto state = random_tensor<TestType, 4>({batch, 6, 5, 7}, 9), want_state = state;
    const ScanOptions options{.dt_min = 0.05, .dt_max = 0.9};
    auto got = in.x;
    fast_operations<TestType>().scan_step(in, options, as_rows<1>(state), as_rows<2>(got));
    CHECK(relative_error(got, scan_step(in, options, want_state)) < rounding<TestType>);
    CHECK(relative_error(state, want_state) < rounding<TestType>);
  }
}

TEST_CASE("a step of the scan refuses what it cannot do", "[fast][cache]") {
  ScanInput<float> in;
  in.x = zeros<float>(1, 1, 2, 3);
  in.dt = zeros<float>(1, 1, 2);
  in.A = zeros<float>(2);
  in.B = zeros<float>(1, 1, 1, 4);
  in.C = in.B;
  auto state = zeros<float>(1, 2, 3, 4), wrong = zeros<float>(1, 2, 3, 5);
  CHECK_THROWS_AS(scan_step(in, {}, wrong), ShapeError);
  in.z = in.x;
  CHECK_THROWS_AS(scan_step(in, {}, state), ValueError);
  in.z.reset();
  CHECK_NOTHROW(scan_step(in, {}, state));
}

TEMPLATE_TEST_CASE("a model with weights in fewer bytes is the model of the rounded weights", "[fast]", float, double) {
  for (const auto type : {WeightType::bfloat16, WeightType::int8})
    for (const bool tied : {true, false}) {
      CAPTURE(type == WeightType::int8, tied);
      LanguageModel<TestType> model(small_config(tied), 1), rounded = model;
      rounded.update([&](auto& p) {
        for (std::size_t i = 0; i < 2; ++i) {
          round_weight(block_parameters(p, i).in_proj_weight, type);
          round_weight(block_parameters(p, i).out_proj_weight, type);
        }
        round_weight(p.embedding_weight, type);
        if (!tied) round_weight(p.lm_head_weight, type);
      });
      rounded.use(plain_operations<TestType>());

      const auto exact = model.forward(small_ids(2, 19));
      const auto source = [&, list = parameter_list(model.config()), spans = parameter_spans(model.parameters())](
                              const ParameterInfo& info, std::span<TestType> values) {
        const auto at = std::find_if(list.begin(), list.end(), [&](const auto& i) { return i.name == info.name; });
        REQUIRE(at != list.end());
        const auto from = spans[static_cast<std::size_t>(at - list.begin())];
        REQUIRE(from.size() == values.size());
        std::copy(from.begin(), from.end(), values.begin());
      };
      const CompactLanguageModel<TestType> loaded(model.config(), source, type);
      const CompactLanguageModel<TestType> compact(LanguageModel<TestType>(model), type);
      CHECK(compact.weight_type() == type);
      CHECK(relative_error(loaded.forward(small_ids(2, 19)), compact.forward(small_ids(2, 19))) == 0);
      for (const char* set : {"baseline", ""}) {
        const WithInstructionSet with(set);
        // Tokens may be rounded, too: to bfloat16 by products, to 15 bits by a few tokens against weights of one byte.
        const bool rounds_tokens = std::is_same_v<TestType, float> && multiplies_bfloat16();
        const double few = type == WeightType::int8 ? 2e-4 : rounding<TestType>;
        const double many = rounds_tokens ? 1e-2 : type == WeightType::int8 ? 3e-6 : rounding<TestType>;
        CHECK(relative_error(compact.forward(small_ids(2, 3)), rounded.forward(small_ids(2, 3))) < few);
        const auto got = compact.forward(small_ids(2, 19));
        CHECK(relative_error(got, rounded.forward(small_ids(2, 19))) < many);
        CHECK(relative_error(got, exact) > 1e-4);
        CHECK(relative_error(got, exact) < 3e-2);
        auto cache = compact.empty_cache(2), other = rounded.empty_cache(2);
        compact.prefill(small_ids(2, 5), cache);
        rounded.prefill(small_ids(2, 5), other);
        CHECK(relative_error(compact.step({4, 60}, cache), rounded.step({4, 60}, other)) < std::max(few, many));
      }
    }
}

// A model that has given up its parameters can be asked, but neither trained nor saved: that does not compile.
template <class Model>
concept saves = requires(const Model& model) { save_language_model(model, "never_written"); };
template <class Model>
concept trains = requires(Model& model) {
  model.parameters();
  model.update([](auto&) {});
};
static_assert(saves<LanguageModel<float>> && trains<LanguageModel<float>>);
static_assert(!saves<CompactLanguageModel<float>> && !trains<CompactLanguageModel<float>>);
static_assert(!std::is_copy_constructible_v<CompactLanguageModel<float>>);

TEST_CASE("a model with weights in fewer bytes writes like any other", "[fast]") {
  const LanguageModel<float> model(small_config(), 1);
  CompactLanguageModel<float> compact(LanguageModel<float>(model), WeightType::bfloat16);
  const GenerationOptions options{.max_new_tokens = 8, .sampling = {.temperature = 0}};
  const auto want = generate(compact, {{3, 7, 9}}, options)[0].ids;
  CHECK(want.size() == 8);
  const auto moved = std::move(compact);
  CHECK(generate(moved, {{3, 7, 9}}, options)[0].ids == want);
}

TEST_CASE("weights are not rounded to what they are", "[fast]") {
  CHECK_THROWS_AS(CompactLanguageModel<float>(LanguageModel<float>(small_config(), 1), WeightType::full), ValueError);
  Tensor<float, 2> weight{{0, 0, 0}, {1, -4, 2}};
  const auto compact = compact_weight(weight, WeightType::int8);
  CHECK(weight.size() == 0);
  CHECK(compact->rows() == 2);
  CHECK(compact->columns() == 3);
  const auto row_of = [](const Weight<float>& w, std::size_t i) {
    std::vector<float> row(w.columns());
    w.row(i, row);
    return row;
  };
  CHECK(row_of(*compact, 0) == std::vector<float>{0, 0, 0});
  const float scale = static_cast<float>(4.0 / 127);
  CHECK(row_of(*compact, 1) == std::vector<float>{32 * scale, -127 * scale, 64 * scale});
  // What is broken stays broken: a row with an infinity or a NaN is all NaN, and other rows are not.
  for (const float strange : {HUGE_VALF, std::nanf("")}) {
    Tensor<float, 2> broken{{1, strange, 2}, {1e-44F, 0, 0}, {3, 0, 0}};
    const auto rounded = compact_weight(broken, WeightType::int8);
    CHECK(std::isnan(row_of(*rounded, 0)[0]));
    CHECK(std::abs(row_of(*rounded, 1)[0]) < 1e-43F);
    CHECK(row_of(*rounded, 2)[0] == Approx(3));
  }
}

TEST_CASE("what is counted agrees with the model's own parameters", "[fast]") {
  const LanguageModelConfig config = small_config();
  const LanguageModel<float> model(config, 1);
  double products = 0, all = 0;
  for (const auto& info : parameter_list(config)) {
    const auto size = static_cast<double>(info.size());
    all += size;
    for (const char* used : {"in_proj.weight", "out_proj.weight", "conv1d.weight"})
      if (info.name.ends_with(used)) products += size;
  }
  const std::size_t Q = 16;
  const Mamba2Config& c = block_of(config);
  const Mamba2Sizes sizes = c;
  const double scans = static_cast<double>(config.n_layer) * scan_flops(c, Q);
  CHECK(layer_flops(config, Q) == 2 * products + scans);
  CHECK(scan_flops(c, Q) == 2.0 * (3 * 16 * 9 + 12 * (16 * 7 + 2 * 9 * 7)));
  CHECK(head_flops(config) == 2.0 * 63 * 42);
  CHECK(projection_flops(config) == 2.0 * static_cast<double>(2 * (sizes.d_in_proj + sizes.d_inner) * 42));
  auto cache = model.empty_cache(5);
  double state = 0;
  for (std::size_t i = 0; i < cache.size(); ++i)
    for (const auto& tensor : cache[i].states()) state += static_cast<double>(tensor.values.size());
  CHECK(step_bytes(config, 4, 5) == 4 * all + 2 * 4 * state);
  CHECK(step_bytes(small_config(false), 2, 0) == 2 * all);  // an embedding of its own is hardly read
}

TEST_CASE("repeated calls leave nothing allocated", "[fast]") {
  const LanguageModel<float> model(small_config(), 1);
  auto cache = model.empty_cache(2);
  const auto work = [&] {
    model.prefill(small_ids(2, 40), cache);
    for (int i = 0; i < 5; ++i) model.step({1, 2}, cache);
  };
  for (int i = 0; i < 20; ++i) work();  // the allocator keeps a few small pieces for each thread at first
  const std::size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 20; ++i) work();
  const std::size_t after = mallinfo2().uordblks;
  CHECK(after <= before + 4096);
}
