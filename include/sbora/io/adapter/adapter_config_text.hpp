#pragma once

#include <unordered_set>

#include <sbora/io/adapter/adapter_config_json.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// 8 rather than 8.0, as Python writes integers.
inline ordered_json number_json(double value) {
  if (std::nearbyint(value) == value && std::fabs(value) < 0x1p53) return static_cast<std::int64_t>(value);
  return value;
}

inline ordered_json number_json(index_t value) { return value; }

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
    if (written.insert(module).second) add_member(object, module, number_json(value));
  }
  return object;
}

inline ordered_json record_json(const sbora_record& record) {
  ordered_json modules = ordered_json::array();
  for (const recorded_module& module : record.modules) {
    ordered_json entry = {{"name", module.name}, {"d_out", module.d_out}, {"d_in", module.d_in}};
    if (module.base_fingerprint) entry["base_fingerprint"] = hex_text(*module.base_fingerprint);
    modules.push_back(std::move(entry));
  }
  ordered_json object = {{"version", record.version}};
  if (record.seed) object["seed"] = *record.seed;
  if (record.save) object["save"] = hex_text(*record.save);
  object["modules"] = std::move(modules);
  return object;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// The text of an adapter_config.json that PEFT (LORA) or the official SBoRA code (SBORA) accepts: keys ascending,
/// patterns in their order, options that older versions don't know only where they aren't at their defaults.
///
/// Numerics    parse_adapter_config gives the same config back.
/// Errors      config_error where a name isn't UTF-8.
inline std::string adapter_config_text(const adapter_config& config) {
  using detail::ordered_json;
  std::vector<std::pair<std::string, ordered_json>> fields = {
      {"base_model_name_or_path", detail::optional_json(config.base_model_name_or_path)},
      {"bias", "none"},
      {"fan_in_fan_out", config.fan_in_fan_out},
      {"inference_mode", config.inference_mode},
      {"lora_alpha", detail::number_json(config.lora_alpha)},
      {"lora_dropout", config.lora_dropout},
      {"modules_to_save", nullptr},
      {"peft_type", config.peft_type},
      {"r", config.r},
      {"target_modules", detail::filter_json(config.target_modules)},
      {"task_type", detail::optional_json(config.task_type)}};
  const auto add = [&](const char* key, ordered_json value) { fields.emplace_back(key, std::move(value)); };
  if (config.peft_type == "SBORA") {
    add("enable_lora", nullptr);
    add("merge_weights", false);
  }
  if (config.kind) add("adapter_name", *config.kind == adapter_kind::fa ? "sbora_fa" : "sbora_fb");
  if (config.use_rslora) add("use_rslora", true);
  if (config.revision) add("revision", *config.revision);
  if (!config.exclude_modules.empty()) add("exclude_modules", detail::filter_json(config.exclude_modules));
  // An empty list means all layers; a pattern isn't read without one.
  if (!config.layers_to_transform.empty() || !config.layers_pattern.empty()) {
    add("layers_to_transform", config.layers_to_transform);
  }
  if (!config.layers_pattern.empty()) add("layers_pattern", config.layers_pattern);
  if (!config.rank_pattern.empty()) add("rank_pattern", detail::pattern_json(config.rank_pattern));
  if (!config.alpha_pattern.empty()) add("alpha_pattern", detail::pattern_json(config.alpha_pattern));
  if (config.sbora) add("sbora", detail::record_json(*config.sbora));
  std::sort(fields.begin(), fields.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  ordered_json object = ordered_json::object();
  for (auto& [key, value] : fields) object[key] = std::move(value);
  try {
    return object.dump(2) + "\n";
  } catch (const ordered_json::exception& error) {
    throw config_error(std::string("sbora: adapter_config.json: ") + error.what());
  }
}

}  // namespace sbora::inline SBORA_ABI
