#include "text/pre_tokenizer.hpp"

#include <map>
#include <memory>
#include <utility>

#include "common/json_fields.hpp"
#include "text/byte_alphabet.hpp"
#include "text/json_pattern.hpp"
#include "text/unicode.hpp"

namespace llama {

namespace {

/// What ByteLevel splits by with use_regex: GPT-2's contractions, words, numbers, other runs, blanks.
constexpr const char* gpt2_pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

delimiter behavior_of(json_fields& fields, const char* otherwise) {
  static const std::map<std::string, delimiter> behaviors = {{"Removed", delimiter::removed},
                                                             {"Isolated", delimiter::isolated},
                                                             {"MergedWithPrevious", delimiter::merged_with_previous},
                                                             {"MergedWithNext", delimiter::merged_with_next},
                                                             {"Contiguous", delimiter::contiguous}};
  const std::string name = otherwise ? fields.text("behavior", otherwise) : fields.text("behavior");
  const auto found = behaviors.find(name);
  if (found == behaviors.end()) {
    fields.fail("behavior " + name +
                " is not supported, only Removed, Isolated, MergedWithPrevious, MergedWithNext "
                "and Contiguous");
  }
  return found->second;
}

void cut(word& text, const text_ranges& ranges, std::vector<word>& pieces) {
  for (const text_range& range : ranges) {
    if (range.begin == range.end) continue;
    pieces.push_back({std::string(range.of(text.text)), text.at_start && range.begin == 0});
  }
}

/// Runs of characters of a word, and of what is neither that nor blank.
text_ranges words_and_symbols(std::string_view text) {
  text_ranges runs;
  int last = 0;
  for (std::size_t at = 0; at < text.size();) {
    const utf8_character c = utf8_decode(text.substr(at));
    const int kind = is_word_character(c.code) ? 1 : is_white_space(c.code) ? 0 : 2;
    if (kind != 0 && kind == last) {
      runs.back().end += c.length;
    } else if (kind != 0) {
      runs.push_back({at, at + c.length});
    }
    last = kind;
    at += c.length;
  }
  return runs;
}

std::string one_character(json_fields& fields, const char* name) {
  const std::string text = fields.text(name);
  if (text.empty() || utf8_decode(text).length != text.size()) {
    fields.fail(std::string(name) + " = \"" + text + "\", expected one character");
  }
  return text;
}

/// As in the files before "prepend_scheme" too, which have "add_prefix_space".
std::string prepend_scheme(json_fields& fields) {
  const bool prefix = fields.flag("add_prefix_space", true);
  const std::string scheme = fields.text("prepend_scheme", prefix ? "always" : "never");
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    fields.fail("prepend_scheme = \"" + scheme + "\", expected always, first or never");
  }
  if (!prefix && scheme != "never") fields.fail("add_prefix_space = false contradicts prepend_scheme");
  return scheme;
}

}  // namespace

void pre_tokenizer::add_split(matcher match, delimiter behavior, bool inverted) {
  steps_.push_back([match = std::move(match), behavior, inverted](word& text, std::vector<word>& pieces) {
    cut(text, llama::split(text.text.size(), match(text.text), behavior, inverted), pieces);
  });
}

void pre_tokenizer::add(const nlohmann::json& description, const std::string& where) {
  json_fields fields(description, where);
  const std::string type = fields.text("type");
  if (type == "Sequence") {
    for (const auto& part : fields.at("pretokenizers")) add(part, where);
  } else if (type == "ByteLevel") {
    if (fields.flag("add_prefix_space", true)) {
      steps_.push_back([](word& text, std::vector<word>& pieces) {
        if (!text.text.starts_with(' ')) text.text.insert(0, 1, ' ');
        pieces.push_back(std::move(text));
      });
    }
    if (fields.flag("use_regex", true)) {
      const auto pattern = std::make_shared<unicode_pattern>(compile(gpt2_pattern, fields));
      add_split([pattern](std::string_view text) { return pattern->find(text); }, delimiter::isolated);
    }
    fields.ignore({"trim_offsets"});
    steps_.push_back([](word& text, std::vector<word>& pieces) {
      pieces.push_back({byte_alphabet::from_bytes(text.text), text.at_start});
    });
  } else if (type == "Split") {
    const auto pattern = std::make_shared<json_pattern>(fields.at("pattern"), where + ": pattern of Split");
    add_split([pattern](std::string_view text) { return pattern->find(text); }, behavior_of(fields, nullptr),
              fields.flag("invert", false));
  } else if (type == "Digits") {
    require_icu("the pre_tokenizer Digits");
    add_split([](std::string_view text) { return match_characters(text, is_number); },
              fields.flag("individual_digits", false) ? delimiter::isolated : delimiter::contiguous);
  } else if (type == "Punctuation") {
    require_icu("the pre_tokenizer Punctuation");
    add_split([](std::string_view text) { return match_characters(text, is_punctuation); },
              behavior_of(fields, "Isolated"));
  } else if (type == "WhitespaceSplit") {
    add_split([](std::string_view text) { return match_characters(text, is_white_space); }, delimiter::removed);
  } else if (type == "Whitespace") {
    require_icu("the pre_tokenizer Whitespace");
    add_split(words_and_symbols, delimiter::removed, true);
  } else if (type == "CharDelimiterSplit" || type == "Delimiter") {
    add_split([c = one_character(fields, "delimiter")](std::string_view text) { return match_string(text, c); },
              delimiter::removed);
  } else if (type == "Metaspace") {
    const std::string space = one_character(fields, "replacement");
    const std::string scheme = prepend_scheme(fields);
    fields.ignore({"str_rep"});
    steps_.push_back([=](word& text, std::vector<word>& pieces) {
      std::string marked;
      for (const char c : text.text) c == ' ' ? marked += space : marked += c;
      const bool prepend = scheme == "always" || (scheme == "first" && text.at_start);
      if (prepend && !marked.starts_with(space)) marked.insert(0, space);
      pieces.push_back({std::move(marked), text.at_start});
    });
    if (fields.flag("split", true)) {
      add_split([space](std::string_view text) { return match_string(text, space); }, delimiter::merged_with_next);
    }
  } else {
    fields.fail("type " + type +
                " is not supported, only ByteLevel, Metaspace, Split, Digits, Punctuation, "
                "Whitespace, WhitespaceSplit, CharDelimiterSplit and Sequence");
  }
  fields.refuse_others();
}

std::vector<word> pre_tokenizer::split(word text) const {
  std::vector<word> words;
  if (text.text.empty()) return words;
  words.push_back(std::move(text));
  for (const step& s : steps_) {
    std::vector<word> next;
    next.reserve(words.size());
    for (word& piece : words) s(piece, next);
    words = std::move(next);
  }
  return words;
}

}  // namespace llama
