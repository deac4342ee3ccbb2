#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/tokenizer.hpp"

namespace llama {

/// What makes tokens of the words that the steps before have cut a text into.
///
/// Thread      const functions may be called at the same time.
class text_model {
 public:
  virtual ~text_model() = default;

  /// Appends a word's ids.
  virtual void encode(std::string_view word, token_ids& ids) const = 0;

  virtual std::optional<token_id> id_of(const std::string& token) const = 0;
  /// The token as its file has it.
  virtual std::optional<std::string> token_of(token_id id) const = 0;

  /// How many tokens there are: added ones are counted on from here.
  virtual index_t count() const = 0;
  /// All ids are below it.
  virtual index_t size() const = 0;
};

}  // namespace llama
