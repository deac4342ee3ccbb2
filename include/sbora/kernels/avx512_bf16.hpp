#pragma once

#include <sbora/kernels/avx512.hpp>

/// What the avx512_bf16 level has beyond avx512: products of bf16 by bf16.

#if defined(SBORA_HAS_AVX512_BF16)

SBORA_AVX512_BF16_BEGIN
namespace sbora::inline SBORA_ABI::detail::avx512 {

#include <sbora/kernels/body/product_pairs.inl>

template <class Storage>
struct pair_table {
  static constexpr pair_kernels<Storage> entries = {&pack_pairs, &product_pairs<Storage>};
};

}  // namespace sbora::inline SBORA_ABI::detail::avx512
SBORA_AVX512_BF16_END

#endif  // SBORA_HAS_AVX512_BF16
