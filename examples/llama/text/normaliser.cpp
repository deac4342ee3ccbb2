#include "text/normaliser.hpp"

#include <map>
#include <memory>

#include "common/json_fields.hpp"
#include "text/byte_alphabet.hpp"
#include "text/json_pattern.hpp"
#include "text/unicode.hpp"

namespace llama {

namespace {

void replace(std::string& text, bool& at_start, const json_pattern& pattern, const std::string& content) {
  const text_ranges matches = pattern.find(text);
  if (matches.empty()) return;
  if (content.empty() && matches.front().begin == 0 && matches.front().end > 0) at_start = false;
  text = replaced(text, matches, content);
}

void strip(std::string& text, bool& at_start, bool left, bool right) {
  std::size_t begin = 0;
  while (left && begin < text.size()) {
    const utf8_character c = utf8_decode(std::string_view(text).substr(begin));
    if (!is_white_space(c.code)) break;
    begin += c.length;
    at_start = false;
  }
  while (right && text.size() > begin) {
    const utf8_character c = utf8_decode_back(text);
    if (!is_white_space(c.code)) break;
    text.erase(text.size() - c.length);
  }
  text.erase(0, begin);
}

}  // namespace

void normaliser::add(const nlohmann::json& description, const std::string& where) {
  static const std::map<std::string, normal_form> forms = {
      {"NFC", normal_form::nfc}, {"NFD", normal_form::nfd}, {"NFKC", normal_form::nfkc}, {"NFKD", normal_form::nfkd}};
  json_fields fields(description, where);
  const std::string type = fields.text("type");
  if (type == "Sequence") {
    for (const nlohmann::json& part : fields.at("normalizers")) add(part, where);
  } else if (const auto form = forms.find(type); form != forms.end()) {
    require_icu("the normalizer " + type);
    steps_.push_back([f = form->second](std::string& text, bool&) { text = normalise(text, f); });
  } else if (type == "Lowercase") {
    require_icu("the normalizer " + type);
    steps_.push_back([](std::string& text, bool&) { text = lower_case(text); });
  } else if (type == "Prepend") {
    steps_.push_back([prefix = fields.text("prepend")](std::string& text, bool&) {
      if (!text.empty()) text.insert(0, prefix);
    });
  } else if (type == "Replace") {
    const auto pattern = std::make_shared<json_pattern>(fields.at("pattern"), where + ": pattern of Replace");
    steps_.push_back([pattern, content = fields.text("content")](std::string& text, bool& at_start) {
      replace(text, at_start, *pattern, content);
    });
  } else if (type == "Strip") {
    steps_.push_back([left = fields.flag("strip_left", true), right = fields.flag("strip_right", true)](
                         std::string& text, bool& at_start) { strip(text, at_start, left, right); });
  } else if (type == "ByteLevel") {
    steps_.push_back([](std::string& text, bool&) { text = byte_alphabet::from_bytes(text); });
  } else {
    fields.fail("type " + type +
                " is not supported, only NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip, "
                "ByteLevel and Sequence");
  }
  fields.refuse_others();
}

std::string normaliser::operator()(std::string text) const {
  bool at_start = false;
  return (*this)(std::move(text), at_start);
}

std::string normaliser::operator()(std::string text, bool& at_start) const {
  for (const step& s : steps_) s(text, at_start);
  return text;
}

}  // namespace llama
