#pragma once

#include <sbora/io/adapter/adapter_folder.hpp>
#include <sbora/io/adapter/sbora_checkpoint.hpp>
#include <sbora/io/adapter/sbora_tensors.hpp>
#include <sbora/model/describe_adapter.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// With `in_place` on the file's numbers where that can be: see adapter_of.
template <class Reader, class T>
loaded_adapter<T> read_adapter(adapter_files& files, std::span<const model_module> modules, strictness mode,
                               bool in_place = false) {
  problem_list problems(mode == strictness::lenient);
  problems.skipped() = std::move(files.config.skipped);
  std::optional<model_adapter<T>> adapter =
      Reader(files.tensors.tensors(), std::move(files.config.config), modules, problems).read(in_place);
  problems.throw_if_any("the adapter in " + files.folder.string() + " can't be loaded",
                        "give all files of one save, and the base that it was trained on");
  return {std::move(*adapter), std::move(problems.skipped())};
}

template <class T>
adapter_config sbora_config(const model_adapter<T>& adapter, sbora_layout layout) {
  const bool native = layout == sbora_layout::native, paca = layout == sbora_layout::paca;
  adapter_config config = native ? describing(adapter.config(), parts_of(adapter))
                          : paca ? paca_config(adapter)
                                 : official_config(adapter);
  config.peft_type = paca ? paca_type : "SBORA";
  config = with_tokens(with_full_tensors(std::move(config), adapter), adapter);
  if (paca && config.bias != bias_training::none) {
    throw config_error("sbora: PaCA trains no biases; save_sbora or save_peft_lora write them");
  }
  if (adapter.kind()) config.kind = adapter.kind();
  config.inference_mode = true;
  config.sbora.reset();
  if (native) {
    config.sbora = record_of(adapter);
    config.sbora->save = fnv1a(adapter_config_text(config));
  }
  return config;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

template <class T>
loaded_adapter<T> load_sbora(const std::filesystem::path& path, std::span<const model_module> modules,
                             strictness mode) {
  detail::adapter_files files = detail::open_adapter(path, mode);
  return detail::read_adapter<detail::sbora_tensor_reader<T>, T>(files, modules, mode);
}

template <class T>
void save_sbora(const model_adapter<T>& adapter, const std::filesystem::path& folder, sbora_layout layout) {
  const adapter_config config = detail::sbora_config(adapter, layout);
  const detail::tensor_pool tensors = detail::sbora_tensors(adapter, layout);
  std::map<std::string_view, std::span<const std::byte>> data;
  for (const tensor_view& tensor : tensors.tensors()) data.emplace(tensor.name, tensor.data);
  detail::write_adapter(folder, adapter_config_text(config), tensors.tensors(), layout == sbora_layout::native,
                        [&](std::string_view name, auto&& put) { put(data.at(name)); });
}

template loaded_adapter<float> load_sbora<float>(const std::filesystem::path&, std::span<const model_module>,
                                                 strictness);
template loaded_adapter<double> load_sbora<double>(const std::filesystem::path&, std::span<const model_module>,
                                                   strictness);
template void save_sbora<float>(const model_adapter<float>&, const std::filesystem::path&, sbora_layout);
template void save_sbora<double>(const model_adapter<double>&, const std::filesystem::path&, sbora_layout);

}  // namespace sbora::inline SBORA_ABI
