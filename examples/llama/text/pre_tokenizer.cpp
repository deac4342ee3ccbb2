#include "text/pre_tokenizer.hpp"

#include <utility>

#include "json_fields.hpp"

namespace llama {

namespace {

/// What ByteLevel splits by with use_regex: GPT-2's contractions, words, numbers, other runs, blanks.
constexpr const char* gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

unicode_pattern compile(const std::string& pattern, const json_fields& fields) {
  try {
    return unicode_pattern(pattern);
  } catch (const input_error& error) {
    fields.fail(error.what());
  }
}

}  // namespace

pre_tokenizer::pre_tokenizer(const nlohmann::json& description, const std::string& where) {
  add(description, where);
  if (!byte_level_) throw input_error(where + ": has no ByteLevel; only byte-level BPE is supported");
}

void pre_tokenizer::add(const nlohmann::json& description, const std::string& where) {
  json_fields fields(description, where);
  const std::string type = fields.text("type");
  if (type == "Sequence") {
    for (const auto& part : fields.at("pretokenizers")) add(part, where);
  } else if (type == "ByteLevel") {
    byte_level_ = true;
    step made;
    made.space_before = fields.flag("add_prefix_space", true);
    if (fields.flag("use_regex", true)) made.pattern = compile(gpt2_pattern, fields);
    fields.ignore({"trim_offsets"});
    steps_.push_back(std::move(made));
  } else if (type == "Split") {
    const nlohmann::json& pattern = fields.at("pattern");
    const std::string behavior = fields.text("behavior");
    const bool invert = fields.flag("invert", false);
    step made;
    made.pattern = compile(json_fields(pattern, where + ": pattern of Split").text("Regex"), fields);
    made.keep_gaps = behavior == "Isolated";
    if (behavior != "Isolated" && !(behavior == "Removed" && invert)) {
      fields.fail("Split with behavior " + behavior + (invert ? ", inverted," : "") + " is not supported");
    }
    steps_.push_back(std::move(made));
  } else if (type == "Digits") {
    step made;
    made.pattern = compile(fields.flag("individual_digits", false) ? "\\p{N}" : "\\p{N}+", fields);
    steps_.push_back(std::move(made));
  } else {
    fields.fail("type " + type + " is not supported, only ByteLevel, Split, Digits and Sequence");
  }
  fields.refuse_others();
}

std::vector<std::string> pre_tokenizer::split(std::string_view text) const {
  if (text.empty()) return {};
  std::vector<std::string> words = {std::string(text)};
  for (const step& s : steps_) {
    std::vector<std::string> next;
    for (std::string& word : words) {
      if (s.space_before && !word.starts_with(' ')) word.insert(0, 1, ' ');
      if (!s.pattern) {
        next.push_back(std::move(word));
        continue;
      }
      for (const auto& [piece, matched] : s.pattern->find(word)) {
        if (matched || s.keep_gaps) next.emplace_back(piece);
      }
    }
    words = std::move(next);
  }
  return words;
}

}  // namespace llama
