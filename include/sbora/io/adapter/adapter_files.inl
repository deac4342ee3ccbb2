#pragma once

#include <sbora/io/adapter/adapter_config_json.hpp>
#include <sbora/io/adapter/adapter_config_text.hpp>
#include <sbora/io/adapter/adapter_folder.hpp>

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF read_config parse_adapter_config(std::string_view text, strictness mode,
                                                   const std::filesystem::path& path) {
  const detail::ordered_json document = detail::parse_json(text, path);
  if (!document.is_object()) {
    throw format_error(format_fault::invalid_json, path, "an adapter config is a JSON object");
  }
  detail::problem_list problems(mode == strictness::lenient);
  adapter_config config = detail::adapter_config_reader(document, problems).read();
  problems.throw_if_any(path.empty() ? "adapter config" : path.string(), "mend it, or save the adapter again");
  return {std::move(config), std::move(problems.skipped())};
}

SBORA_INSTANCE_OF std::string adapter_config_text(const adapter_config& config) {
  using detail::ordered_json;
  const bool tokens_alone = config.peft_type == detail::tokens_type;
  const bool paca = config.peft_type == detail::paca_type;
  std::vector<std::pair<std::string, ordered_json>> fields = {
      {"base_model_name_or_path", detail::optional_json(config.base_model_name_or_path)},
      {"bias", detail::value_json(config.bias)},
      {"fan_in_fan_out", config.fan_in_fan_out},
      {"inference_mode", config.inference_mode},
      {paca ? "paca_alpha" : "lora_alpha", detail::value_json(config.lora_alpha)},
      {"lora_dropout", config.lora_dropout},
      {"modules_to_save",
       config.modules_to_save.empty() ? ordered_json(nullptr) : ordered_json(config.modules_to_save)},
      {"peft_type", config.peft_type},
      {"r", config.r},
      {"target_modules", detail::filter_json(config.target_modules)},
      {"task_type", detail::optional_json(config.task_type)}};
  const auto add = [&](const char* key, ordered_json value) { fields.emplace_back(key, std::move(value)); };
  const auto drop_unless = [&](auto&& is_kept) {
    std::erase_if(fields,
                  [&](const auto& field) { return !is_kept([&](const char* key) { return field.first == key; }); });
  };
  if (paca) {
    drop_unless([](auto&& is) { return !is("bias") && !is("fan_in_fan_out") && !is("lora_dropout"); });
  }
  if (tokens_alone) {
    drop_unless([](auto&& is) {
      return is("base_model_name_or_path") || is("inference_mode") || is("peft_type") || is("task_type");
    });
    std::vector<std::string> tables;
    for (const auto& [table, ids] : config.trainable_token_indices) {
      if (!table.empty()) tables.push_back(table);
    }
    add("target_modules", tables.empty() ? ordered_json(nullptr) : ordered_json(tables));
    add("token_indices",
        config.trainable_token_indices.empty() ? std::vector<index_t>() : config.trainable_token_indices[0].second);
  } else if (!config.trainable_token_indices.empty()) {
    add("trainable_token_indices", detail::tokens_json(config.trainable_token_indices));
  }
  if (!config.target_parameters.empty()) add("target_parameters", config.target_parameters);
  if (config.ensure_weight_tying) add("ensure_weight_tying", true);
  if (config.peft_type == "SBORA") {
    add("enable_lora", nullptr);
    add("merge_weights", false);
  }
  if (config.random_seed) add("random_seed", *config.random_seed);
  if (config.kind && !paca) add("adapter_name", detail::value_json(*config.kind));
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
  if (config.sbora || !config.kind_pattern.empty() || !config.embedding_modules.empty()) {
    add("sbora", detail::record_json(config));
  }
  std::sort(fields.begin(), fields.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  ordered_json object = ordered_json::object();
  for (auto& [key, value] : fields) object[key] = std::move(value);
  try {
    return object.dump(2) + "\n";
  } catch (const ordered_json::exception& error) {
    throw config_error(std::string("sbora: adapter_config.json: ") + error.what());
  }
}

SBORA_INSTANCE_OF read_config load_adapter_config(const std::filesystem::path& path, strictness mode) {
  return detail::open_adapter(path, mode).config;
}

SBORA_INSTANCE_OF safetensors_file open_adapter_tensors(const std::filesystem::path& path) {
  return detail::open_tensors(detail::adapter_folder(path));
}

}  // namespace sbora::inline SBORA_ABI
