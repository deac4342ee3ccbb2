#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sbora/core/abi.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What PEFT puts in front of a model's names.
inline constexpr std::string_view peft_prefix = "base_model.model.";
/// What DataParallel, DistributedDataParallel and DeepSpeed put there.
inline constexpr std::string_view parallel_prefix = "module.";

/// A name without the parts between dots that torch.compile, FSDP and activation checkpointing put anywhere in it.
inline std::string without_wrapper_parts(std::string_view name) {
  constexpr std::string_view wrappers[] = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"};
  std::string kept;
  for (std::string_view rest = name;;) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const bool last = dot == std::string_view::npos;
    if (last || std::find(std::begin(wrappers), std::end(wrappers), part) == std::end(wrappers)) {
      kept.append(part);
      if (!last) kept += '.';
    }
    if (last) return kept;
    rest.remove_prefix(dot + 1);
  }
}

/// Whether all names that aren't empty had `prefix` and more, and are without it now.
inline bool drop_from_all(std::vector<std::string>& names, std::string_view prefix) {
  const auto has = [&](const std::string& name) { return name.size() > prefix.size() && name.starts_with(prefix); };
  const bool all = std::all_of(names.begin(), names.end(), [&](const auto& name) { return name.empty() || has(name); });
  if (!all || std::none_of(names.begin(), names.end(), has)) return false;
  for (std::string& name : names) name.erase(0, prefix.size());
  return true;
}

/// The names of a model's tensors without what wraps it while it is trained or saved.
///
/// Effect      Drops the parts `_orig_mod`, `_fsdp_wrapped_module` and `_checkpoint_wrapped_module` wherever they are,
///             and `module.` and `base_model.model.` where all names begin with them, as often as they do.
inline std::vector<std::string> without_wrappers(std::vector<std::string> names) {
  for (std::string& name : names) name = without_wrapper_parts(name);
  while (drop_from_all(names, parallel_prefix) || drop_from_all(names, peft_prefix)) {
  }
  return names;
}

/// The same for an adapter's tensors, whose modules may be called `module.x`: that is dropped in front of
/// `base_model.model.` only, or where no name has this. Where some have it, the others become empty: no adapter's.
inline std::vector<std::string> adapter_names_without_wrappers(std::vector<std::string> names) {
  bool prefixed = false;
  for (std::string& name : names) {
    name = without_wrapper_parts(name);
    std::size_t at = 0;
    while (std::string_view(name).substr(at).starts_with(parallel_prefix)) at += parallel_prefix.size();
    if (std::string_view(name).substr(at).starts_with(peft_prefix)) name.erase(0, at);
    prefixed = prefixed || name.starts_with(peft_prefix);
  }
  if (prefixed) {
    for (std::string& name : names) name.erase(0, name.starts_with(peft_prefix) ? peft_prefix.size() : name.size());
    while (drop_from_all(names, peft_prefix)) {
    }
  } else {
    while (drop_from_all(names, parallel_prefix)) {
    }
  }
  return names;
}

/// A tensor's name in an adapter file: MODULE.lora_A or .lora_B, with the adapter's name where the file is a model's
/// state and not what PEFT saves of it, and with .weight or, where it is indices, without. An embedding's are
/// lora_embedding_A and _B, and its trained tokens trainable_tokens_delta. PaCA's are paca_indices, which is A, and
/// paca_delta, which is B.
struct adapter_tensor_name {
  std::string module;
  bool is_a;
  bool dense;
  std::string adapter;        ///< empty as PEFT saves it
  bool of_embedding = false;  ///< dense, and the transpose of a linear layer's
  bool tokens = false;        ///< neither of A nor of B
  bool of_paca = false;
};

/// Endings of adapters' tensors.
inline constexpr std::string_view half_a = ".lora_A", half_b = ".lora_B", embedding_a = ".lora_embedding_A",
                                  embedding_b = ".lora_embedding_B", trained_tokens = ".trainable_tokens_delta",
                                  token_adapter = ".token_adapter", paca_indices = ".paca_indices",
                                  paca_delta = ".paca_delta";

/// `name` is without wrappers. Nothing where it is no LoRA's, SBoRA's or PaCA's.
inline std::optional<adapter_tensor_name> parse_adapter_tensor(std::string_view name) {
  adapter_tensor_name parsed{};
  constexpr std::string_view weight = ".weight";
  parsed.dense = name.ends_with(weight);
  if (parsed.dense) name.remove_suffix(weight.size());
  std::string_view ending;
  const auto has_ending = [&] {
    for (const std::string_view each :
         {half_a, half_b, embedding_a, embedding_b, trained_tokens, paca_indices, paca_delta}) {
      if (name.ends_with(each)) ending = each;
    }
    return !ending.empty();
  };
  if (!has_ending()) {
    const std::size_t dot = name.rfind('.');
    if (dot == std::string_view::npos) return std::nullopt;
    parsed.adapter = name.substr(dot + 1);
    name = name.substr(0, dot);
    const bool is_bias = !parsed.dense && parsed.adapter == "bias";
    if (parsed.adapter.empty() || is_bias || !has_ending()) return std::nullopt;
  }
  parsed.is_a = ending.back() == 'A' || ending == paca_indices;
  parsed.tokens = ending == trained_tokens;
  parsed.of_embedding = ending == embedding_a || ending == embedding_b;
  parsed.of_paca = ending == paca_indices || ending == paca_delta;
  const bool has_no_weight = parsed.tokens || parsed.of_embedding || parsed.of_paca;
  if (has_no_weight && std::exchange(parsed.dense, ending != paca_indices)) return std::nullopt;
  name.remove_suffix(ending.size());
  if (parsed.tokens && name.ends_with(token_adapter)) name.remove_suffix(token_adapter.size());
  parsed.module = name;
  return name.empty() ? std::nullopt : std::optional(parsed);
}

}  // namespace sbora::inline SBORA_ABI::detail
