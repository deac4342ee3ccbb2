#pragma once

#include "text/byte_tokenizer.hpp"

namespace llama_test {

/// A tokenizer whose texts have begin and end around them, and which may lack an end of sequence.
class bracketing final : public llama::tokenizer {
 public:
  explicit bracketing(bool has_end) {
    before_ = {300};
    after_ = {301};
    if (has_end) eos_ = 301;
  }
  std::string bytes(llama::token_id id) const override { return llama::byte_tokenizer().bytes(id); }
  llama::index_t size() const override { return 302; }

 protected:
  llama::token_ids encode_text(std::string_view text) const override {
    return llama::byte_tokenizer().encode(text, false);
  }
};

}  // namespace llama_test
