#include "text/token_decoder.hpp"

#include <memory>
#include <utility>

#include "common/json_fields.hpp"
#include "text/byte_alphabet.hpp"
#include "text/json_pattern.hpp"
#include "common/utf8.hpp"
#include "text/vocabulary.hpp"

namespace llama {

namespace {

using strings = std::vector<std::string>;

std::string joined(const strings& parts, std::string_view between = "") {
  std::string result;
  for (const std::string& part : parts) {
    if (!result.empty() || &part != &parts.front()) result += between;
    result += part;
  }
  return result;
}

std::string alphabet_bytes(const std::string& token) { return byte_alphabet::to_bytes(token).value_or(token); }

/// Tokens of bytes in a row become their text; where that isn't UTF-8, U+FFFD for each.
void join_bytes(strings& tokens) {
  strings result;
  std::string bytes;
  const auto finish = [&] {
    if (bytes.empty()) return;
    if (valid_utf8(bytes) == bytes) {
      result.push_back(bytes);
    } else {
      result.insert(result.end(), bytes.size(), "\xEF\xBF\xBD");
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = byte_of_token(token)) {
      bytes += static_cast<char>(*byte);
    } else {
      finish();
      result.push_back(std::move(token));
    }
  }
  finish();
  tokens = std::move(result);
}

void strip(std::string& token, const std::string& character, index_t start, index_t stop) {
  for (; start > 0 && token.starts_with(character); --start) token.erase(0, character.size());
  for (; stop > 0 && token.ends_with(character); --stop) token.erase(token.size() - character.size());
}

index_t count_of(json_fields& fields, const char* name) {
  const nlohmann::json& value = fields.at(name);
  if (!value.is_number_integer() || value.get<double>() < 0 || value.get<double>() > 1e9) {
    fields.fail(std::string(name) + " = " + value.dump() + ", expected a count");
  }
  return value.get<index_t>();
}

}  // namespace

void token_decoder::add_each(std::function<void(std::string& token)> change) {
  steps_.push_back({[change](strings& tokens) {
                      for (std::string& token : tokens) change(token);
                    },
                    change});
}

void token_decoder::add(const nlohmann::json& description, const std::string& where) {
  json_fields fields(description, where);
  const std::string type = fields.text("type");
  if (type == "Sequence") {
    for (const nlohmann::json& part : fields.at("decoders")) add(part, where);
  } else if (type == "ByteLevel") {
    fields.ignore({"add_prefix_space", "trim_offsets", "use_regex"});  // of the pre_tokenizer of this name
    steps_.push_back({[](strings& tokens) {
                        std::string bytes;
                        for (const std::string& token : tokens) bytes += alphabet_bytes(token);
                        tokens = {valid_utf8(bytes)};
                      },
                      [](std::string& token) { token = alphabet_bytes(token); }});
  } else if (type == "Replace") {
    const auto pattern = std::make_shared<json_pattern>(fields.at("pattern"), where + ": pattern of Replace");
    add_each([pattern, content = fields.text("content")](std::string& token) {
      token = replaced(token, pattern->find(token), content);
    });
  } else if (type == "ByteFallback") {
    steps_.push_back({join_bytes, [](std::string& token) {
                        if (const auto byte = byte_of_token(token)) token = {static_cast<char>(*byte)};
                      }});
  } else if (type == "Fuse") {
    steps_.push_back({[](strings& tokens) { tokens = {joined(tokens)}; }, nullptr});
  } else if (type == "Strip") {
    const std::string content = fields.text("content");
    const index_t start = count_of(fields, "start");
    const index_t stop = count_of(fields, "stop");
    steps_.push_back({[=](strings& tokens) {
                        for (std::string& token : tokens) strip(token, content, start, stop);
                      },
                      nullptr});
  } else if (type == "Metaspace") {
    const std::string space = fields.text("replacement");
    const bool prefix = fields.flag("add_prefix_space", true) && fields.text("prepend_scheme", "always") != "never";
    fields.ignore({"split", "str_rep"});
    const auto spaces = [space](std::string& token) { token = replaced(token, match_string(token, space), " "); };
    steps_.push_back({[=](strings& tokens) {
                        for (std::size_t i = 0; i < tokens.size(); ++i) {
                          const bool first = i == 0 && prefix;
                          tokens[i] = replaced(tokens[i], match_string(tokens[i], space), first ? "" : " ");
                        }
                      },
                      spaces});
  } else if (type == "BPEDecoder") {
    const std::string suffix = fields.text("suffix");
    steps_.push_back({[suffix](strings& tokens) {
                        for (std::string& token : tokens) {
                          const bool last = &token == &tokens.back();
                          token = replaced(token, match_string(token, suffix), last ? "" : " ");
                        }
                      },
                      [suffix](std::string& token) { token = replaced(token, match_string(token, suffix), " "); }});
  } else {
    fields.fail("type " + type +
                " is not supported, only ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, "
                "BPEDecoder and Sequence");
  }
  fields.refuse_others();
}

std::string token_decoder::text(strings tokens) const {
  if (steps_.empty()) return joined(tokens, " ");
  for (const step& s : steps_) s.whole(tokens);
  return valid_utf8(joined(tokens));
}

std::string token_decoder::bytes(std::string token) const {
  for (const step& s : steps_) {
    if (s.inside) s.inside(token);
  }
  return token;
}

}  // namespace llama
