#pragma once

#include <sbora/kernels/avx512_bf16.hpp>

/// The kernels at the avx512_amx level: those of avx512_bf16, but products of bf16 by bf16 in tiles.

#if defined(SBORA_HAS_AVX512_AMX)

SBORA_AVX512_AMX_BEGIN
namespace sbora::detail::avx512_amx {

using namespace avx512;

#include <sbora/kernels/body/product_tiles.inl>

template <class Family>
  requires requires { avx512_bf16::table<Family>::entries; }
struct table<Family> : avx512_bf16::table<Family> {};

template <class Storage>
struct table<pair_kernels<Storage>> {
  static constexpr pair_kernels<Storage> entries = {
      .pack = &pack_tiles, .product = &product_tiles<Storage>, .tile_rows = amx_rows, .tile_depth = amx_depth};
};

}  // namespace sbora::detail::avx512_amx
SBORA_AVX512_AMX_END

#endif  // SBORA_HAS_AVX512_AMX
