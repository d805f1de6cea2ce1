// Models with weights in fewer bytes.
#include <mamba2/cache.hpp>
#include <mamba2/compact.hpp>
#include <mamba2/compact_products.hpp>
#include <mamba2/generation.hpp>
#include <mamba2/half.hpp>
#include <mamba2/instruction_set.hpp>
#include <mamba2/model_directory.hpp>
#include <support/models.hpp>
#include <support/small_model.hpp>
#include <support/testing.hpp>

using namespace mamba2;
using namespace testing;

namespace {

template <class Real>
constexpr double rounding = std::is_same_v<Real, float> ? 2e-6 : 1e-13;

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

TEMPLATE_TEST_CASE("a model with weights in fewer bytes is the model of the rounded weights", "[fewer_bytes]", float,
                   double) {
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

TEST_CASE("a model with weights in fewer bytes writes like any other", "[fewer_bytes]") {
  const LanguageModel<float> model(small_config(), 1);
  CompactLanguageModel<float> compact(LanguageModel<float>(model), WeightType::bfloat16);
  const GenerationOptions options{.max_new_tokens = 8, .sampling = {.temperature = 0}};
  const auto want = generate(compact, {{3, 7, 9}}, options)[0].ids;
  CHECK(want.size() == 8);
  const auto moved = std::move(compact);
  CHECK(generate(moved, {{3, 7, 9}}, options)[0].ids == want);
}

TEST_CASE("weights are not rounded to what they are", "[fewer_bytes]") {
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
