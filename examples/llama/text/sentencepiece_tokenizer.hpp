#pragma once

#include <filesystem>
#include <memory>

#include "text/tokenizer.hpp"

namespace llama {

/// LLaMA's and LLaMA-2's tokenizer: a tokenizer.model of the SentencePiece library.
///
/// Special tokens written out in a text ("</s>") are text like any other. add_bos_token and add_eos_token
/// of tokenizer_config.json say what encode() adds. Text that isn't UTF-8 counts as if U+FFFD stood there.
/// Errors      input_error for a file that SentencePiece can't read, and always where the program was built
///             without libsentencepiece.
class sentencepiece_tokenizer final : public tokenizer {
 public:
  explicit sentencepiece_tokenizer(const std::filesystem::path& directory);
  ~sentencepiece_tokenizer() override;
  std::string bytes(token_id id) const override;
  index_t size() const override;

 protected:
  token_ids encode_text(std::string_view text) const override;

 private:
  struct processor;
  std::unique_ptr<processor> processor_;
};

}  // namespace llama
