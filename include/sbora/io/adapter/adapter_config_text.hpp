#pragma once

#include <unordered_set>

#include <sbora/io/adapter/adapter_config_json.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// 8 rather than 8.0, as Python writes integers.
inline ordered_json value_json(double value) {
  if (std::nearbyint(value) == value && std::fabs(value) < 0x1p53) return static_cast<std::int64_t>(value);
  return value;
}

inline ordered_json value_json(index_t value) { return value; }

inline ordered_json value_json(adapter_kind kind) { return name_of(kind, kind_names); }
inline ordered_json value_json(bias_training bias) { return name_of(bias, bias_names); }

inline ordered_json filter_json(const module_filter& filter) {
  if (filter.regex) return *filter.regex;
  return filter.names.empty() ? ordered_json(nullptr) : ordered_json(filter.names);
}

inline ordered_json optional_json(const std::optional<std::string>& text) {
  return text ? ordered_json(*text) : ordered_json(nullptr);
}

template <class Value>
ordered_json pattern_json(const std::vector<module_pattern<Value>>& pattern) {
  ordered_json object = ordered_json::object();
  std::unordered_set<std::string_view> written;  // a key that comes again counts nowhere
  for (const auto& [module, value] : pattern) {
    if (written.insert(module).second) add_member(object, module, value_json(value));
  }
  return object;
}

inline ordered_json modules_json(const std::vector<recorded_module>& modules) {
  ordered_json list = ordered_json::array();
  for (const recorded_module& module : modules) {
    ordered_json entry = {{"name", module.name}, {"d_out", module.d_out}, {"d_in", module.d_in}};
    if (module.base_fingerprint) entry["base_fingerprint"] = hex_text(*module.base_fingerprint);
    list.push_back(std::move(entry));
  }
  return list;
}

/// PEFT's: a list, or lists by table.
inline ordered_json tokens_json(const table_token_indices& tokens) {
  if (tokens.size() == 1 && tokens[0].first.empty()) return tokens[0].second;
  ordered_json object = ordered_json::object();
  for (const auto& [table, ids] : tokens) {
    if (!object.contains(table)) add_member(object, table, ids);
  }
  return object;
}

inline ordered_json record_json(const adapter_config& config) {
  ordered_json object = ordered_json::object();
  if (!config.kind_pattern.empty()) object["kind_pattern"] = pattern_json(config.kind_pattern);
  if (!config.embedding_modules.empty()) object["embedding_modules"] = config.embedding_modules;
  if (!config.sbora) return object;
  const sbora_record& record = *config.sbora;
  object["version"] = record.version;
  if (record.seed) object["seed"] = *record.seed;
  if (record.save) object["save"] = hex_text(*record.save);
  object["modules"] = modules_json(record.modules);
  if (!record.tables.empty()) object["tables"] = modules_json(record.tables);
  return object;
}

}  // namespace sbora::inline SBORA_ABI::detail
