#pragma once

#include <algorithm>
#include <string_view>

#include <sbora/adapters/full_tensor.hpp>
#include <sbora/model/adapter_config.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Whether a config trains a tensor of the model as a whole: see bias_training and modules_to_save.
template <class IsAdapted>
bool trains_whole(const adapter_config& config, std::string_view tensor, const IsAdapted& is_adapted) {
  std::string_view module = tensor.substr(0, std::min(tensor.rfind('.'), tensor.size()));
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
    const std::size_t dot = module.rfind('.');
    if (dot == std::string_view::npos) return false;
    module = module.substr(0, dot);
  }
}

/// Changes the config so that it trains all of these: no more is said of biases than it takes.
template <class T, class IsAdapted>
void train_whole(adapter_config& config, const std::vector<full_tensor<T>>& tensors, const IsAdapted& is_adapted) {
  for (const full_tensor<T>& tensor : tensors) {
    if (trains_whole(config, tensor.name, is_adapted)) continue;
    const std::string module = tensor.name.substr(0, std::min(tensor.name.rfind('.'), tensor.name.size()));
    if (!tensor.name.ends_with(".bias")) config.modules_to_save.push_back(module);
    else
      config.bias =
          is_adapted(module) && config.bias == bias_training::none ? bias_training::adapted : bias_training::all;
  }
}

}  // namespace sbora::inline SBORA_ABI::detail
