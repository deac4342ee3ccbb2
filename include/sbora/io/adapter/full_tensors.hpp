#pragma once

#include <sbora/io/adapter/token_tensors.hpp>
#include <sbora/model/full_tensor_rules.hpp>

/// The full tensors of adapter files: in PEFT's NAME.weight of a module that is saved, NAME.base_layer.bias of one that
/// is adapted, and NAME.bias of others; NAME.bias in official files. A whole state has the first as
/// NAME.modules_to_save.ADAPTER.weight.
namespace sbora::inline SBORA_ABI::detail {

/// The name in the model; empty where it is PEFT's own.
inline std::string full_tensor_name(std::string_view name) {
  std::string kept;
  bool is_adapters_name = false;
  for (std::string_view rest = name; !rest.empty();) {
    const std::size_t dot = std::min(rest.find('.'), rest.size());
    const std::string_view part = rest.substr(0, dot);
    rest.remove_prefix(std::min(dot + 1, rest.size()));
    if (part == "original_module" || part.starts_with("lora_")) return {};
    const bool is_saved = part == "modules_to_save";
    if (!is_saved && !is_adapters_name && part != "base_layer") kept.append(kept.empty() ? "" : ".").append(part);
    is_adapters_name = is_saved;
  }
  return kept;
}

/// Whether a tensor is a head's that is tied to an embedding which has the same in the file, by ensure_weight_tying,
/// and the model has no such head.
inline bool is_tied_copy(const tensor_view& tensor, std::string_view name,
                         std::span<const std::pair<std::string, const tensor_view*>> others,
                         std::span<const model_module> modules, const adapter_config& config) {
  const std::string_view module = module_of_weight(name);
  if (!config.ensure_weight_tying || module.empty() || is_embedding_name(module)) return false;
  if (names_of(modules).contains(module)) return false;
  return std::any_of(others.begin(), others.end(), [&](const auto& other) {
    return is_embedding_name(module_of_weight(full_tensor_name(other.first))) && same_values(*other.second, tensor);
  });
}

/// Whether it is the weight of an embedding or a head that has an adapter: PEFT's save_embedding_layers adds it,
/// frozen.
inline bool is_base_of_embedding(std::string_view name, const std::map<std::string, module_tensors>& adapted) {
  const std::string_view module = module_of_weight(name);
  return adapted.count(std::string(module)) > 0 && (is_embedding_name(module) || is_name_or_suffix(module, "lm_head"));
}

/// Those of an adapter file's tensors that are no halves, by name.
///
/// Errors      added to the problems: tensors that the config doesn't choose, or two for one place, but not copies that
///             are tied; types other than F32, F16, BF16 (F64 for double); modules_to_save of which nothing is there.
///             SEQ_CLS of PEFT names modules that some models have and others don't, so one of them is enough.
template <class T>
std::map<std::string, const tensor_view*> read_full_tensors(
    std::span<const std::pair<std::string, const tensor_view*>> others,
    const std::map<std::string, module_tensors>& adapted, std::span<const model_module> modules,
    const adapter_config& config, problem_list& problems) {
  const auto is_adapted = [&](std::string_view module) { return adapted.count(std::string(module)) > 0; };
  std::map<std::string, const tensor_view*> chosen;
  adapter_config saves = config;
  saves.bias = bias_training::none;
  bool is_saved = false;
  for (const auto& [stored, tensor] : others) {
    const std::string quoted = "'" + shortened(tensor->name) + "'";
    const std::string name = full_tensor_name(stored);
    if (is_tied_copy(*tensor, name, others, modules, config)) continue;
    if (is_base_of_embedding(name, adapted)) {
      problems.skip("tensor " + quoted + " is the base's own, which PEFT saves beside adapters of embeddings");
      continue;
    }
    if (name.empty() || name.size() > largest_module_name || is_adapted(module_of_weight(name)) ||
        !trains_whole(config, name, is_adapted)) {
      problems.refuse_or_skip("unexpected tensor " + quoted);
      continue;
    }
    is_saved = is_saved || trains_whole(saves, name, is_adapted);
    if (!is_exact_type<T>(tensor->type)) {
      problems.refuse_or_skip("tensor " + quoted + " is " + type_and_shape(*tensor) + ", expected F32, F16 or BF16");
    } else if (const auto [at, added] = chosen.emplace(name, tensor); !added) {
      problems.add("tensors '" + at->second->name + "' and " + quoted + " are for one place");
    }
  }
  if (!config.modules_to_save.empty() && !is_saved) {
    problems.refuse_or_skip("modules_to_save: no tensor of '" + config.modules_to_save.front() + "'" +
                            (config.modules_to_save.size() > 1 ? " or the others" : ""));
  }
  return chosen;
}

/// As files have it. PEFT has an adapted module's own tensors in base_layer.
template <class T>
std::string full_tensor_key(const model_adapter<T>& adapter, const std::string& name, bool peft) {
  const std::string module(module_of(name));
  const bool is_inside = peft && module.size() < name.size() && adapter.has(module);
  return std::string(peft_prefix) + (is_inside ? module + ".base_layer" + name.substr(module.size()) : name);
}

/// A config to be written with an adapter says all of its full tensors.
template <class T>
adapter_config with_full_tensors(adapter_config config, const model_adapter<T>& adapter) {
  train_whole(config, adapter.full_tensors(), [&](std::string_view module) { return adapter.has(module); });
  return config;
}

}  // namespace sbora::inline SBORA_ABI::detail
