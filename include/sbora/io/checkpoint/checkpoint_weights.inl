#pragma once

#include <sbora/io/bitsandbytes/quantised_names.hpp>
#include <sbora/io/checkpoint/checkpoint_weights.hpp>
#include <sbora/model/name_lists.hpp>
#include <sbora/model/problem_list.hpp>

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF std::vector<model_module> checkpoint_weights::modules() const {
  std::vector<model_module> found;
  for (const tensor_view& tensor : model_->tensors()) {
    const std::string_view module = detail::module_of_weight(tensor.name);
    if (module.empty()) continue;
    if (const auto size = size_of(tensor)) found.push_back({std::string(module), size->first, size->second});
  }
  const auto add = [&](const std::string& stack, index_t experts, index_t d_out, index_t d_in) {
    for (index_t e = 0; e < experts; ++e) found.push_back({detail::stack_member(stack, e), d_out, d_in});
  };
  for (const expert_stack& stack : stacks_) add(stack.name, stack.experts, stack.d_out, stack.d_in);
  for (const auto& of : codes_.four_bit()) {
    if (of.experts > 0) add(of.name, of.experts, of.weight.d_out() / of.experts, of.weight.d_in());
  }
  for (const auto& [name, view] : fp8_.all()) {
    if (detail::parse_stack_member(name)) found.push_back({name, view.d_out(), view.d_in()});
  }
  return found;
}

SBORA_INSTANCE_OF std::optional<model_module> checkpoint_weights::find(std::string_view module) const {
  if (detail::parse_stack_member(module)) {
    for (model_module& each : modules()) {
      if (each.name == module) return std::move(each);
    }
    return std::nullopt;
  }
  const tensor_view* const tensor = model_->find(std::string(module) + std::string(ending));
  const auto size = tensor != nullptr ? size_of(*tensor) : std::nullopt;
  if (!size) return std::nullopt;
  return model_module{std::string(module), size->first, size->second};
}

SBORA_INSTANCE_OF bool checkpoint_weights::is_part_of_weight(std::string_view tensor) const {
  return codes_.is_part_of_weight(tensor) || fp8_.is_part_of_weight(tensor);
}

SBORA_INSTANCE_OF std::optional<std::pair<index_t, index_t>> checkpoint_weights::size_of(
    const tensor_view& tensor) const {
  if (const four_bit_view* const codes = codes_.find_four_bit(tensor.name)) return {{codes->d_out(), codes->d_in()}};
  if (const int8_view* const codes = codes_.find_int8(tensor.name)) return {{codes->d_out(), codes->d_in()}};
  if (const fp8_view* const codes = fp8_.find(tensor.name)) return {{codes->d_out(), codes->d_in()}};
  if (!is_dense_dtype(tensor.type) || tensor.shape.size() != 2) return std::nullopt;
  return {{tensor.shape[transposed_ ? 1 : 0], tensor.shape[transposed_ ? 0 : 1]}};
}

SBORA_INSTANCE_OF void checkpoint_weights::refuse(const std::string& name, const tensor_view* tensor) const {
  const std::string codes = detail::quantised_as(*model_, name);
  std::string what = "no tensor '" + name + "'";
  if (!codes.empty()) {
    what = "'" + name + "' is there as " + codes + ", which sbora doesn't read; give the model that was quantised";
  } else if (tensor != nullptr) {
    what = "tensor '" + name + "' is " + to_string(tensor->type) + " " + detail::shape_text(tensor->shape) +
           ", expected F32, F16 or BF16 of two dimensions";
  }
  throw checkpoint_error("the base model's weights; give the model that the adapter was trained on", {what});
}

SBORA_INSTANCE_OF any_weight checkpoint_weights::weight(std::string_view module) const {
  if (const auto member = detail::parse_stack_member(module)) return weight_of_expert(member->first, member->second);
  const std::string name = std::string(module) + std::string(ending);
  if (const four_bit_view* const codes = codes_.find_four_bit(name)) return *codes;
  if (const int8_view* const codes = codes_.find_int8(name)) return *codes;
  if (const fp8_view* const codes = fp8_.find(name)) return *codes;
  const tensor_view* const tensor = model_->find(name);
  const auto size = tensor != nullptr ? size_of(*tensor) : std::nullopt;
  if (!size) refuse(name, tensor);
  return weight_in(*tensor, size->first, size->second, transposed_ ? storage::in_by_out : storage::out_by_in);
}

SBORA_INSTANCE_OF std::vector<any_weight> checkpoint_weights::pieces(std::string_view module) const {
  std::vector<any_weight> found;
  if (const auto member = detail::parse_stack_member(module)) {
    for (const std::string& tensor : tensors_of_expert(member->first, member->second)) {
      found.push_back(weight(detail::module_of(tensor)));
    }
  }
  if (found.empty()) found.push_back(weight(module));
  return found;
}

SBORA_INSTANCE_OF std::span<const std::string> checkpoint_weights::tensors_of_expert(std::string_view stack,
                                                                                     index_t expert) const {
  const auto at = std::ranges::find(stacks_, stack, &expert_stack::name);
  if (at == stacks_.end() || expert >= at->experts) return {};
  return std::span(at->tensors)
      .subspan(static_cast<std::size_t>(at->pieces > 0 ? expert * at->pieces : 0),
               static_cast<std::size_t>(at->pieces));
}

SBORA_INSTANCE_OF any_weight checkpoint_weights::weight_in(const tensor_view& tensor, index_t d_out, index_t d_in,
                                                           storage order) const {
  const auto dense = [&]<class Scalar>(Scalar) -> any_weight {
    std::shared_ptr<const std::vector<Scalar>> copy;
    if (!tensor.is_aligned<Scalar>()) copy = std::make_shared<const std::vector<Scalar>>(tensor.copy<Scalar>());
    return {weight_view<const Scalar>(copy ? copy->data() : tensor.values<Scalar>().data(), d_out, d_in, 0, order),
            copy};
  };
  return *visit_dense_dtype(tensor.type, dense);
}

SBORA_INSTANCE_OF any_weight checkpoint_weights::weight_of_expert(std::string_view stack, index_t expert) const {
  const std::string name = detail::stack_member(stack, expert);
  if (const fp8_view* const codes = fp8_.find(name)) return *codes;
  for (const auto& of : codes_.four_bit()) {
    if (of.name != stack || expert >= of.experts) continue;
    const index_t d_out = of.weight.d_out() / of.experts;
    return rows_of(of.weight, {expert * d_out, (expert + 1) * d_out});
  }
  const auto at = std::ranges::find(stacks_, stack, &expert_stack::name);
  if (at == stacks_.end() || expert >= at->experts) refuse(name, nullptr);
  const std::span<const std::string> tensors = tensors_of_expert(stack, expert);
  if (tensors.size() == 1) return weight(detail::module_of(tensors[0]));
  if (!tensors.empty()) {
    throw checkpoint_error("the base model's weights; take those modules",
                           {"the rows of '" + name + "' are in '" + tensors[0] + "' and '" + tensors[1] + "'"});
  }
  return weight_in(model_->at(at->tensors[0]).slice(expert), at->d_out, at->d_in, at->order);
}

}  // namespace sbora::inline SBORA_ABI
