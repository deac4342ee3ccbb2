#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sbora/io/tensor.hpp>
#include <sbora/core/compiled_once.hpp>
#include <sbora/weights/four_bit_view.hpp>
#include <sbora/weights/int8_view.hpp>

namespace sbora::inline SBORA_ABI {

/// The quantised weights of a bitsandbytes checkpoint, in place: 4 bits (NF4 and FP4, with nested scales or without)
/// and LLM.int8.
///
/// Effect      four_bit() and int8() have a view of every weight that has a quantisation state beside it, under the
///             weight's name, such as "model.layers.0.mlp.up_proj.weight". Other tensors are left alone.
/// Requires    every state whole and of one kind, sizes that fit, finite scales, and the code book that kernels have
///             (checkpoints bring one along); int8 by rows. Codes of 4 bits may be stored as any dtype
///             (quant_storage): their bytes count.
/// Lifetime    views point to the tensors' memory, which has to outlive them, and to this or a copy of it.
/// Cost        one pass over names and scales. Copies nothing but scales that don't lie at a multiple of 4 bytes.
/// Thread      immutable.
/// Errors      checkpoint_error with everything that is wrong, of all weights.
/// Source      bitsandbytes functional.py QuantState, nn/modules.py Linear4bit and Linear8bitLt.
class bitsandbytes_weights {
 public:
  struct four_bit_entry {
    std::string name;
    four_bit_view weight;
    dtype original;       ///< what was quantised
    index_t experts = 0;  ///< of a stack, whose weights are one of all their rows here; 0: a matrix
  };
  struct int8_entry {
    std::string name;
    int8_view weight;
  };

  /// tensors: of a safetensors_file or a checkpoint.
  SBORA_IN_IO_INSTANCES explicit bitsandbytes_weights(std::span<const tensor_view> tensors);

  /// In the order of their names.
  std::span<const four_bit_entry> four_bit() const& noexcept { return four_bit_; }
  std::span<const four_bit_entry> four_bit() const&& = delete;  // would dangle: name the object
  std::span<const int8_entry> int8() const& noexcept { return int8_; }
  std::span<const int8_entry> int8() const&& = delete;  // would dangle: name the object

  /// Whether a tensor is the scales or another part of one of these weights, and not its codes.
  SBORA_IN_IO_INSTANCES bool is_part_of_weight(std::string_view name) const;

  /// Null where there is none of that name.
  SBORA_IN_IO_INSTANCES const four_bit_view* find_four_bit(std::string_view name) const& noexcept;
  const four_bit_view* find_four_bit(std::string_view name) const&& = delete;  // would dangle: name the object
  SBORA_IN_IO_INSTANCES const int8_view* find_int8(std::string_view name) const& noexcept;
  const int8_view* find_int8(std::string_view name) const&& = delete;  // would dangle: name the object

 private:
  std::vector<four_bit_entry> four_bit_;
  std::vector<int8_entry> int8_;
  std::vector<std::shared_ptr<const std::vector<float>>> copies_;  // copies of this have the same views
};

}  // namespace sbora::inline SBORA_ABI
