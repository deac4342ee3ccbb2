#pragma once

#include <algorithm>

#include <sbora/io/checkpoint/fp8_weights.hpp>
#include <sbora/model/name_lists.hpp>
#include <sbora/model/problem_list.hpp>

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF fp8_weights::fp8_weights(std::span<const tensor_view> tensors) {
  std::vector<const tensor_view*> by_name;
  for (const tensor_view& tensor : tensors) {
    if (tensor.name.ends_with(scale) || tensor.name.ends_with(scale_inverse)) by_name.push_back(&tensor);
  }
  std::ranges::sort(by_name, {}, &tensor_view::name);
  const auto find_scales = [&](const std::string& name) -> const tensor_view* {
    const auto at = std::ranges::lower_bound(by_name, name, {}, &tensor_view::name);
    return at != by_name.end() && (*at)->name == name ? *at : nullptr;
  };
  detail::problem_list problems;
  for (const tensor_view& tensor : tensors) {
    const bool is_stack = tensor.shape.size() == 3;
    const bool is_weight = tensor.shape.size() == 2 && tensor.name.ends_with("weight");
    if (tensor.type != dtype::f8_e4m3 || (!is_weight && !is_stack)) continue;
    const tensor_view* const plain = find_scales(tensor.name + "_scale");
    const tensor_view* const inverse = find_scales(tensor.name + "_scale_inv");
    if (plain != nullptr && inverse != nullptr) problems.add(tensor.name + ": has a _scale and a _scale_inv");
    else if (plain != nullptr || inverse != nullptr) {
      const tensor_view& scales_of = plain != nullptr ? *plain : *inverse;
      if (!is_stack) read(tensor, scales_of, problems);
      else read_stack(tensor, scales_of, problems);
    }
  }
  std::ranges::sort(weights_, {}, &std::pair<std::string, fp8_view>::first);
  problems.throw_if_any("the checkpoint's fp8 weights can't be read", "download or save it again");
}

SBORA_INSTANCE_OF const fp8_view* fp8_weights::find(std::string_view name) const& noexcept {
  const auto at = std::ranges::lower_bound(weights_, name, {}, &std::pair<std::string, fp8_view>::first);
  return at != weights_.end() && at->first == name ? &at->second : nullptr;
}

SBORA_INSTANCE_OF bool fp8_weights::is_part_of_weight(std::string_view name) const {
  for (const std::string_view end : {scale, scale_inverse}) {
    if (!name.ends_with(end)) continue;
    const std::string_view weight = name.substr(0, name.size() - end.size());
    if (find(weight) != nullptr || find(detail::stack_member(weight, 0)) != nullptr) return true;
  }
  return false;
}

SBORA_INSTANCE_OF void fp8_weights::read(const tensor_view& codes, const tensor_view& scales,
                                         detail::problem_list& problems) {
  const index_t d_out = codes.shape[0], d_in = codes.shape[1];
  if (d_out < 1 || d_in < 1) {
    problems.add(codes.name + ": " + detail::shape_text(codes.shape) + " has no elements");
    return;
  }
  const std::vector<index_t> blocks = {detail::ceil_div(d_out, 128), detail::ceil_div(d_in, 128)};
  fp8_scaling scaling;
  if (std::ranges::all_of(scales.shape, [](index_t size) { return size == 1; })) {
    scaling = fp8_scaling::tensor;
  } else if (scales.shape == std::vector{d_out} || scales.shape == std::vector<index_t>{d_out, 1}) {
    scaling = fp8_scaling::row;
  } else if (scales.shape == blocks) {
    scaling = fp8_scaling::block_128;
  } else {
    problems.add(scales.name + ": " + detail::shape_text(scales.shape) + ", expected one scale, " +
                 detail::shape_text(std::vector<index_t>{d_out, 1}) + " or, of blocks of 128 x 128, " +
                 detail::shape_text(blocks));
    return;
  }
  if (scales.type != dtype::f32 && scales.type != dtype::bf16) {
    problems.add(scales.name + ": " + to_string(scales.type) + ", expected F32 or BF16");
    return;
  }
  try {
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(codes.data.data()), codes.data.size());
    weights_.emplace_back(codes.name, fp8_view(bytes, floats_of(scales), d_out, d_in, scaling));
  } catch (const error& wrong) {
    problems.add(codes.name + ": " + wrong.what());
  }
}

/// Each with its scales, under the name of a member of the stack.
SBORA_INSTANCE_OF void fp8_weights::read_stack(const tensor_view& codes, const tensor_view& scales,
                                               detail::problem_list& problems) {
  if (scales.shape.size() != 3 || scales.shape[0] != codes.shape[0]) {
    problems.add(scales.name + ": " + detail::shape_text(scales.shape) + ", expected scales of " +
                 std::to_string(codes.shape[0]) + " weights, in three dimensions");
    return;
  }
  for (index_t i = 0; i < codes.shape[0]; ++i) read(codes.slice(i), scales.slice(i), problems);
}

SBORA_INSTANCE_OF std::span<const float> fp8_weights::floats_of(const tensor_view& scales) {
  if (scales.type == dtype::f32 && scales.is_aligned<float>()) return scales.values<float>();
  std::vector<float> floats;
  if (scales.type == dtype::f32) floats = scales.copy<float>();
  else
    for (const Eigen::bfloat16 value : scales.copy<Eigen::bfloat16>()) floats.push_back(static_cast<float>(value));
  return *copies_.emplace_back(std::make_shared<const std::vector<float>>(std::move(floats)));
}

}  // namespace sbora::inline SBORA_ABI
