#pragma once

#include <sbora/io/checkpoint/checkpoint_weights.hpp>
#include <sbora/model/name_lists.hpp>

namespace sbora::inline SBORA_ABI {

/// The modules of a base for its ledger: checkpoint_weights' without those that are parts of others, so that no element
/// has two owners under two names.
///
/// Effect      an expert whose gate, up and down have tensors of their own is these tensors' modules, and no
///             gate_up_proj[N] of a stack; one in a stack's tensor is NAME[N].
/// Errors      as checkpoint_weights.
inline std::vector<model_module> ledger_modules(const checkpoint& base) {
  std::vector<model_module> modules = checkpoint_weights(base).modules();
  for (const expert_stack& stack : expert_stacks(base)) {
    if (stack.pieces == 0) continue;
    std::erase_if(modules, [&](const model_module& module) {
      const auto member = detail::parse_stack_member(module.name);
      return member && member->first == stack.name;
    });
  }
  return modules;
}

}  // namespace sbora::inline SBORA_ABI
