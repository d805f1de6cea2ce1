// ## The program {#fewer_bytes_program}
//
// The program of this chapter rounds weights and looks at what becomes of results. Times are in the
// figures and tables above, measured in this build.

#include <mamba2/batches.hpp>
#include <mamba2/compact.hpp>
#include <mamba2/costs.hpp>
#include <mamba2/cross_entropy.hpp>
#include <mamba2/half.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/mapped_file.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/parameters.hpp>
#include <mamba2/tokenizer.hpp>

#include <demo/demo.hpp>
#include <demo/published.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

using namespace mamba2;

namespace {

// What one token reads and writes, for the 130M model: all parameters once, and the states of its
// layers both ways.

void bytes() {
  const LanguageModelConfig config = demo::mamba2_130m();
  const auto MB = [&](double width, std::size_t batch) {
    return step_bytes(config, width, batch) / 1e6;
  };
  std::printf("one token reads and writes, in MB (10^6 bytes)\n");
  for (const int width : {4, 2, 1})
    std::printf("  weights of %d byte%s %6.1f for the weights, %5.1f for the states, %6.1f in all\n",
                width, width == 1 ? ": " : "s:", MB(width, 0), MB(0, 1), MB(width, 1));
  std::printf("eight sequences at once, and how many times the tokens of one that is at most\n");
  for (const int width : {4, 2, 1})
    std::printf("  weights of %d byte%s %6.1f in all, %.1f times\n", width,
                width == 1 ? ": " : "s:", MB(width, 8), 8 * MB(width, 1) / MB(width, 8));
}

// A few weights in each format.

void formats() {
  Tensor<double, 2> row{{0.7, -0.0031, 0.25, -1.9}};
  const std::vector<double> exact(row.begin(), row.end());
  Tensor<double, 2> copy = row;
  const auto half = compact_weight(copy, WeightType::bfloat16);
  const auto byte = compact_weight(row, WeightType::int8);
  std::vector<double> of_half(4), of_byte(4);
  half->row(0, of_half);
  byte->row(0, of_byte);
  std::printf("%10s %10s %10s\n", "float", "bfloat16", "int8");
  for (std::size_t j = 0; j < 4; ++j)
    std::printf("%10.4f %10.4f %10.4f\n", exact[j], of_half[j], of_byte[j]);
}

// The rounded weight is a weight like any other: its product is that of the rounded numbers, to
// the rounding of the token.

void products() {
  demo::Random random(3);
  const auto x = demo::random_tensor<double>({5, 300}, random);
  const auto W = demo::random_tensor<double>({40, 300}, random);
  for (const auto type : {WeightType::bfloat16, WeightType::int8}) {
    Tensor<double, 2> copy = W, rounded = W;
    const auto weight = compact_weight(copy, type);
    for (std::size_t r = 0; r < 40; ++r) weight->row(r, {&rounded(r, 0), 300});
    auto got = zeros<double>(5, 40), want = got, exact = got;
    weight->multiply(as_matrix(x), {}, as_matrix(got), plain_operations<double>());
    plain_operations<double>().linear(as_matrix(x), as_matrix(rounded), {}, as_matrix(want));
    plain_operations<double>().linear(as_matrix(x), as_matrix(W), {}, as_matrix(exact));
    std::printf("%-8s the product is that of the rounded weight, equal to 1e-4: %s\n", name_of(type),
                demo::yes(demo::relative_difference(got, want) < 1e-4));
    std::printf("%-8s rounding the weight moves the product by %.2f %%\n", "",
                100 * demo::relative_difference(want, exact));
  }
}

// The book's own model (@chapter{training}), which is stored in bfloat16, and some of what it has
// never seen: what it needs for each byte, and how far its scores move.

void rounding() {
  const std::filesystem::path models =
      std::filesystem::path(__FILE__).parent_path().parent_path().parent_path() / "models";
  const auto model = load_language_model<double>(models / "book");
  const Tokenizer tokenizer = load_tokenizer(models / "book");
  const std::string text = read_text_file(models / "held_out.txt").substr(0, 5000);
  const Tensor<std::int64_t, 2> ids = in_rows(tokenizer.encode(text), 1);
  const std::size_t bytes = text.size() - tokenizer.bytes(ids(0, 0)).size();
  const Tensor<double, 3> exact = model.forward(ids);
  const double bits = cross_entropy(model, ids).bits_per_byte(bytes);
  std::printf("%zu tokens, weights as they are stored: %.4f bits per byte\n", ids.size(), bits);
  for (const auto type : {WeightType::bfloat16, WeightType::int8}) {
    const CompactLanguageModel<double> compact(LanguageModel<double>(model), type);
    const double more = cross_entropy(compact, ids).bits_per_byte(bytes) - bits;
    std::printf("%-8s %+.4f bits per byte; the scores move by %.2f %% of their size\n", name_of(type),
                more, 100 * demo::relative_difference(compact.forward(ids), exact));
  }
}

}  // namespace

int main() {
  std::printf("[bytes]\n");
  bytes();
  std::printf("[formats]\n");
  formats();
  std::printf("[products]\n");
  products();
  std::printf("[rounding]\n");
  rounding();
}

// Four weights in each format. Of the large ones both keep three digits; of the small one bfloat16
// keeps as many, and int8 none:
//
// @output formats
//
// And the product is what it should be, for what became of the weight:
//
// @output products
//
// ## What has not changed {#fewer_bytes_unchanged}
//
// Everything but the large weights: convolutions, norms, rates, biases, the states, the caches and
// the arithmetic of the scan are floats as before. Prompts, steps and generation are called as
// before. And whoever does not ask for it has nothing rounded:
//
// ```cpp
// mamba2::CompactLanguageModel<float> small(std::move(model), mamba2::WeightType::bfloat16);  // or int8
// ```
//
// ## Exercises {#fewer_bytes_exercises}
//
// ::: exercise 1 Whole numbers for a row
// Round a weight as @eqref{eq:int8} says. Rows may be of very different size, or all zeros.
// :::
//
// ::: exercise 2 A product of whole numbers
// Multiply such a weight by a token. The token becomes whole numbers as well, of 16 bits and as
// large as they may be; the sums are of whole numbers of 32 bits, exact, and must not overflow
// however many columns there are.
// :::
//
// ::: exercise 3 Half a byte
// An evening's work. Store a weight in four bits a number, two in each byte, with a scale for every
// 32 of a row. Multiply by it without making it whole again. And say how far the result can be from
// the product with the weight that was rounded, without that weight: the smallest bound that always
// holds. At the end the grader shows what your format does to a row with a weight that sticks out.
// :::
//
// ## Further reading {#fewer_bytes_further_reading}
//
// - Dettmers, Lewis, Belkada and Zettlemoyer, *LLM.int8(): 8-bit matrix multiplication for
//   transformers at scale* (2022), on the weights and tokens that stick out.
// - Frantar, Ashkboos, Hoefler and Alistarh, *GPTQ: accurate post-training quantization for
//   generative pre-trained transformers* (2022), which rounds each weight so as to make up for the
//   rounding of those before it.
// - Section 2 of Higham, *Accuracy and stability of numerical algorithms* (2002), on rounding, and
//   on bounds for sums of products.
