#pragma once

#include <sbora/io/gguf/gguf_file.hpp>
#include <sbora/weights/any_weight.hpp>

namespace sbora::inline SBORA_ABI {

/// A tensor of a GGUF file as a frozen weight, in place: F32, F16, BF16, or what ggml_view reads.
///
/// Shapes      two dimensions, d_out × d_in; of one dimension, one row.
/// Lifetime    the weight points into the file. Floats that don't lie as their type needs, which mapped files have
///             none of, are copied, and owned by the weight.
/// Cost        none: nothing of the tensor is read.
/// Errors      checkpoint_error: the tensor with its type and shape, what is expected, what helps.
SBORA_IN_IO_INSTANCES any_weight gguf_weight(const gguf_tensor& tensor);

/// Number i along the first of three dimensions, in place: an expert's. Errors: checkpoint_error.
SBORA_IN_IO_INSTANCES any_weight gguf_weight(const gguf_tensor& tensor, index_t i);

}  // namespace sbora::inline SBORA_ABI
