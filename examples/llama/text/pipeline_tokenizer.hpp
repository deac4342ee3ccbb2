#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include <nlohmann/json.hpp>

#include "text/added_tokens.hpp"
#include "text/normaliser.hpp"
#include "text/pre_tokenizer.hpp"
#include "text/text_model.hpp"
#include "text/token_decoder.hpp"
#include "text/token_sources.hpp"
#include "text/tokenizer.hpp"

namespace llama {

/// A tokenizer as Hugging Face's package tokenizers has it, in the same order: added tokens are found in the text;
/// what lies between is normalised; more added tokens are found; the rest is cut into words, of which the model
/// makes ids. Text that isn't UTF-8 counts as if U+FFFD stood for each malformed part.
///
/// Every file format becomes one of these: tokenizer_files.hpp.
class pipeline_tokenizer final : public tokenizer {
 public:
  struct parts {
    normaliser normal;
    pre_tokenizer words;
    token_decoder decoder;
    std::unique_ptr<text_model> model;
    std::vector<token_sources::numbered> added;  ///< of the tokenizer itself, before those of the files beside it
    nlohmann::json post_processor;               ///< null for none
    bool has_template = false;                   ///< the file says what stands around a text, even if it is nothing
    std::string where;                           ///< the file, for messages
    std::vector<std::string> notes;
  };
  /// Errors      input_error for a post-processor that isn't supported.
  pipeline_tokenizer(parts made_of, const token_sources& sources);

  std::string decode(std::span<const token_id> ids) const override;
  std::string bytes(token_id id) const override;
  index_t size() const override { return size_; }

 protected:
  token_ids encode_text(std::string_view text) const override;

 private:
  struct known {
    added_token token;
    token_id id;
  };
  token_id add(const added_token& token, std::optional<token_id> written, const std::string& file);
  void build_finders(bool split_special);
  void choose_special(const token_sources& sources);
  void choose_template(const token_sources& sources);
  void read_post_processor(const nlohmann::json& description, const std::string& where);
  std::optional<token_id> id_of(const std::string& token) const;
  std::optional<std::string> printable(token_id id) const;

  parts parts_;
  std::map<std::string, known> added_;           ///< by content
  std::map<token_id, std::string> added_by_id_;  ///< as they are decoded
  std::set<std::string> special_;
  added_token_finder raw_, normalised_;  ///< what is found before and after normalisation
  index_t size_ = 0;
};

}  // namespace llama
