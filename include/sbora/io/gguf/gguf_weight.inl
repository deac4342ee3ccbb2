#pragma once

#include <sbora/io/errors.hpp>
#include <sbora/io/gguf/gguf_weight.hpp>
#include <sbora/io/limits.hpp>
#include <sbora/io/tensor.hpp>

namespace sbora::inline SBORA_ABI::detail {

[[noreturn]] inline void refuse_gguf_weight(const gguf_tensor& tensor, const char* expected) {
  throw checkpoint_error("a weight of a GGUF file",
                         {"tensor '" + shortened(tensor.name) + "' is " + to_string(tensor.type) + " " +
                          shape_text(tensor.shape) + ", expected " + expected});
}

inline any_weight gguf_weight_in(const gguf_tensor& tensor, std::span<const std::byte> data, index_t d_out,
                                 index_t d_in) {
  const auto dense = [&]<class Scalar>(Scalar) -> any_weight {
    const tensor_view view = {std::string(tensor.name), dtype_of<Scalar>, {d_out, d_in}, data};
    std::shared_ptr<const std::vector<Scalar>> copy;
    if (!view.is_aligned<Scalar>()) copy = std::make_shared<const std::vector<Scalar>>(view.copy<Scalar>());
    return {weight_view<const Scalar>(copy ? copy->data() : view.values<Scalar>().data(), d_out, d_in), copy};
  };
  if (d_out < 1 || d_in < 1) refuse_gguf_weight(tensor, "some elements; save the file again");
  switch (tensor.type) {
    case ggml_type::f32: return dense(float{});
    case ggml_type::f16: return dense(Eigen::half{});
    case ggml_type::bf16: return dense(Eigen::bfloat16{});
    default: break;
  }
  if (!ggml_view::can_be_read(tensor.type)) {
    refuse_gguf_weight(tensor,
                       "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, IQ4_NL or MXFP4; quantise the "
                       "model to one of those");
  }
  return ggml_view(std::span(reinterpret_cast<const std::uint8_t*>(data.data()), data.size()), tensor.type, d_out,
                   d_in);
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF any_weight gguf_weight(const gguf_tensor& tensor) {
  const std::size_t dimensions = tensor.shape.size();
  if (dimensions != 1 && dimensions != 2) {
    detail::refuse_gguf_weight(tensor, "one or two dimensions; of an expert's, say which expert");
  }
  return detail::gguf_weight_in(tensor, tensor.data, dimensions == 2 ? tensor.shape[0] : 1, tensor.shape.back());
}

SBORA_INSTANCE_OF any_weight gguf_weight(const gguf_tensor& tensor, index_t i) {
  if (tensor.shape.size() != 3) detail::refuse_gguf_weight(tensor, "three dimensions; give a stack of experts");
  if (i < 0 || i >= tensor.shape[0]) {
    detail::refuse_gguf_weight(tensor,
                               ("a stack with a weight " + std::to_string(i) + "; give one that is there").c_str());
  }
  const std::size_t size = tensor.data.size() / static_cast<std::size_t>(tensor.shape[0]);
  return detail::gguf_weight_in(tensor, tensor.data.subspan(static_cast<std::size_t>(i) * size, size), tensor.shape[1],
                                tensor.shape[2]);
}

}  // namespace sbora::inline SBORA_ABI
