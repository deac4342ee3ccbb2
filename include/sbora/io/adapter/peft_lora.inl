#pragma once

#include <sbora/io/adapter/peft_lora.hpp>
#include <sbora/io/adapter/peft_lora_reader.hpp>
#include <sbora/io/adapter/peft_lora_tensors.hpp>
#include <sbora/io/adapter/sbora_checkpoint.inl>

namespace sbora::inline SBORA_ABI::detail {

/// Of an adapter of tokens alone. Errors: config_error for what PEFT can't say.
inline adapter_config tokens_config(adapter_config config) {
  const auto& tables = config.trainable_token_indices;
  const auto other = [&](const auto& of) { return of.second != tables.front().second; };
  if (tables.empty() || std::any_of(tables.begin(), tables.end(), other) || !config.modules_to_save.empty() ||
      config.bias != bias_training::none) {
    throw config_error(
        "sbora::save_peft_lora: an adapter without parts is the same tokens of one or more tables for PEFT, and no "
        "full "
        "tensors; save_sbora writes others");
  }
  adapter_config alone;
  alone.peft_type = tokens_type;
  alone.trainable_token_indices = tables;
  alone.base_model_name_or_path = config.base_model_name_or_path;
  alone.revision = config.revision;
  alone.task_type = config.task_type;
  return alone;
}

template <class T>
adapter_config peft_lora_config(const model_adapter<T>& adapter, bool fold) {
  adapter_config config = with_tokens(with_full_tensors(adapter.config(), adapter), adapter);
  config.sbora.reset();
  config.random_seed.reset();
  config.inference_mode = true;
  if (adapter.size() == 0) return tokens_config(std::move(config));
  const auto is_stacked = [](const std::string& module) { return parse_stack_member(module).has_value(); };
  if (config.lora_dropout > 0 && std::ranges::any_of(adapter.modules(), is_stacked)) {
    throw config_error("sbora::save_peft_lora: PEFT has no dropout with stacks of experts (target_parameters)");
  }
  config.use_rslora = config.use_rslora && !fold;
  config = describing(std::move(config), parts_of(adapter, fold));
  config.peft_type = "LORA";
  // Where there are both kinds, each module's is written, under a key that PEFT ignores: their tensors look alike.
  if (!adapter.kind() && config.kind_pattern.back().first != ".*") {
    config.kind_pattern.emplace_back(".*", *config.kind);
  }
  config.kind.reset();
  return config;
}

/// An SBoRA adapter where a tensor of indices is there, a LoRA otherwise.
template <class T>
loaded_adapter<T> read_any_adapter(adapter_files& files, std::span<const model_module> modules, strictness mode,
                                   bool in_place = false) {
  const auto tensors = files.tensors.tensors();
  const bool indices = std::any_of(tensors.begin(), tensors.end(), [](const tensor_view& tensor) {
    const auto name = parse_adapter_tensor(without_wrapper_parts(tensor.name));
    return name && !name->dense;
  });
  const adapter_config& config = files.config.config;
  const bool native_without_parts = config.sbora && config.sbora->modules.empty() && config.peft_type == "SBORA";
  return indices || native_without_parts || config.peft_type == paca_type
             ? read_adapter<sbora_tensor_reader<T>, T>(files, modules, mode, in_place)
             : read_adapter<peft_lora_reader<T>, T>(files, modules, mode, in_place);
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

template <class T>
void save_peft_lora(const model_adapter<T>& adapter, const std::filesystem::path& folder, rslora_export rslora) {
  const detail::peft_lora_tensors<T> tensors(adapter);
  const std::string config = adapter_config_text(detail::peft_lora_config(adapter, rslora == rslora_export::folded));
  detail::write_adapter(folder, config, tensors.tensors(), false,
                        [&](std::string_view name, auto&& put) { tensors.write(name, put); });
}

template <class T>
loaded_adapter<T> load_peft_lora(const std::filesystem::path& path, std::span<const model_module> modules,
                                 strictness mode) {
  detail::adapter_files files = detail::open_adapter(path, mode);
  return detail::read_adapter<detail::peft_lora_reader<T>, T>(files, modules, mode);
}

template <class T>
loaded_adapter<T> load_adapter(const std::filesystem::path& path, std::span<const model_module> modules,
                               strictness mode) {
  detail::adapter_files files = detail::open_adapter(path, mode);
  return detail::read_any_adapter<T>(files, modules, mode);
}

template <class T>
frozen_adapter<T> load_frozen_adapter(const std::filesystem::path& path, std::span<const model_module> modules,
                                      strictness mode) {
  const auto files = std::make_shared<detail::adapter_files>(detail::open_adapter(path, mode));
  model_adapter<T> adapter = detail::read_any_adapter<T>(*files, modules, mode, true).adapter;
  if (adapter.gradient().empty()) return {files, std::move(adapter)};
  return adapter;
}

template loaded_adapter<float> load_peft_lora<float>(const std::filesystem::path&, std::span<const model_module>,
                                                     strictness);
template loaded_adapter<float> load_adapter<float>(const std::filesystem::path&, std::span<const model_module>,
                                                   strictness);
template frozen_adapter<float> load_frozen_adapter<float>(const std::filesystem::path&, std::span<const model_module>,
                                                          strictness);
template frozen_adapter<double> load_frozen_adapter<double>(const std::filesystem::path&, std::span<const model_module>,
                                                            strictness);
template void save_peft_lora<float>(const model_adapter<float>&, const std::filesystem::path&, rslora_export);
template loaded_adapter<double> load_peft_lora<double>(const std::filesystem::path&, std::span<const model_module>,
                                                       strictness);
template loaded_adapter<double> load_adapter<double>(const std::filesystem::path&, std::span<const model_module>,
                                                     strictness);
template void save_peft_lora<double>(const model_adapter<double>&, const std::filesystem::path&, rslora_export);

}  // namespace sbora::inline SBORA_ABI
