#pragma once

#include <sstream>

#include <ATen/ATen.h>

#include <sbora/plugs/plugged_matrix.hpp>

/// PyTorch's tensors as sbora's calls take them, in place.
namespace sbora::inline SBORA_ABI::detail {

/// What a tensor is, for errors: "CPUFloatType [4, 3] with strides [3, 1]".
SBORA_COLD inline std::string torch_text(const at::Tensor& tensor) {
  std::ostringstream text;
  text << tensor.toString() << " " << tensor.sizes();
  if (tensor.layout() == at::kStrided) text << " with strides " << tensor.strides();
  return text.str();
}

/// A tensor of two dimensions whose rows' elements lie side by side. Errors: shape_error, `who` comes first.
inline plugged_matrix torch_matrix(const char* who, const at::Tensor& tensor) {
  const bool fits = tensor.device().is_cpu() && tensor.layout() == at::kStrided && tensor.dim() == 2 &&
                    (tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16);
  if (!fits) {
    throw shape_error(std::string("sbora::torch_linear: ") + who + " is " + torch_text(tensor) +
                      ", expected rows of float or bfloat16 on the CPU");
  }
  return {const_cast<void*>(tensor.const_data_ptr()),
          tensor.scalar_type() == at::kFloat ? plugged_type::f32 : plugged_type::bf16, tensor.size(0), tensor.size(1),
          tensor.stride(0)};
}

/// A frozen weight. Errors: shape_error, also where it isn't contiguous.
inline plugged_matrix torch_weight(const at::Tensor& weight) {
  const plugged_matrix matrix = torch_matrix("the weight", weight);
  if (weight.is_contiguous()) return matrix;
  throw shape_error("sbora::torch_linear: the weight isn't contiguous, " + torch_text(weight) +
                    "; it is used in place, so make it contiguous first: weight.set_data(weight.contiguous())");
}

/// tokens × features of an activation of any dimensions: a view of it, or a copy where no one stride leads from each
/// token to the next, as of gradients that PyTorch expands.
inline at::Tensor torch_rows(const at::Tensor& activation) {
  if (activation.dim() == 0) {
    throw shape_error("sbora::torch_linear: expected tokens of features, got a tensor without dimensions");
  }
  const at::Tensor rows = activation.dim() == 2 ? activation : activation.reshape({-1, activation.size(-1)});
  const bool in_place = rows.stride(1) == 1 && (rows.stride(0) >= rows.size(1) || rows.size(0) < 2);
  return in_place ? rows : rows.contiguous();
}

/// New memory of an activation's tokens with other features.
inline at::Tensor torch_result(const at::Tensor& activation, index_t features) {
  std::vector<std::int64_t> sizes = activation.sizes().vec();
  sizes.back() = features;
  return at::empty(sizes, activation.options().memory_format(at::MemoryFormat::Contiguous));
}

}  // namespace sbora::inline SBORA_ABI::detail
