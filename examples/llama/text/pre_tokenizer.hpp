#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/unicode.hpp"

namespace llama {

/// Cuts a text into the words that byte-pair encoding works on, as tokenizer.json's "pre_tokenizer" says.
///
/// Errors      input_error that names what isn't supported. It has to be byte-level: types ByteLevel, and
///             Split, Digits and Sequence before or around it.
class pre_tokenizer {
 public:
  pre_tokenizer(const nlohmann::json& description, const std::string& where);

  std::vector<std::string> split(std::string_view text) const;

 private:
  struct step {
    bool space_before = false;  ///< every piece that has none gets one
    std::optional<unicode_pattern> pattern;
    bool keep_gaps = true;  ///< what the pattern doesn't match stays as words of its own
  };

  void add(const nlohmann::json& description, const std::string& where);

  std::vector<step> steps_;
  bool byte_level_ = false;
};

}  // namespace llama
