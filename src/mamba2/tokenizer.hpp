/// \file tokenizer.hpp
/// \brief From text to numbers of tokens and back, as GPT-NeoX-20B's `tokenizer.json` says. Explained in @chapter{text}.
#pragma once

#include <mamba2/bpe.hpp>
#include <mamba2/utf8.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mamba2 {

/// \brief Bring a text into Unicode's normal form C: one way to write each character, composed where possible.
/// \param text UTF-8
/// \return UTF-8 that means the same
std::string normalized(std::string_view text);

/// \brief Cut a text into the words that byte-pair encoding treats one by one, by the rule of GPT-2.
/// \param text UTF-8
/// \return its pieces, in order; together they are the text
std::vector<std::string_view> split_words(std::string_view text);

/// \brief A token that was added to a vocabulary by hand, and is looked for in the text before anything else.
struct AddedToken {
  std::int64_t id;      ///< its number
  std::string content;  ///< what stands in the text, such as "<|endoftext|>"
  bool single_word;     ///< only where no letter, digit or underscore stands beside it
  bool lstrip;          ///< takes the white space before it along
  bool rstrip;          ///< takes the white space after it along
  bool normalized;      ///< looked for after the text was brought into its normal form, else before
};

/// \brief Finds added tokens in a text: from the left, the longest first.
class AddedTokens {
 public:
  /// \brief A piece of a text: an added token, or what lies between two of them.
  struct Piece {
    std::string_view text;           ///< the piece
    std::optional<std::int64_t> id;  ///< the added token's number; nothing for text
  };
  /// \brief One more to look for. \param token what to look for; its content is not empty
  void add(const AddedToken& token);
  /// \brief Cut a text at the added tokens in it.
  /// \param text UTF-8
  /// \return its pieces, none of them empty; together they are the text
  std::vector<Piece> split(std::string_view text) const;

 private:
  struct Match {
    std::size_t begin, end;   // in the text
    const AddedToken* token;  // null: nothing found
  };
  Match find(std::string_view text, std::size_t from) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::uint64_t, std::size_t> children_;  // of node n by byte b: at 256 n + b
  std::vector<std::optional<std::size_t>> ends_{
      std::nullopt};  // for each node, which token ends there; node 0 is the root
};

/// \brief A byte-level BPE tokenizer.
class Tokenizer {
 public:
  /// \brief Read a `tokenizer.json`.
  /// \param json  its contents
  /// \param where its name, for messages
  /// \throws FileError naming file, key and reason: not JSON, a missing key, a wrong kind of value, a merge of unknown tokens, a number
  ///         twice, or an option that this tokenizer does not have
  Tokenizer(std::string_view json, const std::string& where);

  /// \brief From text to tokens.
  /// \param text UTF-8
  /// \return numbers of tokens
  /// \throws ValueError naming the byte at which the text is not UTF-8, or a byte that the vocabulary lacks
  std::vector<std::int64_t> encode(std::string_view text) const;
  /// \brief From tokens to text.
  /// \param ids numbers of tokens, special ones too
  /// \return UTF-8; bytes that make no character come as U+FFFD
  /// \throws ValueError for a number that no token has, with its place
  std::string decode(std::span<const std::int64_t> ids) const;
  /// \brief What a token stands for: bytes, perhaps part of a character.
  /// \param id number of a token
  /// \return the bytes
  /// \throws ValueError for a number that no token has
  const std::string& bytes(std::int64_t id) const;
  /// \brief Look for an added token. \param content such as "<|endoftext|>" \return its number, or nothing
  std::optional<std::int64_t> find_added(std::string_view content) const;
  /// \brief How many numbers tokens have. \return the largest number and one
  std::size_t vocab_size() const { return tokens_.size(); }

 private:
  class Entry;   // a value of the file
  class Reader;  // fills the rest
  void encode_words(std::string_view text, std::vector<std::int64_t>& ids) const;

  bool normalize_ = false;         // to normal form C
  bool add_prefix_space_ = false;  // before a piece of text that begins with none
  MergeTable merges_;
  std::array<std::int64_t, 256> letters_{};         // the token of each byte; -1: none
  std::vector<std::optional<std::string>> tokens_;  // the bytes of each token; nothing: a gap in the numbers
  AddedTokens before_, after_;                      // looked for before and after normalisation
  std::unordered_map<std::string, std::int64_t> added_;
};

/// \brief Read the tokenizer of a model.
/// \param directory holds `tokenizer.json`
/// \return the tokenizer
/// \throws FileError as its constructor does, or if there is no such file
Tokenizer load_tokenizer(const std::filesystem::path& directory);

/// \brief Tokens in, text out, as it may be shown: characters are never split.
class StreamDecoder {
 public:
  /// \brief A decoder at the beginning of a text. \param tokenizer whose tokens come; outlives the decoder
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  /// \brief One more token.
  /// \param id its number
  /// \return the characters that it completes, perhaps none
  /// \throws ValueError for a number that no token has
  std::string push(std::int64_t id) { return stream_.push(tokenizer_->bytes(id)); }
  /// \brief The end of the text. \return U+FFFD if a character waited for its rest, else nothing
  std::string finish() { return stream_.finish(); }

 private:
  const Tokenizer* tokenizer_;
  Utf8Stream stream_;
};

}  // namespace mamba2
