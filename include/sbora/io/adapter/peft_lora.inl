#pragma once

#include <sbora/io/adapter/peft_lora.hpp>
#include <sbora/io/adapter/peft_lora_reader.hpp>
#include <sbora/io/adapter/peft_lora_tensors.hpp>
#include <sbora/io/adapter/sbora_checkpoint.inl>

namespace sbora::inline SBORA_ABI::detail {

template <class T>
adapter_config peft_lora_config(const model_adapter<T>& adapter, bool fold) {
  adapter_config config = adapter.config();
  config.use_rslora = config.use_rslora && !fold;
  config = describing(std::move(config), parts_of(adapter, fold));
  config.peft_type = "LORA";
  // Where there are both kinds, each module's is written, under a key that PEFT ignores: their tensors look alike.
  if (!adapter.kind() && config.kind_pattern.back().first != ".*") {
    config.kind_pattern.emplace_back(".*", *config.kind);
  }
  config.kind.reset();
  config.sbora.reset();
  config.inference_mode = true;
  return with_full_tensors(std::move(config), adapter);
}

/// An SBoRA adapter where a tensor of indices is there, a LoRA otherwise.
template <class T>
loaded_adapter<T> read_any_adapter(adapter_files files, std::span<const model_module> modules, strictness mode) {
  const auto tensors = files.tensors.tensors();
  const bool indices = std::any_of(tensors.begin(), tensors.end(), [](const tensor_view& tensor) {
    const auto name = parse_adapter_tensor(without_wrapper_parts(tensor.name));
    return name && !name->dense;
  });
  return indices ? read_adapter<sbora_tensor_reader<T>, T>(std::move(files), modules, mode)
                 : read_adapter<peft_lora_reader<T>, T>(std::move(files), modules, mode);
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
  return detail::read_adapter<detail::peft_lora_reader<T>, T>(detail::open_adapter(path, mode), modules, mode);
}

template <class T>
loaded_adapter<T> load_adapter(const std::filesystem::path& path, std::span<const model_module> modules,
                               strictness mode) {
  return detail::read_any_adapter<T>(detail::open_adapter(path, mode), modules, mode);
}

template loaded_adapter<float> load_peft_lora<float>(const std::filesystem::path&, std::span<const model_module>,
                                                     strictness);
template loaded_adapter<float> load_adapter<float>(const std::filesystem::path&, std::span<const model_module>,
                                                   strictness);
template void save_peft_lora<float>(const model_adapter<float>&, const std::filesystem::path&, rslora_export);
template loaded_adapter<double> load_peft_lora<double>(const std::filesystem::path&, std::span<const model_module>,
                                                       strictness);
template loaded_adapter<double> load_adapter<double>(const std::filesystem::path&, std::span<const model_module>,
                                                     strictness);
template void save_peft_lora<double>(const model_adapter<double>&, const std::filesystem::path&, rslora_export);

}  // namespace sbora::inline SBORA_ABI
