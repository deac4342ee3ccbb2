#include "text/json_pattern.hpp"

namespace llama {

json_pattern::json_pattern(const nlohmann::json& description, const std::string& where) {
  json_fields fields(description, where);
  if (fields.find("String")) {
    pattern_ = fields.text("String");
  } else if (fields.find("Regex")) {
    pattern_ = compile(fields.text("Regex"), fields);
  } else {
    fields.fail("neither String nor Regex is there");
  }
  fields.refuse_others();
}

text_ranges json_pattern::find(std::string_view text) const {
  if (text.empty()) return {};  // not even an empty match
  if (const auto* const regex = std::get_if<unicode_pattern>(&pattern_)) return regex->find(text);
  return match_string(text, std::get<std::string>(pattern_));
}

unicode_pattern compile(const std::string& pattern, const json_fields& fields) {
  try {
    return unicode_pattern(pattern);
  } catch (const input_error& error) {
    fields.fail(error.what());
  }
}

}  // namespace llama
