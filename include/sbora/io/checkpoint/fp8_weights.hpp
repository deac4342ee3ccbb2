#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sbora/io/tensor.hpp>
#include <sbora/model/problem_list.hpp>
#include <sbora/weights/fp8_view.hpp>

namespace sbora::inline SBORA_ABI {

/// The 8-bit float weights of a checkpoint, in place: as DeepSeek-V3, compressed-tensors and vLLM keep them.
///
/// Effect      find() has a view of every tensor "….weight" of F8_E4M3 and two dimensions that has its scales beside
///             it, as "….weight_scale" or "….weight_scale_inv" (which are multiplied with, too): one, one for each
///             output ([d_out] or [d_out, 1]), or one for each 128 × 128 block. Other tensors are left alone.
/// Requires    scales of F32, or BF16, which become floats; finite; of one of those shapes.
/// Lifetime    views point to the tensors' memory, which has to outlive them, and to this or a copy of it.
/// Cost        one pass over names and scales. Copies scales that are BF16 or don't lie at a multiple of 4 bytes.
/// Thread      immutable.
/// Errors      checkpoint_error with everything that is wrong, of all weights.
/// Source      transformers finegrained_fp8.py; compressed-tensors naive and float quantisation.
class fp8_weights {
 public:
  /// tensors: of a safetensors_file or a checkpoint.
  explicit fp8_weights(std::span<const tensor_view> tensors) {
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
      if (tensor.type != dtype::f8_e4m3 || tensor.shape.size() != 2 || !tensor.name.ends_with("weight")) continue;
      const tensor_view* const plain = find_scales(tensor.name + "_scale");
      const tensor_view* const inverse = find_scales(tensor.name + "_scale_inv");
      if (plain != nullptr && inverse != nullptr) problems.add(tensor.name + ": has a _scale and a _scale_inv");
      else if (plain != nullptr || inverse != nullptr) read(tensor, plain != nullptr ? *plain : *inverse, problems);
    }
    std::ranges::sort(weights_, {}, &std::pair<std::string, fp8_view>::first);
    problems.throw_if_any("the checkpoint's fp8 weights can't be read");
  }

  /// Of a weight's name; null where it isn't one of fp8.
  const fp8_view* find(std::string_view name) const noexcept {
    const auto at = std::ranges::lower_bound(weights_, name, {}, &std::pair<std::string, fp8_view>::first);
    return at != weights_.end() && at->first == name ? &at->second : nullptr;
  }
  /// Names and views, in the order of the names.
  std::span<const std::pair<std::string, fp8_view>> all() const& noexcept { return weights_; }

 private:
  static constexpr std::string_view scale = "weight_scale", scale_inverse = "weight_scale_inv";

  void read(const tensor_view& codes, const tensor_view& scales, detail::problem_list& problems) {
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

  std::span<const float> floats_of(const tensor_view& scales) {
    if (scales.type == dtype::f32 && scales.is_aligned<float>()) return scales.values<float>();
    std::vector<float> floats;
    if (scales.type == dtype::f32) floats = scales.copy<float>();
    else
      for (const Eigen::bfloat16 value : scales.copy<Eigen::bfloat16>()) floats.push_back(static_cast<float>(value));
    return *copies_.emplace_back(std::make_shared<const std::vector<float>>(std::move(floats)));
  }

  std::vector<std::pair<std::string, fp8_view>> weights_;
  std::vector<std::shared_ptr<const std::vector<float>>> copies_;
};

}  // namespace sbora::inline SBORA_ABI
