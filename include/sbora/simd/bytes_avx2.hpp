#pragma once

#include <sbora/simd/vec_avx2.hpp>

/// The vocabulary of products of bytes (see bytes_scalar.hpp) in 256-bit registers.

#if defined(SBORA_HAS_AVX2)

SBORA_AVX2_BEGIN
namespace sbora::detail::avx2 {

inline constexpr int byte_blocks = 2;
template <bool Narrow>
inline constexpr bool has_byte_tiles = Narrow;

struct ints {
  __m256i v;

  static SBORA_FORCE_INLINE ints set1(std::int32_t value) noexcept { return {_mm256_set1_epi32(value)}; }
  static SBORA_FORCE_INLINE ints load(const std::int32_t* p) noexcept { return {load_256(p)}; }
  static SBORA_FORCE_INLINE void store(void* p, ints a) noexcept { _mm256_storeu_si256(static_cast<__m256i*>(p), a.v); }
  friend SBORA_FORCE_INLINE ints operator+(ints a, ints b) noexcept { return {_mm256_add_epi32(a.v, b.v)}; }
};

SBORA_FORCE_INLINE vec<float> to_float(ints a) noexcept { return {_mm256_cvtepi32_ps(a.v)}; }
SBORA_FORCE_INLINE vec<float> fused_add(vec<float> a, vec<float> b, vec<float> c) noexcept {
  return multiply_add(a, b, c);
}
SBORA_FORCE_INLINE void store_bytes(std::int8_t* p, vec<float> a) noexcept {
  const __m256i rounded = _mm256_cvtps_epi32(a.v);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
  store_64(p, _mm_packs_epi16(words, words));
}
SBORA_FORCE_INLINE ints greater_bits(ints a, vec<float> x) noexcept {
  return {_mm256_max_epi32(a.v, _mm256_and_si256(_mm256_castps_si256(x.v), _mm256_set1_epi32(0x7FFFFFFF)))};
}
SBORA_FORCE_INLINE std::int32_t greatest_bits(ints a) noexcept {
  const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
  const __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

using byte_lanes = __m256i;
SBORA_FORCE_INLINE byte_lanes load_bytes(const std::int8_t* p) noexcept { return load_256(p); }

SBORA_FORCE_INLINE byte_lanes four_bytes(const std::int8_t* p) noexcept {
  int four;
  __builtin_memcpy(&four, p, sizeof four);
  return _mm256_set1_epi32(four);
}
SBORA_FORCE_INLINE vec<float> bits_of(byte_lanes a) noexcept { return {_mm256_castsi256_ps(a)}; }

SBORA_FORCE_INLINE void by_parity(const std::int8_t* from, std::int8_t* to) noexcept {
  const __m256i a = load_256(from), b = load_256(from + 32), low = _mm256_set1_epi16(0x00FF);
  const __m256i even = _mm256_packus_epi16(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
  const __m256i odd = _mm256_packus_epi16(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8));
  ints::store(to, {_mm256_permute4x64_epi64(even, 0xD8)});
  ints::store(to + 32, {_mm256_permute4x64_epi64(odd, 0xD8)});
}
SBORA_FORCE_INLINE void by_halves(const std::int8_t* from, std::int8_t* to) noexcept {
  const __m256i a = load_256(from), b = load_256(from + 32);
  ints::store(to, {_mm256_permute2x128_si256(a, b, 0x20)});
  ints::store(to + 32, {_mm256_permute2x128_si256(a, b, 0x31)});
}

struct nibble_bytes {
  __m256i table;
  explicit SBORA_FORCE_INLINE nibble_bytes(const std::int8_t* values) noexcept
      : table(_mm256_broadcastsi128_si256(load_128(values))) {}
  SBORA_FORCE_INLINE void load(const std::uint8_t* codes, byte_lanes (&two)[2]) const noexcept {
    const __m256i both = load_256(codes), low = _mm256_set1_epi8(15);
    two[0] = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(both, 4), low));
    two[1] = _mm256_shuffle_epi8(table, _mm256_and_si256(both, low));
  }
};
struct plain_bytes {
  SBORA_FORCE_INLINE void load(const std::int8_t* codes, byte_lanes (&two)[2]) const noexcept {
    SBORA_UNROLL
    for (int i = 0; i < 2; ++i) {
      const __m256i first = _mm256_castsi128_si256(load_128(codes + 16 * i));
      two[i] = _mm256_inserti128_si256(first, load_128(codes + 16 * i + 32), 1);
    }
  }
};

/// Products of an unsigned and a signed byte are added in 16 bits, which hold two of 129·127. Bytes of any sign give it
/// to the other factor.
template <bool Narrow>
struct byte_dot {
  static constexpr int excess = Narrow ? 64 : 0;
  static SBORA_FORCE_INLINE byte_lanes ready(byte_lanes w) noexcept { return w; }
  static SBORA_FORCE_INLINE ints add(ints sum, byte_lanes w, byte_lanes x) noexcept {
    const __m256i pairs =
        excess != 0 ? _mm256_maddubs_epi16(w, x) : _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return {_mm256_add_epi32(sum.v, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
  }
};

/// Not by hadd, which takes twice as long on Zen 3. (NF4 by one token of bytes, 4096 x 4096: 0.82 ms instead of 0.87.)
SBORA_FORCE_INLINE void sum_blocks(const std::int32_t* dots, index_t stride, ints* out) noexcept {
  __m256i two[4];
  SBORA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const __m256i a = load_256(dots + 2 * i * stride), b = load_256(dots + (2 * i + 1) * stride);
    two[i] = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
  }
  __m256i four[2];
  SBORA_UNROLL
  for (int i = 0; i < 2; ++i) {
    const __m256i a = two[2 * i], b = two[2 * i + 1];
    four[i] = _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
  }
  out[0].v = _mm256_permute2x128_si256(four[0], four[1], 0x20);
  out[1].v = _mm256_permute2x128_si256(four[0], four[1], 0x31);
}

}  // namespace sbora::detail::avx2
SBORA_AVX2_END

#endif  // SBORA_HAS_AVX2
