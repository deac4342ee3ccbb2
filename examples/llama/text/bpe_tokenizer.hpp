#pragma once

#include <filesystem>
#include <memory>
#include <unordered_map>

#include "text/added_tokens.hpp"
#include "text/bpe.hpp"
#include "text/pre_tokenizer.hpp"
#include "text/tokenizer.hpp"

namespace llama {

/// A tokenizer.json with byte-level BPE, as LLaMA-3, SmolLM and Qwen have it: added tokens, Unicode
/// normalisation, regular expressions over Unicode classes, merges, a template with special tokens.
///
/// Text that isn't UTF-8 counts as if U+FFFD stood for each malformed part.
/// Errors      input_error that names what is missing or isn't supported.
class bpe_tokenizer final : public tokenizer {
 public:
  explicit bpe_tokenizer(const std::filesystem::path& directory);
  std::string bytes(token_id id) const override;
  index_t size() const override { return static_cast<index_t>(bytes_.size()); }

 protected:
  token_ids encode_text(std::string_view text) const override;

 private:
  using json = nlohmann::json;
  void read_model(const json& description, const std::string& where);
  void read_added_tokens(const json& list, const std::string& where);
  void read_normaliser(const json& description, const std::string& where);
  void read_post_processor(const json& description, const std::string& where);
  std::string normalised(std::string_view text) const;
  void set_bytes(token_id id, std::string text, const std::string& where);

  std::unordered_map<std::string, token_id> ids_;  ///< by the text in the file, to find special tokens
  std::vector<std::string> bytes_;                 ///< by id
  added_tokens raw_added_, normalised_added_;      ///< to be found before and after normalisation
  std::vector<normal_form> normal_forms_;
  std::unique_ptr<pre_tokenizer> pre_tokenizer_;
  std::unique_ptr<bpe> bpe_;
};

}  // namespace llama
