#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/split.hpp"

namespace llama {

/// A piece of a text on its way to the model.
struct word {
  std::string text;
  bool at_start;  ///< it begins where the whole text does
};

/// tokenizer.json's "pre_tokenizer": cuts a text into the words that the model works on.
///
/// Errors      input_error that names a type that isn't supported.
class pre_tokenizer {
 public:
  pre_tokenizer() = default;  ///< the whole text is one word
  pre_tokenizer(const nlohmann::json& description, const std::string& where) { add(description, where); }

  /// The words of a text, in order, none of them empty.
  std::vector<word> split(word text) const;

 private:
  using step = std::function<void(word& text, std::vector<word>& pieces)>;
  using matcher = std::function<text_ranges(std::string_view text)>;
  void add(const nlohmann::json& description, const std::string& where);
  void add_split(matcher match, delimiter behavior, bool inverted = false);

  std::vector<step> steps_;
};

}  // namespace llama
