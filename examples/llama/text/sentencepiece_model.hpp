#pragma once

#include <filesystem>
#include <memory>

#include "text/added_tokens.hpp"
#include "text/text_model.hpp"

namespace llama {

/// A tokenizer.model of the SentencePiece library.
///
/// Errors      input_error for a file that SentencePiece can't read, and always where the program was built without
///             libsentencepiece.
class sentencepiece_model final : public text_model {
 public:
  explicit sentencepiece_model(const std::filesystem::path& path);
  ~sentencepiece_model() override;

  void encode(std::string_view word, token_ids& ids) const override;
  std::optional<token_id> id_of(const std::string& token) const override;
  std::optional<std::string> token_of(token_id id) const override;
  index_t count() const override;
  index_t size() const override { return count(); }

  /// A text is to begin with U+2581, as LLaMA's are, and whoever calls encode() puts it there: the model doesn't.
  /// False: the model does with blanks what it was made to do, and nobody else has to.
  bool wants_prefix() const { return wants_prefix_; }

  std::optional<token_id> bos() const;
  std::optional<token_id> eos() const;

  struct piece {
    added_token token;
    token_id id;
  };
  /// <s> and </s>, which the model itself doesn't find in a text.
  std::vector<piece> control_pieces() const;

 private:
  struct processor;
  std::unique_ptr<processor> processor_;
  bool wants_prefix_ = false;
};

}  // namespace llama
