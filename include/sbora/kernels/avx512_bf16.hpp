#pragma once

#include <sbora/kernels/avx512.hpp>

/// The kernels at the avx512_bf16 level: those of avx512, and products of bf16 by bf16.

#if defined(SBORA_HAS_AVX512_BF16)

SBORA_AVX512_BF16_BEGIN
namespace sbora::detail::avx512_bf16 {

using namespace avx512;

#include <sbora/kernels/body/product_pairs.inl>

template <class Family>
  requires requires { avx512::table<Family>::entries; }
struct table<Family> : avx512::table<Family> {};

template <class Storage>
struct table<pair_kernels<Storage>> {
  static constexpr pair_kernels<Storage> entries = {.pack = &pack_pairs, .product = &product_pairs<Storage>};
};

}  // namespace sbora::detail::avx512_bf16
SBORA_AVX512_BF16_END

#endif  // SBORA_HAS_AVX512_BF16
