#pragma once

#include <sbora/io/merge/weight_change.hpp>
#include <sbora/model/model_adapter.hpp>

namespace sbora::inline SBORA_ABI {

/// What merging a whole adapter changes in its model's files: its parts, with their scales and multipliers, and its
/// full tensors and tokens, which multipliers leave alone. Lifetime: refers to the adapter.
inline weight_changes adapter_changes(const model_adapter<float>& adapter) {
  const storage order = adapter.config().fan_in_fan_out ? storage::in_by_out : storage::out_by_in;
  weight_changes changes;
  for (const std::string& module : adapter.modules()) {
    const bool is_table = detail::is_embedding_name(module, adapter.config().embedding_modules);  // is never transposed
    changes[module + ".weight"] = {.deltas = {adapter.delta(module)}, .order = is_table ? storage::out_by_in : order};
  }
  for (const full_tensor<float>& tensor : adapter.full_tensors()) {
    changes[tensor.name()] = {.deltas = {}, .full = &tensor};
  }
  for (const table_tokens<float>& of : adapter.tokens()) {
    changes[of.module + ".weight"] = {.deltas = {}, .tokens = &of.tokens};
  }
  return changes;
}
weight_changes adapter_changes(model_adapter<float>&&) = delete;  // would dangle: name the adapter

}  // namespace sbora::inline SBORA_ABI
