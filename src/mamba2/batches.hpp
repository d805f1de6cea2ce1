/// \file batches.hpp
/// \brief From a text to batches of pieces, in an order that a seed decides. Explained in @chapter{training}.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mamba2 {

/// \brief The numbers from 0 on in an order without a pattern, the same on every machine.
/// \param count how many
/// \param seed  of the whole training
/// \param epoch which time through the text: each has another order
/// \return each of 0 … count − 1 once
std::vector<std::size_t> shuffled(std::size_t count, std::uint64_t seed, std::uint64_t epoch);

/// \brief How a text is cut into pieces to learn from.
struct BatchOptions {
  std::size_t batch = 8;     ///< how many pieces at once
  std::size_t seqlen = 256;  ///< tokens of each
  std::uint64_t seed = 0;    ///< decides about the order
  /// whether each row of a batch goes on where that of the last batch ended, so that the state can be carried on; if not, pieces come
  /// in random order
  bool in_order = false;

  /// \brief Refuse what makes no batch. \throws ValueError naming the field, what it may be and what it is
  void check() const;
  /// \brief Whether two say the same. \return true if all fields are equal
  bool operator==(const BatchOptions&) const = default;
};

/// \brief Some pieces of a text, and what comes after each of their tokens.
struct Batch {
  Tensor<std::int64_t, 2> ids;      ///< tokens, (batch, seqlen)
  Tensor<std::int64_t, 2> targets;  ///< the token after each, (batch, seqlen), or not_asked
  bool continues = false;           ///< whether each row goes on where that of the batch before ended
};

/// \brief The batches of a text. Which one comes at which step is a function of text, options and step alone.
class Batches {
 public:
  /// \brief Batches of a text.
  /// \param tokens  the text
  /// \param options how it is cut
  /// \throws ValueError for a text of fewer than batch * seqlen + 1 tokens, saying so
  Batches(std::vector<std::int64_t> tokens, const BatchOptions& options);

  /// \brief How many batches it takes to go through the text once; up to a batch of it is left out, each time another part.
  /// \return at least 1
  std::uint64_t per_epoch() const { return per_epoch_; }
  /// \brief A batch. \param step which one, from 0 \return the pieces
  Batch at(std::uint64_t step);
  /// \brief The text. \return its tokens
  std::span<const std::int64_t> tokens() const { return tokens_; }

 private:
  void begin(std::uint64_t epoch);
  std::size_t piece(std::size_t row, std::uint64_t index) const;

  std::vector<std::int64_t> tokens_;
  BatchOptions options_;
  std::uint64_t per_epoch_ = 0;
  std::uint64_t epoch_ = ~std::uint64_t{0};  // the one that the two below are of
  std::vector<std::size_t> order_;           // of the pieces
  std::size_t offset_ = 0;                   // where the first piece begins
};

/// \brief A text in two parts, one to learn from and one to be asked about.
struct TextParts {
  std::vector<std::int64_t> training;    ///< the beginning
  std::vector<std::int64_t> validation;  ///< the end, which training never sees
};

/// \brief Keep the end of a text for validation.
/// \param tokens the text
/// \param share  how much of it, 0 to 1; the part is rounded up
/// \return both parts
/// \throws ValueError for another share
TextParts split_text(std::vector<std::int64_t> tokens, double share);

/// \brief Tokens in rows, to be read side by side.
/// \param tokens a text
/// \param rows   how many, at least 1
/// \return (rows, tokens / rows); what is left over at the end is left out
Tensor<std::int64_t, 2> in_rows(std::span<const std::int64_t> tokens, std::size_t rows);

}  // namespace mamba2
