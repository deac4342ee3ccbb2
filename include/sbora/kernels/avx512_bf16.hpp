#pragma once

#include <sbora/kernels/avx512.hpp>

/// The kernels at the avx512_bf16 level: those of avx512, products of bf16 by bf16, and of bytes by VNNI.

#if defined(SBORA_HAS_AVX512_BF16)

SBORA_AVX512_BF16_BEGIN
namespace sbora::detail::avx512_bf16 {

using namespace avx512;

#include <sbora/kernels/body/product_pairs.inl>

/// Products of an unsigned and a signed byte are added in 32 bits.
template <bool Narrow>
struct byte_dot {
  static constexpr int excess = Narrow ? 64 : 128;
  static SBORA_FORCE_INLINE byte_lanes ready(byte_lanes w) noexcept {
    return Narrow ? w : _mm512_xor_si512(w, _mm512_set1_epi8(-128));
  }
  static SBORA_FORCE_INLINE ints add(ints sum, byte_lanes w, byte_lanes x) noexcept {
    return {_mm512_dpbusd_epi32(sum.v, w, x)};
  }
};
template <bool Narrow>
inline constexpr bool has_byte_tiles = true;

#include <sbora/kernels/body/byte_product.inl>

template <class Family>
  requires requires { avx512::table<Family>::entries; }
struct table<Family> : avx512::table<Family> {};

template <class Storage>
struct table<byte_kernels<Storage>> {
  static constexpr byte_kernels<Storage> entries = byte_kernels_of<Storage>();
};

template <class Storage>
struct table<pair_kernels<Storage>> {
  static constexpr pair_kernels<Storage> entries = {
      .pack = &pack_pairs, .product = &product_pairs<Storage>, .tile_rows = tile_rows, .tile_depth = 2};
};

}  // namespace sbora::detail::avx512_bf16
SBORA_AVX512_BF16_END

#endif  // SBORA_HAS_AVX512_BF16
