#pragma once

#include <sbora/simd/vec_avx512.hpp>

/// The vocabulary of products of bytes (see bytes_scalar.hpp) in 512-bit registers: AVX-512 F, BW, DQ, VL.

#if defined(SBORA_HAS_AVX512)

SBORA_AVX512_BEGIN
namespace sbora::detail::avx512 {

inline constexpr int byte_blocks = 4;
template <bool Narrow>
inline constexpr bool has_byte_tiles = Narrow;

struct ints {
  __m512i v;

  static SBORA_FORCE_INLINE ints set1(std::int32_t value) noexcept { return {_mm512_set1_epi32(value)}; }
  static SBORA_FORCE_INLINE ints load(const std::int32_t* p) noexcept { return {_mm512_loadu_si512(p)}; }
  static SBORA_FORCE_INLINE void store(void* p, ints a) noexcept { _mm512_storeu_si512(p, a.v); }
  friend SBORA_FORCE_INLINE ints operator+(ints a, ints b) noexcept { return {_mm512_add_epi32(a.v, b.v)}; }
};

SBORA_FORCE_INLINE vec<float> to_float(ints a) noexcept { return {_mm512_cvtepi32_ps(a.v)}; }
SBORA_FORCE_INLINE vec<float> fused_add(vec<float> a, vec<float> b, vec<float> c) noexcept {
  return multiply_add(a, b, c);
}
SBORA_FORCE_INLINE void store_bytes(std::int8_t* p, vec<float> a) noexcept {
  void* const to = p;
  _mm_storeu_si128(static_cast<__m128i*>(to), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v)));
}
SBORA_FORCE_INLINE ints greater_bits(ints a, vec<float> x) noexcept {
  return {_mm512_max_epi32(a.v, _mm512_and_si512(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x7FFFFFFF)))};
}
SBORA_FORCE_INLINE std::int32_t greatest_bits(ints a) noexcept {
  const __m256i eight = _mm256_max_epi32(_mm512_castsi512_si256(a.v), _mm512_extracti64x4_epi64(a.v, 1));
  const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

using byte_lanes = __m512i;
SBORA_FORCE_INLINE byte_lanes load_bytes(const std::int8_t* p) noexcept { return _mm512_loadu_si512(p); }

SBORA_FORCE_INLINE byte_lanes four_bytes(const std::int8_t* p) noexcept {
  int four;
  __builtin_memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}
SBORA_FORCE_INLINE vec<float> bits_of(byte_lanes a) noexcept { return {_mm512_castsi512_ps(a)}; }

SBORA_FORCE_INLINE void by_parity(const std::int8_t* from, std::int8_t* to) noexcept {
  const __m512i a = load_bytes(from), b = load_bytes(from + 64), low = _mm512_set1_epi16(0x00FF);
  const __m512i even = _mm512_packus_epi16(_mm512_and_si512(a, low), _mm512_and_si512(b, low));
  const __m512i odd = _mm512_packus_epi16(_mm512_srli_epi16(a, 8), _mm512_srli_epi16(b, 8));
  const __m512i in_order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  ints::store(to, {_mm512_permutexvar_epi64(in_order, even)});
  ints::store(to + 64, {_mm512_permutexvar_epi64(in_order, odd)});
}
SBORA_FORCE_INLINE void split_halves(byte_lanes a, byte_lanes b, byte_lanes (&two)[2]) noexcept {
  two[0] = _mm512_shuffle_i64x2(a, b, 0x88);
  two[1] = _mm512_shuffle_i64x2(a, b, 0xDD);
}
SBORA_FORCE_INLINE void by_halves(const std::int8_t* from, std::int8_t* to) noexcept {
  byte_lanes two[2];
  split_halves(load_bytes(from), load_bytes(from + 64), two);
  ints::store(to, {two[0]});
  ints::store(to + 64, {two[1]});
}

struct nibble_bytes {
  __m512i table;
  explicit SBORA_FORCE_INLINE nibble_bytes(const std::int8_t* values) noexcept
      : table(_mm512_broadcast_i32x4(load_128(values))) {}
  SBORA_FORCE_INLINE void look_up(__m512i both, byte_lanes (&two)[2]) const noexcept {
    const __m512i low = _mm512_set1_epi8(15);
    two[0] = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(both, 4), low));
    two[1] = _mm512_shuffle_epi8(table, _mm512_and_si512(both, low));
  }
  SBORA_FORCE_INLINE void load(const std::uint8_t* codes, byte_lanes (&two)[2]) const noexcept {
    look_up(_mm512_loadu_si512(codes), two);
  }
  SBORA_FORCE_INLINE void load_half(const std::uint8_t* codes, byte_lanes (&two)[2]) const noexcept {
    look_up(_mm512_zextsi256_si512(load_256(codes)), two);
  }
};
struct plain_bytes {
  SBORA_FORCE_INLINE void load(const std::int8_t* codes, byte_lanes (&two)[2]) const noexcept {
    split_halves(load_bytes(codes), load_bytes(codes + 64), two);
  }
  SBORA_FORCE_INLINE void load_half(const std::int8_t* codes, byte_lanes (&two)[2]) const noexcept {
    split_halves(load_bytes(codes), _mm512_setzero_si512(), two);
  }
};

/// As avx2's; there is no sign instruction of this length.
template <bool Narrow>
struct byte_dot {
  static constexpr int excess = Narrow ? 64 : 0;
  static SBORA_FORCE_INLINE byte_lanes ready(byte_lanes w) noexcept { return w; }
  static SBORA_FORCE_INLINE ints add(ints sum, byte_lanes w, byte_lanes x) noexcept {
    if constexpr (excess == 0) {
      x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
      w = _mm512_abs_epi8(w);
    }
    const __m512i pairs = _mm512_maddubs_epi16(w, x);
    return {_mm512_add_epi32(sum.v, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))};
  }
};

SBORA_FORCE_INLINE void sum_blocks(const std::int32_t* dots, index_t stride, ints* out) noexcept {
  __m512i four[4];  // quarter q: block q of lines 4·i to 4·i + 3
  SBORA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const std::int32_t* const line = dots + 4 * i * stride;
    const __m512i a = _mm512_loadu_si512(line), b = _mm512_loadu_si512(line + stride);
    const __m512i c = _mm512_loadu_si512(line + 2 * stride), d = _mm512_loadu_si512(line + 3 * stride);
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    four[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  }
  const __m512i even0 = _mm512_shuffle_i32x4(four[0], four[1], 0x88),
                odd0 = _mm512_shuffle_i32x4(four[0], four[1], 0xDD);
  const __m512i even1 = _mm512_shuffle_i32x4(four[2], four[3], 0x88),
                odd1 = _mm512_shuffle_i32x4(four[2], four[3], 0xDD);
  out[0].v = _mm512_shuffle_i32x4(even0, even1, 0x88);
  out[1].v = _mm512_shuffle_i32x4(odd0, odd1, 0x88);
  out[2].v = _mm512_shuffle_i32x4(even0, even1, 0xDD);
  out[3].v = _mm512_shuffle_i32x4(odd0, odd1, 0xDD);
}

}  // namespace sbora::detail::avx512
SBORA_AVX512_END

#endif  // SBORA_HAS_AVX512
