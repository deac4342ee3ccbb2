#pragma once

#include <deque>

#include <sbora/io/tensor.hpp>
#include <sbora/core/compiled_once.hpp>
#include <sbora/weights/four_bit_view.hpp>
#include <sbora/weights/int8_view.hpp>

namespace sbora::inline SBORA_ABI {

/// Quantised weights as the tensors of a bitsandbytes checkpoint, for write_safetensors.
///
/// Effect      tensors() are, for every weight that was added, codes, scales, code books and state under the names
///             and in the shapes that Linear4bit and Linear8bitLt save and load.
/// Requires    different names, each once; `original`, which PyTorch dequantises to, is f32, f16 or bf16: checked.
/// Lifetime    tensors point to the memory of the views, which has to stay, and to what this object owns, the
///             states' JSON.
/// Cost        no copy of codes or scales.
/// Thread      one call at a time.
/// Errors      config_error; quantization_error for a part of a weight's columns; before anything is added.
/// Source      as bitsandbytes_weights.
class bitsandbytes_writer {
 public:
  bitsandbytes_writer() = default;
  bitsandbytes_writer(const bitsandbytes_writer&) = delete;
  bitsandbytes_writer& operator=(const bitsandbytes_writer&) = delete;

  /// name: as "model.layers.0.mlp.up_proj.weight".
  SBORA_IN_IO_INSTANCES void add(const std::string& name, const four_bit_view& weight, dtype original = dtype::f32);

  /// name: "weight", or ends in ".weight": the scales are the module's SCB.
  SBORA_IN_IO_INSTANCES void add(const std::string& name, const int8_view& weight);

  const std::vector<tensor_view>& tensors() const& noexcept { return tensors_; }
  const std::vector<tensor_view>& tensors() const&& = delete;  // would dangle: name the object

 private:
  void check_name(const std::string& name) const;
  static void check_rows(const std::string& name, index_t stride, index_t d_in);
  template <class Scalar>
  void put(std::string name, std::span<const Scalar> values, std::vector<index_t> shape);
  template <class Scalar>
  void put(std::string name, std::span<const Scalar> values);

  std::vector<tensor_view> tensors_;
  std::deque<std::string> states_;
};

}  // namespace sbora::inline SBORA_ABI
