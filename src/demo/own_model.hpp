// The book's own model: what it learns from, how it is trained, and what else could predict the same text.
#pragma once

#include <mamba2/cross_entropy.hpp>
#include <mamba2/mapped_file.hpp>
#include <mamba2/tokenizer.hpp>
#include <mamba2/training.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace demo {

// The text of this book as it was when the model learnt it, see models/README.md.
struct OwnText {
  std::string learnt, held_out;

  explicit OwnText(const std::filesystem::path& models)
      : learnt(mamba2::read_text_file(models / "learnt.txt")),
        held_out(mamba2::read_text_file(models / "held_out.txt")) {}
};

struct OwnTraining {
  std::size_t vocab_size, d_model, n_layer;
  std::uint64_t steps;
  mamba2::TrainingOptions options = {};
};

// A model that learns a text, step by step.
class OwnLearner {
 public:
  OwnLearner(const std::string& text, const OwnTraining& how)
      : how_(how),
        tokenizer_json_(mamba2::learn_tokenizer(text, how.vocab_size, {"<|endoftext|>"})),
        tokenizer_(tokenizer_json_, "the tokenizer learnt"),
        batches_(tokenizer_.encode(text), how.options.batches),
        state_(mamba2::LanguageModel<float>(
            {.n_layer = how.n_layer,
             .vocab_size = tokenizer_.vocab_size(),
             .mixer = mamba2::Mamba2Config{.d_model = how.d_model, .d_state = 64, .headdim = 32}},
            how.options.batches.seed)) {}

  // One step. Returns the loss before it, in nats per token.
  double step() {
    const auto batches = mamba2::batches_of_step(batches_, made(), how_.options);
    const double done = static_cast<double>(made()) / static_cast<double>(how_.steps);
    return mamba2::training_step<float>(state_, batches, done, how_.options).loss;
  }
  std::uint64_t made() const { return state_.moments.steps; }

  const mamba2::LanguageModel<float>& model() const { return state_.model; }
  const mamba2::Tokenizer& tokenizer() const { return tokenizer_; }
  const std::string& tokenizer_json() const { return tokenizer_json_; }
  std::size_t tokens() const { return batches_.tokens().size(); }

 private:
  OwnTraining how_;
  std::string tokenizer_json_;
  mamba2::Tokenizer tokenizer_;
  mamba2::Batches batches_;
  mamba2::TrainingState<float> state_;
};

// How well a model predicts a text, but for its first token.
template <class Real>
double bits_per_byte(const mamba2::Predictor<Real>& model, const mamba2::Tokenizer& tokenizer,
                     const std::string& text) {
  const std::vector<std::int64_t> ids = tokenizer.encode(text);
  const std::size_t bytes = text.size() - tokenizer.bytes(ids.front()).size();
  return mamba2::cross_entropy(model, mamba2::in_rows(ids, 1)).bits_per_byte(bytes);
}

// What a table can do that counts which byte has followed the last five, four, ... bytes: counts of a longer context are mixed with
// those of the shorter one, as much as that has been a surprise (Witten and Bell). It goes on counting as it reads.
class OrderFive {
 public:
  // Reads a text. Returns the bits that it would have taken.
  double read(std::string_view text) {
    double bits = 0;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      bits -= std::log2(probability(byte));
      count(byte);
      past_ = past_ << 8 | byte;
    }
    return bits;
  }

 private:
  static constexpr std::size_t longest = 5;
  struct Followers {
    std::vector<std::pair<unsigned char, double>> counts;
    double all = 0;
  };

  // Where the counts after the last `order` bytes are.
  std::uint64_t place(std::size_t order) const {
    const std::uint64_t bytes = past_ & ((std::uint64_t{1} << (8 * order)) - 1);
    return bytes | std::uint64_t{order} << 56;
  }
  //: order_five
  double probability(unsigned char byte) const {
    double p = 1.0 / 256;
    for (std::size_t order = 0; order <= longest; ++order) {
      const auto found = table_.find(place(order));
      if (found == table_.end()) break;
      const auto& [counts, all] = found->second;
      double seen = 0;
      for (const auto& [other, n] : counts)
        if (other == byte) seen = n;
      const auto kinds = static_cast<double>(counts.size());
      p = (seen + kinds * p) / (all + kinds);
    }
    return p;
  }
  //: end
  void count(unsigned char byte) {
    for (std::size_t order = 0; order <= longest; ++order) {
      auto& [counts, all] = table_[place(order)];
      const auto found = std::find_if(counts.begin(), counts.end(), [&](const auto& c) { return c.first == byte; });
      if (found == counts.end())
        counts.emplace_back(byte, 1);
      else
        found->second += 1;
      all += 1;
    }
  }

  std::unordered_map<std::uint64_t, Followers> table_;
  std::uint64_t past_ = 0;
};

}  // namespace demo
