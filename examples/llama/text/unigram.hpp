#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/text_model.hpp"
#include "text/vocabulary.hpp"

namespace llama {

/// tokenizer.json's model of type Unigram: of all ways to write a word in tokens the one whose scores add up to most.
class unigram final : public text_model {
 public:
  unigram(const nlohmann::json& description, const std::string& where);

  /// Cost        the word's length times that of the longest token.
  void encode(std::string_view word, token_ids& ids) const override;

  std::optional<token_id> id_of(const std::string& token) const override { return tokens_.find(token); }
  std::optional<std::string> token_of(token_id id) const override { return tokens_.token(id); }
  index_t count() const override { return std::ssize(scores_); }
  index_t size() const override { return tokens_.size(); }

 private:
  struct node {
    token_id id = 0;
    double score = 0;
    std::size_t from = none;  ///< where the token that ends here begins
  };
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::vector<node> best_paths(std::string_view word) const;
  void add_unknown(std::string_view text, token_ids& ids) const;

  vocabulary tokens_;
  std::vector<double> scores_;
  std::size_t longest_ = 0;
  double unknown_score_ = 0;
  std::optional<token_id> unknown_;
  bool byte_fallback_;
};

}  // namespace llama
