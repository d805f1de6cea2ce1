/// \file tokenizer.hpp
/// \brief From text to numbers of tokens and back, as a `tokenizer.json` says. Explained in @chapter{text}.
#pragma once

#include <mamba2/bpe.hpp>
#include <mamba2/utf8.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
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

/// \brief A rule for cutting texts into words, written as a regular expression.
class WordPattern {
 public:
  /// \brief What becomes of a text: what matches, and what lies between.
  enum class Keep {
    both,     ///< each match and each gap is a word
    matches,  ///< gaps are left out
    gaps      ///< matches are left out
  };
  /// \brief A rule. GPT-2's own is recognised and done by split_words().
  /// \param pattern a regular expression as Oniguruma reads them, which the published tokenizers use
  /// \param keep    what becomes of the text
  /// \throws ValueError for a pattern that cannot be read, with the place
  explicit WordPattern(const std::string& pattern, Keep keep = Keep::both);
  /// \brief Cut a text.
  /// \param text UTF-8
  /// \return its words, in order, none of them empty
  /// \throws ValueError for a text on which the pattern takes out of all proportion long
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  struct Compiled;                            // ICU's form of it
  std::shared_ptr<const Compiled> compiled_;  // null: GPT-2's rule
  Keep keep_;
};

/// \brief A token that was added to a vocabulary by hand, and is looked for in the text before anything else.
struct AddedToken {
  std::int64_t id;           ///< its number
  std::string content;       ///< what stands in the text, such as "<|endoftext|>"
  bool special = false;      ///< is no text: marks an end, a beginning, a speaker
  bool single_word = false;  ///< only where no letter, digit or underscore stands beside it
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< takes the white space after it along
  bool normalized = false;   ///< looked for after the text was brought into its normal form, else before
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
  /// \param text    UTF-8
  /// \param special whether special tokens are found; if not, they are text
  /// \return its pieces, none of them empty; together they are the text, but for white space that one token takes along and that is
  ///         an added token itself: it comes twice
  std::vector<Piece> split(std::string_view text, bool special = true) const;

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

/// \brief How a text is read.
struct EncodeOptions {
  bool special_in_text =
      true;            ///< whether `<|endoftext|>` in the text is that token; if not, it is text like any other
  bool around = true;  ///< whether tokens come that the tokenizer puts before and after every text, where it does
};

/// \brief How tokens become a text.
struct DecodeOptions {
  bool special = true;  ///< whether special tokens show
  bool beginning =
      true;  ///< whether the tokens begin a text, or go on with one: some tokenizers begin texts with a space that is none
};

/// \brief A BPE tokenizer, of bytes or of characters.
class Tokenizer {
 public:
  /// \brief Read a `tokenizer.json`.
  /// \param json  its contents
  /// \param where its name, for messages
  /// \throws FileError naming file, key and reason: not JSON, a missing key, a wrong kind of value, a merge of unknown tokens, a number
  ///         twice, or an option that this tokenizer does not have
  Tokenizer(std::string_view json, const std::string& where);

  /// \brief From text to tokens.
  /// \param text    UTF-8
  /// \param options how the text is read
  /// \return numbers of tokens
  /// \throws ValueError naming the byte at which the text is not UTF-8, or what the vocabulary has no token for
  std::vector<std::int64_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  /// \brief From tokens to text.
  /// \param ids     numbers of tokens
  /// \param options which of them show
  /// \return UTF-8; bytes that make no character come as U+FFFD
  /// \throws ValueError for a number that no token has, with its place
  std::string decode(std::span<const std::int64_t> ids, const DecodeOptions& options = {}) const;
  /// \brief What a token stands for: bytes, perhaps part of a character.
  /// \param id number of a token
  /// \return the bytes
  /// \throws ValueError for a number that no token has
  const std::string& bytes(std::int64_t id) const;
  /// \brief Look for an added token. \param content such as "<|endoftext|>" \return its number, or nothing
  std::optional<std::int64_t> find_added(std::string_view content) const;
  /// \brief Whether a token is special. \param id a number \return false for other tokens, and for numbers that no token has
  bool is_special(std::int64_t id) const { return special_.contains(id); }
  /// \brief How many numbers tokens have. \return the largest number and one
  std::size_t vocab_size() const { return tokens_.size(); }
  /// \brief Numbers below vocab_size() that no token has, in order. \return mostly none
  std::vector<std::int64_t> gaps() const;

 private:
  friend class StreamDecoder;
  friend class StreamEncoder;
  class Entry;        // a value of the file
  class Reader;       // fills the rest
  struct Rewriting {  // of the text, before it is cut: one of the steps
    std::string from, to;
    enum class Kind { compose, prepend, replace } kind;
  };
  std::string rewritten(std::string_view text) const;
  void encode_text(std::string_view text, std::vector<std::int64_t>& ids) const;
  void encode_word(std::string_view word, std::vector<std::int64_t>& ids) const;
  std::vector<std::int64_t> letters_of(std::string_view word) const;

  std::vector<Rewriting> rewritings_;  // what brings a text into its normal form
  std::vector<WordPattern> patterns_;  // cut it, one after the other
  bool byte_level_ = false;            // letters are bytes, else characters
  bool add_prefix_space_ = false;      // before a piece of text that begins with none
  bool split_words_ = false;           // cut by GPT-2's rule, last of all
  bool ignore_merges_ = false;         // a word that is a token needs no merges
  bool fuse_unknown_ = false;          // several unknown characters in a row are one token
  MergeTable merges_;
  std::array<std::int64_t, 256> byte_tokens_{};                 // the token of each byte; -1: none
  std::unordered_map<std::uint32_t, std::int64_t> characters_;  // the token of each character
  std::unordered_map<std::string, std::int64_t> words_;         // the token of each word, where merges are ignored
  std::optional<std::int64_t> unknown_;                         // the token for what has none
  std::vector<std::int64_t> before_text_, after_text_;          // tokens around every text
  std::vector<std::optional<std::string>> tokens_;  // the bytes of each token; nothing: a gap in the numbers
  std::string strip_;                               // what is left out at the beginning of a text, once each
  AddedTokens raw_, normal_;                        // looked for before and after rewriting
  std::unordered_map<std::string, std::int64_t> added_;
  std::unordered_set<std::int64_t> special_;
};

/// \brief Read the tokenizer of a model.
/// \param directory holds `tokenizer.json`
/// \return the tokenizer
/// \throws FileError as its constructor does, or if there is no such file
Tokenizer load_tokenizer(const std::filesystem::path& directory);

/// \brief Learn a byte-level tokenizer from a text, in the layout of GPT-NeoX-20B's.
/// \param text       UTF-8; special tokens in it separate texts
/// \param vocab_size how many tokens: the special ones, 256 bytes, and as many merges as are left; fewer if the text has no more
/// \param special    special tokens, with the numbers from 0 on
/// \return the contents of a `tokenizer.json`
/// \throws ValueError for a text that is not UTF-8, or a vocabulary too small
std::string learn_tokenizer(std::string_view text, std::size_t vocab_size,
                            const std::vector<std::string>& special = {"<|endoftext|>"});

/// \brief A long text in, piece by piece, the tokens out that encode() would give for all of it. The text is never all in memory,
/// where the tokenizer cuts it into words; where it does not, every piece has to wait for the next.
class StreamEncoder {
 public:
  /// \brief An encoder.
  /// \param tokenizer what cuts; outlives the encoder
  /// \param options   how the text is read
  /// \param piece     how many bytes are waited for before a part of them becomes tokens
  explicit StreamEncoder(const Tokenizer& tokenizer, const EncodeOptions& options = {}, std::size_t piece = 1 << 16)
      : tokenizer_(&tokenizer), options_(options), wanted_(piece) {}
  /// \brief More of the text. \param text UTF-8; a piece may end within a character
  /// \return the tokens that are certain by now and were not given yet, perhaps none
  /// \throws ValueError naming the byte at which the text is not UTF-8, or what the vocabulary has no token for
  std::vector<std::int64_t> push(std::string_view text);
  /// \brief The end of the text. \return the tokens that are left
  /// \throws ValueError as push() does
  std::vector<std::int64_t> finish();

 private:
  std::vector<std::int64_t> encode(std::string_view text, bool first, bool last) const;
  bool cut(std::size_t end, std::vector<std::int64_t>& ids);
  void check();

  const Tokenizer* tokenizer_;
  EncodeOptions options_;
  std::size_t wanted_;
  std::string waiting_;      // what is no token yet
  std::size_t done_ = 0;     // bytes of the text that are
  std::size_t checked_ = 0;  // bytes of what waits that are known to be UTF-8
};

/// \brief Tokens in, text out, as it may be shown: characters are never split.
class StreamDecoder {
 public:
  /// \brief A decoder.
  /// \param tokenizer whose tokens come; outlives the decoder
  /// \param options   which of them show
  explicit StreamDecoder(const Tokenizer& tokenizer, const DecodeOptions& options = {})
      : tokenizer_(&tokenizer), options_(options), strip_(options.beginning ? tokenizer.strip_ : "") {}
  /// \brief One more token.
  /// \param id its number
  /// \return the characters that it completes, perhaps none
  /// \throws ValueError for a number that no token has
  std::string push(std::int64_t id);
  /// \brief The end of the text. \return U+FFFD if a character waited for its rest, else nothing
  std::string finish() { return stream_.finish(); }

 private:
  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  std::string strip_;  // may still be left out
  Utf8Stream stream_;
};

}  // namespace mamba2
