#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "common/json_fields.hpp"
#include "text/unicode.hpp"

namespace llama {

/// tokenizer.json's {"String": …} or {"Regex": …}.
class json_pattern {
 public:
  json_pattern(const nlohmann::json& description, const std::string& where);
  text_ranges find(std::string_view text) const;

 private:
  std::variant<std::string, unicode_pattern> pattern_;
};

/// A regular expression of a file. Errors: with the place of `fields`.
unicode_pattern compile(const std::string& pattern, const json_fields& fields);

}  // namespace llama
