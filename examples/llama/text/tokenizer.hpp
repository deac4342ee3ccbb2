#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/matrix.hpp"

namespace llama {

using token_id = std::int32_t;
using token_ids = std::vector<token_id>;

/// Text to token ids and back.
///
/// Thread      const functions may be called at the same time.
class tokenizer {
 public:
  virtual ~tokenizer() = default;

  /// The ids of a text; with add_special between what Hugging Face's tokenizer puts around it.
  token_ids encode(std::string_view text, bool add_special) const;

  /// The text of ids, special tokens left out; U+FFFD stands for bytes that aren't UTF-8.
  virtual std::string decode(std::span<const token_id> ids) const;

  /// What one token adds to a text, maybe only a part of a character. Empty for special and unknown ids.
  virtual std::string bytes(token_id id) const = 0;

  /// All ids are below it.
  virtual index_t size() const = 0;

  std::optional<token_id> bos() const { return bos_; }
  std::optional<token_id> eos() const { return eos_; }
  /// What add_special puts before and after a text.
  const token_ids& before() const { return before_; }
  const token_ids& after() const { return after_; }
  /// What whoever uses it should be told: a line for each thing that the files leave open, or that isn't as they say.
  const std::vector<std::string>& notes() const { return notes_; }

 protected:
  virtual token_ids encode_text(std::string_view text) const = 0;

  std::optional<token_id> bos_, eos_;
  token_ids before_, after_;
  std::vector<std::string> notes_;

  friend std::unique_ptr<tokenizer> make_tokenizer(const std::filesystem::path& directory);
};

/// Text as it is generated: a character comes out when all its bytes are in.
class stream_decoder {
 public:
  explicit stream_decoder(const tokenizer& of) : tokenizer_(of) {}

  /// What the next token makes printable, maybe nothing.
  std::string push(token_id id);
  /// What is left over: U+FFFD, where the text ends within a character.
  std::string finish();

 private:
  const tokenizer& tokenizer_;
  std::string pending_;
};

/// The tokenizer of a GGUF file, or of a Hugging Face model directory: tokenizer.json, else tokenizer.model
/// (SentencePiece); one that isn't what its name says is passed over where the other is good, which notes() says.
/// README.md has what is supported and which file counts. Errors: input_error that names what is missing, wrong or not
/// supported.
std::unique_ptr<tokenizer> make_tokenizer(const std::filesystem::path& directory);

}  // namespace llama
