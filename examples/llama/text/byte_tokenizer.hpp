#pragma once

#include <filesystem>

#include "text/tokenizer.hpp"

namespace llama {

/// The tokenizer that needs no file: a byte is its own id, then beginning and end of sequence.
class byte_tokenizer final : public tokenizer {
 public:
  static constexpr token_id begin = 256;
  static constexpr token_id end = 257;
  static constexpr index_t vocabulary = 258;

  byte_tokenizer();
  std::string bytes(token_id id) const override;
  index_t size() const override { return vocabulary; }

  /// Writes tokenizer.json and tokenizer_config.json, with which make_tokenizer() and transformers give
  /// the same ids: byte-level BPE without merges.
  void save(const std::filesystem::path& directory) const;

 protected:
  token_ids encode_text(std::string_view text) const override;
};

}  // namespace llama
