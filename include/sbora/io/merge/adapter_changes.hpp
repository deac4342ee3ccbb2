#pragma once

#include <sbora/io/checkpoint/expert_stacks.hpp>
#include <sbora/io/merge/weight_change.hpp>
#include <sbora/model/model_adapter.hpp>
#include <sbora/model/problem_list.hpp>

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

/// The same for a model with stacks of experts: a part NAME[e] goes into slice e of the stack's tensor, or into the
/// tensors that have the expert's rows. Errors: checkpoint_error where the model has no such stack.
inline weight_changes adapter_changes(const model_adapter<float>& adapter, const checkpoint& base) {
  weight_changes changes = adapter_changes(adapter);
  std::map<std::string, expert_stack, std::less<>> stacks;
  for (expert_stack& stack : expert_stacks(base)) stacks.emplace(stack.name, std::move(stack));
  detail::problem_list problems;
  for (const std::string& module : adapter.modules()) {
    const auto member = detail::parse_stack_member(module);
    if (!member) continue;
    changes.erase(module + ".weight");
    const auto [name, expert] = *member;
    const auto at = stacks.find(name);
    if (at == stacks.end() || expert >= at->second.experts) {
      problems.add("no stack of experts '" + std::string(name) + "' that has number " + std::to_string(expert));
      continue;
    }
    const expert_stack& stack = at->second;
    const weight_delta<float> delta = adapter.delta(module);
    if (stack.pieces == 0) {
      weight_change& change = changes[stack.tensors[0]];
      change.order = stack.order;
      change.parts.push_back({.deltas = {delta}, .slice = expert});
      continue;
    }
    index_t first = 0;
    for (index_t piece = 0; piece < stack.pieces; ++piece) {
      const std::string& tensor = stack.tensors[static_cast<std::size_t>(expert * stack.pieces + piece)];
      const weight_part whole = {{-first, delta.d_out - first}, {0, delta.d_in}};
      changes[tensor].parts.push_back({.deltas = {delta}, .part = whole, .reaches_out = true});
      first += base.at(tensor).shape[0];
    }
  }
  problems.throw_if_any("merging into a checkpoint", "give the base that the adapter was trained on");
  return changes;
}
weight_changes adapter_changes(model_adapter<float>&&, const checkpoint&) = delete;  // would dangle: name the adapter

}  // namespace sbora::inline SBORA_ABI
