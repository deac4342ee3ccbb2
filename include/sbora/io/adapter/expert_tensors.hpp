#pragma once

#include <deque>

#include <sbora/io/adapter/adapter_tensors.hpp>

/// PEFT's LoRAs of parameters that are stacks of experts (target_parameters), and the parts that they are here, one
/// for each expert: `model.layers.0.mlp.experts.gate_up_proj[3]`.
///
/// A module's parameters are wrapped one around the other, in the order in which the module has them, so that of two
/// the first one's halves are MODULE.base_layer.lora_A and _B and the last one's MODULE.lora_A and _B. Of a stack of
/// experts × d_out × d_in, or experts × d_in × d_out, lora_A is (experts·r) × d_in, an expert's r rows together, and
/// lora_B d_out × (r·experts), where column j·experts + e is column j of expert e's.
namespace sbora::inline SBORA_ABI::detail {

inline constexpr std::string_view base_layer = ".base_layer";

/// The halves of an expert. B's columns lie apart, so they are copied.
template <class T>
module_tensors halves_of_expert(const module_tensors& stack, index_t expert, index_t experts,
                                std::deque<tensor_pool>& memory) {
  const index_t rank = stack.a->shape[0] / experts, d_in = stack.a->shape[1], d_out = stack.b->shape[0];
  const std::size_t bytes = stack.a->data.size() / static_cast<std::size_t>(experts);
  tensor_pool& pool = memory.emplace_back();
  const std::string number = "[" + std::to_string(expert) + "]";
  std::vector<T> all(static_cast<std::size_t>(stack.b->elements())), own(static_cast<std::size_t>(d_out * rank));
  copy_exactly<T>(*stack.b, std::span<T>(all));
  for (index_t o = 0; o < d_out; ++o) {
    for (index_t j = 0; j < rank; ++j) {
      own[static_cast<std::size_t>(o * rank + j)] =
          all[static_cast<std::size_t>(o * rank * experts + j * experts + expert)];
    }
  }
  pool.add_owned(stack.b->name + number, {d_out, rank}, std::move(own));
  pool.add_bytes(stack.a->name + number, stack.a->type, {rank, d_in},
                 stack.a->data.subspan(static_cast<std::size_t>(expert) * bytes, bytes));
  return {.a = &pool.tensors()[1], .b = &pool.tensors()[0]};
}

/// The stack that a file's halves of one parameter of `owner` are, among those that the config names and that are
/// free; empty, with the reason in `wrong`, where there is none or more than one. Their sizes tell them apart where the
/// model's modules are given.
inline std::string stack_of_halves(const std::string& owner, const module_tensors& halves, const adapter_config& config,
                                   std::span<const model_module> modules, std::vector<std::string>& taken,
                                   std::string& wrong) {
  std::vector<std::string> fitting;
  const auto has = [&](const std::string& name) {
    const auto found = std::ranges::find(modules, name, &model_module::name);
    return found != modules.end() && found->d_out == halves.b->shape[0] && found->d_in == halves.a->shape[1];
  };
  for (const std::string& target : config.target_parameters) {
    const std::size_t parent = module_of(target).size();
    const std::string name = owner + "." + (parent < target.size() ? target.substr(parent + 1) : target);
    if (!is_name_or_suffix(name, target) || std::ranges::find(taken, name) != taken.end()) continue;
    const bool is_layer = !module_of_weight(name).empty() && has(owner);
    if (!modules.empty() && !is_layer && !has(stack_member(name, 0))) continue;
    fitting.push_back(name);
  }
  if (fitting.size() == 1) return taken.emplace_back(fitting.front());
  wrong = fitting.empty() ? "is of none of the target_parameters that the model has with these sizes"
                          : "may be of '" + fitting[0] + "' or '" + fitting[1] + "'; give the model's modules";
  return {};
}

/// Puts the experts in the place of modules whose parameters a LoRA has.
/// Errors: added to the problems.
template <class T>
void split_experts(std::map<std::string, module_tensors>& found, const adapter_config& config,
                   const target_rules& rules, std::span<const model_module> modules, problem_list& problems,
                   std::deque<tensor_pool>& memory) {
  if (config.target_parameters.empty()) return;
  std::map<std::string, module_tensors> experts;
  std::map<std::string, std::vector<std::string>> taken;
  for (auto at = found.begin(); at != found.end();) {
    std::string owner = at->first;
    while (owner.ends_with(base_layer)) owner.erase(owner.size() - base_layer.size());
    const module_tensors& halves = at->second;
    const bool is_parameter = std::ranges::any_of(config.target_parameters, [&](const std::string& target) {
      const std::string_view parent = module_of(target);
      if (parent.size() < target.size()) return is_name_or_suffix(owner, parent);
      if (modules.empty()) return !rules.matches(owner);
      return std::ranges::find(modules, owner + "." + target + "[0]", &model_module::name) != modules.end();
    });
    const bool whole = halves.a != nullptr && halves.b != nullptr && !halves.of_embedding &&
                       halves.a->shape.size() == 2 && halves.b->shape.size() == 2 && is_exact_type<T>(halves.a->type) &&
                       is_exact_type<T>(halves.b->type) && halves.a->shape[0] == halves.b->shape[1];
    if (!is_parameter || !whole) {
      ++at;
      continue;
    }
    std::string wrong;
    const std::string stack = stack_of_halves(owner, halves, config, modules, taken[owner], wrong);
    const index_t rows = halves.a->shape[0], rank = stack.empty() ? 1 : rules.rank_of(stack);
    if (wrong.empty() && (rows == 0 || rows % rank != 0)) {
      wrong = "is " + shape_text(halves.a->shape) + ", the config says rank " + std::to_string(rank) +
              ": expected as many rows for each expert";
    }
    if (!wrong.empty()) {
      problems.refuse_or_skip("tensor '" + shortened(halves.a->name) + "' " + wrong);
    } else if (rows == rank && stack.ends_with(".weight")) {  // of a linear layer
      experts.emplace(stack.substr(0, module_of(stack).size()), halves);
    } else {
      for (index_t e = 0; e < rows / rank; ++e) {
        experts.emplace(stack_member(stack, e), halves_of_expert<T>(halves, e, rows / rank, memory));
      }
    }
    at = found.erase(at);
  }
  found.merge(experts);
}

/// The parts of a stack, in the order of the experts.
template <class T>
using expert_parts = std::vector<std::pair<index_t, weight_delta<T>>>;

/// A stack's parts as PEFT's two halves. Errors: config_error where PEFT can't say them: experts without a part, or of
/// different ranks or scales.
template <class T>
std::pair<std::vector<T>, std::vector<T>> halves_of_stack(const std::string& stack, const expert_parts<T>& parts) {
  const weight_delta<T>& first = parts.front().second;
  const index_t experts = std::ssize(parts), rank = first.rank(), d_in = first.d_in, d_out = first.d_out;
  for (index_t e = 0; e < experts; ++e) {
    const auto& [number, part] = parts[static_cast<std::size_t>(e)];
    if (number == e && part.rank() == rank && part.scale == first.scale && part.d_out == d_out && part.d_in == d_in) {
      continue;
    }
    throw config_error("sbora::save_peft_lora: '" + stack_member(stack, e) +
                       "': PEFT has one rank and one scale for all experts of a stack, and an update for each; "
                       "save_sbora keeps what there is");
  }
  std::vector<T> a(static_cast<std::size_t>(experts * rank * d_in)),
      b(static_cast<std::size_t>(d_out * rank * experts));
  for (index_t e = 0; e < experts; ++e) {
    const weight_delta<T>& part = parts[static_cast<std::size_t>(e)].second;
    const auto a_at = [&](index_t j, index_t i) -> T& {
      return a[static_cast<std::size_t>((e * rank + j) * d_in + i)];
    };
    const auto b_at = [&](index_t o, index_t j) -> T& {
      return b[static_cast<std::size_t>(o * rank * experts + j * experts + e)];
    };
    for (index_t j = 0; j < rank; ++j) {
      const index_t hot = part.target->indices()[static_cast<std::size_t>(j)];
      if (trains_b(part.kind)) {
        a_at(j, hot) = T{1};
        for (index_t o = 0; o < d_out; ++o) b_at(o, j) = part.parameters[o * rank + j];
      } else {
        b_at(hot, j) = T{1};
        for (index_t i = 0; i < d_in; ++i) a_at(j, i) = part.parameters[j * d_in + i];
      }
    }
  }
  return {std::move(a), std::move(b)};
}

}  // namespace sbora::inline SBORA_ABI::detail
