#include "text/special_tokens.hpp"

#include "json_fields.hpp"
#include "json_file.hpp"

namespace llama {

special_tokens read_special_tokens(const std::filesystem::path& directory,
                                   const std::function<std::optional<token_id>(const std::string&)>& id_of) {
  special_tokens result;
  if (const auto path = directory / "tokenizer_config.json"; exists(path)) {
    const nlohmann::json object = read_json(path);
    json_fields config(object, path.string());
    const auto by_text = [&](const char* name) -> std::optional<token_id> {
      const nlohmann::json* const value = config.find(name);
      if (!value) return std::nullopt;
      const std::string text = value->is_object() ? json_fields(*value, path.string() + ": " + name).text("content")
                                                  : config.text(name);
      const auto id = id_of(text);
      if (!id) config.fail(std::string(name) + " = \"" + text + "\" is no token of this tokenizer");
      return id;
    };
    result.bos = by_text("bos_token");
    result.eos = by_text("eos_token");
    result.add_bos = config.flag("add_bos_token", result.add_bos);
    result.add_eos = config.flag("add_eos_token", result.add_eos);
  }
  if (const auto path = directory / "config.json"; exists(path)) {
    const nlohmann::json object = read_json(path);
    json_fields config(object, path.string());
    const auto by_id = [&](const char* name) -> std::optional<token_id> {
      const nlohmann::json* value = config.find(name);
      if (value && value->is_array()) value = value->empty() ? nullptr : &value->front();
      if (!value) return std::nullopt;
      if (!value->is_number_integer()) config.fail(std::string(name) + " = " + value->dump() + ", expected token ids");
      const auto id = value->get<token_id>();
      return id >= 0 ? std::optional(id) : std::nullopt;  // some write -1 for none
    };
    if (!result.bos) result.bos = by_id("bos_token_id");
    if (!result.eos) result.eos = by_id("eos_token_id");
  }
  return result;
}

}  // namespace llama
