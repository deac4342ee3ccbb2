#pragma once

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include <sbora/io/checkpoint/expert_stacks.hpp>
#include <sbora/model/name_lists.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Names of an expert's three projections where each has a tensor of its own, and where the experts are.
struct projection_names {
  std::string_view owner, gate, up, down;
};
inline constexpr projection_names projections_apart[] = {{"mlp", "gate_proj", "up_proj", "down_proj"},
                                                         {"block_sparse_moe", "w1", "w3", "w2"}};
inline constexpr std::string_view experts_name = ".experts", gate_up_name = "gate_up_proj", down_name = "down_proj";

/// One expert's tensors, by what the projections are called.
using expert_tensors = std::map<std::string, const tensor_view*, std::less<>>;

/// Experts by the module that has them and their numbers: OWNER.experts.N.PROJECTION.weight.
inline std::map<std::string, std::map<index_t, expert_tensors>> experts_apart(std::span<const tensor_view> tensors) {
  std::map<std::string, std::map<index_t, expert_tensors>> found;
  for (const tensor_view& tensor : tensors) {
    const std::string_view projection = module_of_weight(tensor.name), expert = module_of(projection);
    const std::string_view owner = module_of(expert);
    if (!is_dense_dtype(tensor.type) || tensor.shape.size() != 2 || !owner.ends_with(experts_name) ||
        owner.size() == expert.size())
      continue;
    const std::string_view digits = expert.substr(owner.size() + 1);
    index_t number = 0;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (status != std::errc() || end != digits.data() + digits.size() || number < 0) continue;
    found[std::string(owner)][number][std::string(projection.substr(expert.size() + 1))] = &tensor;
  }
  return found;
}

/// A stack of these projections of experts 0, 1, ... of one shape each; nothing where one is missing or unlike.
inline std::optional<expert_stack> stack_of(std::string name, const std::map<index_t, expert_tensors>& experts,
                                            std::initializer_list<std::string_view> projections) {
  expert_stack stack = {std::move(name), std::ssize(experts), 0, 0, storage::out_by_in, std::ssize(projections), {}};
  index_t next = 0;
  for (const auto& [number, tensors] : experts) {
    if (number != next++) return std::nullopt;
    index_t rows = 0;
    for (const std::string_view projection : projections) {
      const auto at = tensors.find(projection);
      if (at == tensors.end()) return std::nullopt;
      const tensor_view& tensor = *at->second;
      if (stack.d_in != 0 && stack.d_in != tensor.shape[1]) return std::nullopt;
      stack.d_in = tensor.shape[1];
      rows += tensor.shape[0];
      stack.tensors.push_back(tensor.name);
    }
    if (stack.d_out != 0 && stack.d_out != rows) return std::nullopt;
    stack.d_out = rows;
  }
  if (stack.d_out < 1 || stack.d_in < 1) return std::nullopt;
  return stack;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF std::vector<expert_stack> expert_stacks(const checkpoint& model, storage alone) {
  std::vector<expert_stack> stacks;
  for (const tensor_view& tensor : model.tensors()) {
    const std::string_view owner = detail::module_of(tensor.name);
    if (!is_dense_dtype(tensor.type) || tensor.shape.size() != 3 ||
        !("." + std::string(owner)).ends_with(detail::experts_name))
      continue;
    if (tensor.shape[0] < 1 || tensor.shape[1] < 1 || tensor.shape[2] < 1) continue;
    if (tensor.name.ends_with("_scale") || tensor.name.ends_with("_scale_inv")) continue;  // of a stack in fp8
    storage order = alone;
    const tensor_view* const gate_up = model.find(std::string(owner) + "." + std::string(detail::gate_up_name));
    const tensor_view* const down = model.find(std::string(owner) + "." + std::string(detail::down_name));
    if (gate_up != nullptr && down != nullptr && gate_up->shape.size() == 3 && down->shape.size() == 3) {
      const auto &g = gate_up->shape, &d = down->shape;
      if (g[2] == d[1] && g[1] == 2 * d[2]) order = storage::out_by_in;
      else if (g[1] == d[2] && g[2] == 2 * d[1]) order = storage::in_by_out;
    }
    const bool straight = order == storage::out_by_in;
    stacks.push_back({tensor.name,
                      tensor.shape[0],
                      tensor.shape[straight ? 1 : 2],
                      tensor.shape[straight ? 2 : 1],
                      order,
                      0,
                      {tensor.name}});
  }
  // In a file down_proj comes first, by its name; in models last, which is what PEFT goes by.
  std::ranges::stable_sort(stacks, {}, [](const expert_stack& stack) {
    const std::string_view owner = detail::module_of(stack.name);
    return std::pair(owner, stack.name.ends_with(detail::down_name));
  });
  for (const auto& [owner, experts] : detail::experts_apart(model.tensors())) {
    for (const detail::projection_names& names : detail::projections_apart) {
      const std::string_view parent = detail::module_of(owner);
      if (!detail::is_name_or_suffix(parent, names.owner)) continue;
      const std::string prefix = std::string(parent.substr(0, parent.size() - names.owner.size())) + "mlp.experts.";
      for (auto& stack : {detail::stack_of(prefix + std::string(detail::gate_up_name), experts, {names.gate, names.up}),
                          detail::stack_of(prefix + std::string(detail::down_name), experts, {names.down})}) {
        if (stack) stacks.push_back(*stack);
      }
    }
  }
  return stacks;
}

}  // namespace sbora::inline SBORA_ABI
