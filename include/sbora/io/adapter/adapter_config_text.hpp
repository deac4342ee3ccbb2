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

inline ordered_json value_json(adapter_kind kind) {
  return std::find_if(std::begin(kind_names), std::end(kind_names),
                      [&](const auto& each) { return each.second == kind; })
      ->first;
}

inline ordered_json value_json(bias_training bias) {
  return std::find_if(std::begin(bias_names), std::end(bias_names),
                      [&](const auto& each) { return each.second == bias; })
      ->first;
}

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

inline ordered_json record_json(const adapter_config& config) {
  ordered_json object = ordered_json::object();
  if (!config.kind_pattern.empty()) object["kind_pattern"] = pattern_json(config.kind_pattern);
  if (!config.sbora) return object;
  const sbora_record& record = *config.sbora;
  ordered_json modules = ordered_json::array();
  for (const recorded_module& module : record.modules) {
    ordered_json entry = {{"name", module.name}, {"d_out", module.d_out}, {"d_in", module.d_in}};
    if (module.base_fingerprint) entry["base_fingerprint"] = hex_text(*module.base_fingerprint);
    modules.push_back(std::move(entry));
  }
  object["version"] = record.version;
  if (record.seed) object["seed"] = *record.seed;
  if (record.save) object["save"] = hex_text(*record.save);
  object["modules"] = std::move(modules);
  return object;
}

}  // namespace sbora::inline SBORA_ABI::detail
