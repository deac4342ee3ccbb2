#pragma once

#include <algorithm>
#include <string_view>

#include <sbora/model/adapter_config.hpp>
#include <sbora/model/replaced_values.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Whether a config trains a tensor of the model as a whole: see bias_training and modules_to_save.
template <class IsAdapted>
bool trains_whole(const adapter_config& config, std::string_view tensor, const IsAdapted& is_adapted) {
  std::string_view module = module_of(tensor);
  switch (config.bias) {
    case bias_training::none: break;
    case bias_training::all:
      if (tensor.find("bias") != std::string_view::npos) return true;
      break;
    case bias_training::adapted:
      if (tensor.ends_with(".bias") && is_adapted(module)) return true;
      break;
  }
  for (;;) {  // the tensor may be of a module below the one that is saved
    for (const std::string& ending : config.modules_to_save) {
      if (module.ends_with(ending)) return true;
    }
    const std::string_view above = module_of(module);
    if (above.size() == module.size()) return false;
    module = above;
  }
}

/// Changes the config so that it trains all of these: no more is said of biases than it takes.
template <class T, class IsAdapted>
void train_whole(adapter_config& config, std::span<const full_tensor<T>> tensors, const IsAdapted& is_adapted) {
  for (const full_tensor<T>& tensor : tensors) {
    if (trains_whole(config, tensor.name(), is_adapted)) continue;
    const std::string_view module = module_of(tensor.name());
    if (!tensor.name().ends_with(".bias")) config.modules_to_save.emplace_back(module);
    else
      config.bias =
          is_adapted(module) && config.bias == bias_training::none ? bias_training::adapted : bias_training::all;
  }
}

}  // namespace sbora::inline SBORA_ABI::detail
