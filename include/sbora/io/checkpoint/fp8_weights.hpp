#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sbora/core/compiled_once.hpp>
#include <sbora/io/tensor.hpp>
#include <sbora/weights/fp8_view.hpp>

namespace sbora::inline SBORA_ABI::detail {
class problem_list;
}

namespace sbora::inline SBORA_ABI {

/// The 8-bit float weights of a checkpoint, in place: as DeepSeek-V3, compressed-tensors and vLLM keep them.
///
/// Effect      find() has a view of every tensor "….weight" of F8_E4M3 and two dimensions that has its scales beside
///             it, as "….weight_scale" or "….weight_scale_inv" (which are multiplied with, too): one, one for each
///             output ([d_out] or [d_out, 1]), or one for each 128 × 128 block. Of a stack of three dimensions, each
///             weight NAME[i] is one, its scales slice i of theirs. Other tensors are left alone.
/// Requires    scales of F32, or BF16, which become floats; finite; of one of those shapes.
/// Lifetime    views point to the tensors' memory, which has to outlive them, and to this or a copy of it.
/// Cost        one pass over names and scales. Copies scales that are BF16 or don't lie at a multiple of 4 bytes.
/// Thread      immutable.
/// Errors      checkpoint_error with everything that is wrong, of all weights.
/// Source      transformers finegrained_fp8.py; compressed-tensors naive and float quantisation.
class fp8_weights {
 public:
  /// tensors: of a safetensors_file or a checkpoint.
  SBORA_IN_IO_INSTANCES explicit fp8_weights(std::span<const tensor_view> tensors);

  /// Of a weight's name; null where it isn't one of fp8.
  SBORA_IN_IO_INSTANCES const fp8_view* find(std::string_view name) const& noexcept;
  const fp8_view* find(std::string_view name) const&& = delete;  // would dangle: name the object
  /// Whether a tensor is the scales of one of these weights.
  SBORA_IN_IO_INSTANCES bool is_part_of_weight(std::string_view name) const;
  /// Names and views, in the order of the names.
  std::span<const std::pair<std::string, fp8_view>> all() const& noexcept { return weights_; }
  std::span<const std::pair<std::string, fp8_view>> all() const&& = delete;  // would dangle: name the object

 private:
  static constexpr std::string_view scale = "_scale", scale_inverse = "_scale_inv";

  SBORA_IN_IO_INSTANCES void read(const tensor_view& codes, const tensor_view& scales, detail::problem_list& problems);
  SBORA_IN_IO_INSTANCES void read_stack(const tensor_view& codes, const tensor_view& scales,
                                        detail::problem_list& problems);
  SBORA_IN_IO_INSTANCES std::span<const float> floats_of(const tensor_view& scales);

  std::vector<std::pair<std::string, fp8_view>> weights_;
  std::vector<std::shared_ptr<const std::vector<float>>> copies_;
};

}  // namespace sbora::inline SBORA_ABI
