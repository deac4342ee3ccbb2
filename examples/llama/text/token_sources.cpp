#include "text/token_sources.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "common/json_fields.hpp"
#include "common/json_file.hpp"

namespace llama {

namespace {

using nlohmann::json;

constexpr const char* roles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                 "pad_token", "cls_token", "mask_token"};

/// An added token of a file, or null where the field is null or an empty string.
std::optional<added_token> special_token(const json& value, const std::string& where) {
  if (value.is_null()) return std::nullopt;
  if (value.is_object()) {
    added_token token = read_added_token(value, where);
    token.special = true;
    return token;
  }
  if (!value.is_string()) throw input_error(where + " = " + value.dump() + ", expected a token's text");
  added_token token{.content = value.get<std::string>(), .normalized = false, .special = true};
  return token.content.empty() ? std::nullopt : std::optional(token);
}

/// The special tokens of tokenizer_config.json, which special_tokens_map.json may override.
class special_tokens {
 public:
  void read(const json& object, const std::string& where, bool overrides) {
    for (const char* const role : roles) {
      const auto found = object.find(role);
      if (found == object.end()) continue;
      if (overrides && found->is_null()) continue;
      by_role_[role] = special_token(*found, where + ": " + role);
    }
    for (const char* const list : {"additional_special_tokens", "extra_special_tokens"}) {
      const auto found = object.find(list);
      if (found == object.end() || found->is_null()) continue;
      if (!found->is_array() && !found->is_object()) {
        throw input_error(where + ": " + list + " is neither a list nor an object of tokens");
      }
      for (const json& value : *found) {  // of an object the values
        const auto token = special_token(value, where + ": " + list);
        if (token && std::ranges::find(additional_, *token) == additional_.end()) additional_.push_back(*token);
      }
    }
  }

  bool names(const char* role) const { return by_role_.contains(role); }
  std::vector<token_sources::named> list() const {
    std::vector<token_sources::named> result;
    for (const char* const role : roles) {
      const auto found = by_role_.find(role);
      if (found != by_role_.end() && found->second) result.push_back({role, *found->second});
    }
    for (const added_token& token : additional_) result.push_back({"", token});
    return result;
  }

 private:
  std::map<std::string, std::optional<added_token>> by_role_;
  std::vector<added_token> additional_;
};

token_id id_of_text(const std::string& text, const json_fields& fields) {
  if (text.empty() || text.size() > 8 || text.find_first_not_of("0123456789") != std::string::npos) {
    fields.fail("\"" + text + "\" is no token id");
  }
  return static_cast<token_id>(std::stol(text));
}

token_id id_of_number(const json& value, const std::string& what, const json_fields& fields) {
  if (!value.is_number_integer() || value.get<double>() < 0 || value.get<double>() >= (1 << 24)) {
    fields.fail("the id of " + what + " is " + value.dump() + ", expected one that a model can have");
  }
  return value.get<token_id>();
}

/// The class by which transformers reads a model's tokenizer where no file names one.
std::string class_of_model(const std::string& type) {
  static const std::map<std::string, std::string> classes = {{"llama", "LlamaTokenizer"}, {"mistral", "LlamaTokenizer"},
                                                             {"gemma", "GemmaTokenizer"}, {"gemma2", "GemmaTokenizer"},
                                                             {"qwen2", "Qwen2Tokenizer"}, {"qwen3", "Qwen2Tokenizer"}};
  const auto found = classes.find(type);
  return found == classes.end() ? "" : found->second;
}

std::vector<token_sources::named> specials_of_class(const std::string& name) {
  const auto token = [](const char* role, const char* content) {
    return token_sources::named{role, {.content = content, .normalized = false, .special = true}};
  };
  if (name == "LlamaTokenizer" || name == "CodeLlamaTokenizer") {
    return {token("bos_token", "<s>"), token("eos_token", "</s>"), token("unk_token", "<unk>")};
  }
  if (name == "GemmaTokenizer") {
    return {token("bos_token", "<bos>"), token("eos_token", "<eos>"), token("unk_token", "<unk>"),
            token("pad_token", "<pad>")};
  }
  if (name == "Qwen2Tokenizer") {
    return {token("eos_token", "<|endoftext|>"), token("unk_token", "<|endoftext|>"),
            token("pad_token", "<|endoftext|>")};
  }
  if (name == "GPT2Tokenizer") {
    return {token("bos_token", "<|endoftext|>"), token("eos_token", "<|endoftext|>"),
            token("unk_token", "<|endoftext|>")};
  }
  return {};
}

/// Beginning and end of sequence, as generation uses them.
void read_model_config(const std::filesystem::path& path, token_sources& result) {
  const json object = read_json(path);
  json_fields config(object, path.string());
  const auto by_id = [&](const char* name) -> std::optional<token_id> {
    const json* value = config.find(name);
    if (value && value->is_array()) value = value->empty() ? nullptr : &value->front();
    if (!value) return std::nullopt;
    if (!value->is_number_integer()) config.fail(std::string(name) + " = " + value->dump() + ", expected token ids");
    const auto id = value->get<token_id>();
    return id >= 0 ? std::optional(id) : std::nullopt;  // some write -1 for none
  };
  result.bos_id = by_id("bos_token_id");
  result.eos_id = by_id("eos_token_id");
  if (result.tokenizer_class.empty()) result.tokenizer_class = config.text("tokenizer_class", "");
  if (result.tokenizer_class.empty()) result.tokenizer_class = class_of_model(config.text("model_type", ""));
}

json read_optional(const std::filesystem::path& path) {
  if (!exists(path)) return json::object();
  json object = read_json(path);
  if (!object.is_object()) throw input_error(path.string() + ": is not a JSON object");
  return object;
}

using numbered_tokens = std::map<token_id, token_sources::numbered>;

numbered_tokens read_decoder(const json& object, const std::string& where, const std::string& file) {
  json_fields fields(object, where);
  numbered_tokens result;
  for (const auto& [id, token] : object.items()) {
    const token_id number = id_of_text(id, fields);
    result[number] = {read_added_token(token, where + ": " + id), number, file};
  }
  return result;
}

}  // namespace

bool token_sources::is_llama_class() const {
  static const std::set<std::string> classes = {"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer",
                                                "CohereTokenizer"};
  return classes.contains(tokenizer_class);
}

added_token read_added_token(const json& description, const std::string& where) {
  json_fields fields(description, where);
  added_token token;
  token.content = fields.text("content");
  token.single_word = fields.flag("single_word", false);
  token.lstrip = fields.flag("lstrip", false);
  token.rstrip = fields.flag("rstrip", false);
  token.special = fields.flag("special", false);
  token.normalized = fields.flag("normalized", !token.special);
  fields.ignore({"id", "__type"});
  fields.refuse_others();
  return token;
}

token_sources read_token_sources(const std::filesystem::path& directory, const json* added_tokens,
                                 const std::string& default_class) {
  token_sources result;
  const std::filesystem::path config_path = directory / "tokenizer_config.json";
  const json config_object = read_optional(config_path);
  json_fields config(config_object, config_path.string());
  special_tokens special;
  special.read(config_object, config_path.string(), false);
  result.add_bos = config.optional_flag("add_bos_token");
  result.add_eos = config.optional_flag("add_eos_token");
  result.legacy = config.optional_flag("legacy");
  result.split_special = config.flag("split_special_tokens", false);
  result.by_transformers_5 = config.find("backend") != nullptr;  // transformers 4 doesn't write it
  result.tokenizer_class = config.text("tokenizer_class", "");
  if (exists(directory / "config.json")) read_model_config(directory / "config.json", result);
  if (result.tokenizer_class.empty()) result.tokenizer_class = default_class;
  if (result.tokenizer_class.ends_with("Fast")) result.tokenizer_class.resize(result.tokenizer_class.size() - 4);

  numbered_tokens added;
  if (const json* const decoder = config.find("added_tokens_decoder")) {
    added = read_decoder(*decoder, config_path.string() + ": added_tokens_decoder", "tokenizer_config.json");
  } else {
    const std::filesystem::path map_path = directory / "special_tokens_map.json";
    special.read(read_optional(map_path), map_path.string(), true);
    const std::filesystem::path list_path = directory / "added_tokens.json";
    const json list = read_optional(list_path);
    const json_fields list_fields(list, list_path.string());
    const auto specials = special.list();
    for (const auto& [content, id] : list.items()) {
      const bool is_special =
          std::ranges::any_of(specials, [&name = content](const auto& s) { return s.token.content == name; });
      const token_id number = id_of_number(id, "\"" + content + "\"", list_fields);
      added[number] = {
          {.content = content, .normalized = !is_special, .special = is_special}, number, "added_tokens.json"};
    }
    if (added_tokens) {
      const std::string where = (directory / "tokenizer.json").string() + ": added_tokens";
      for (const json& entry : *added_tokens) {
        json_fields fields(entry, where);
        const token_id number = id_of_number(fields.at("id"), "\"" + fields.text("content") + "\"", fields);
        added[number] = {read_added_token(entry, where), number, "tokenizer.json"};
      }
    }
  }
  for (auto& [id, token] : added) result.added.push_back(std::move(token));

  result.special = special.list();
  // Transformers takes the fuller description where a token has several.
  for (token_sources::named& each : result.special) {
    for (const token_sources::numbered& other : result.added) {
      if (other.token.content == each.token.content) each.token = other.token;
    }
    each.token.special = true;
  }
  for (const token_sources::named& each : specials_of_class(result.tokenizer_class)) {
    if (!special.names(each.role.c_str())) result.class_special.push_back(each);
  }
  return result;
}

}  // namespace llama
