#pragma once

#include <sbora/core/abi.hpp>

namespace sbora::inline SBORA_ABI {

/// What a layer's forward is computed in: y = x·Wᵀ of the frozen weight.
///   full  the weight's compute type: float, or double for double. What is meant everywhere else.
///   int8  over codes of 4 bits and int8: x is rounded to bytes, a scale for each 32 elements of a token as GGUF's Q8_0
///         has it, and multiplied with the codes in integers. Faster, and less exact: see below.
///
/// Effect      y alone. What adapters add is computed from x itself, in float, whether passed, overlaid or mixed;
///             backward doesn't change, so training sees through the rounding.
/// Requires    d_in a multiple of 64 and, of 4-bit weights, blocks of at least 64; anything else is computed in full.
///             So are dX, other storages, ΔW added on pack (delta_path::on_pack), and many tokens over int8 where the
///             processor has no products of bytes (avx512_bf16 has them): products/product_plan.hpp decides.
/// Numerics    error of y over y, root mean squares: 0.011 over NF4, 0.008 over FP4, 0.0053 over int8, where x and W
///             are normal: 0.0053 of x's rounding, 0.0096 of NF4's values becoming 64ths, 0.0055 of FP4's 60ths.
///             (That of W to NF4 is 0.09.) A token with an outlier among 32 features loses more: int8_error_of
///             (int8_error.hpp) measures it. The bits are the same at every level, for any executor and, where many
///             tokens are int8 too, in any batch. Blocks of values below 2^-119 are zero; a token with a NaN or an
///             infinity has NaN in all of y.
/// Source      llama.cpp's products of quantised weights (Q8_0, IQ4_NL); LLM.int8, arXiv 2208.07339.
enum class compute { full, int8 };

}  // namespace sbora::inline SBORA_ABI
