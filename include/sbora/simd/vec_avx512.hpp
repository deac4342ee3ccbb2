#pragma once

#include <sbora/simd/float16.hpp>
#include <sbora/simd/opaque.hpp>
#include <sbora/simd/intrinsics.hpp>

/// The vector vocabulary (see vec_scalar.hpp) in 512-bit registers: AVX-512 F, BW, DQ, VL.

#if defined(SBORA_HAS_AVX512)

SBORA_AVX512_BEGIN
namespace sbora::detail::avx512 {

template <class T>
struct vec;

/// So many bits of integers, at any address.
SBORA_FORCE_INLINE __m128i load_64(const void* p) noexcept { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
SBORA_FORCE_INLINE __m128i load_128(const void* p) noexcept { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
SBORA_FORCE_INLINE __m256i load_256(const void* p) noexcept {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
SBORA_FORCE_INLINE void store_128(void* p, __m128i bits) noexcept { _mm_storeu_si128(static_cast<__m128i*>(p), bits); }
SBORA_FORCE_INLINE void store_256(void* p, __m256i bits) noexcept {
  _mm256_storeu_si256(static_cast<__m256i*>(p), bits);
}

/// Round to nearest even in integers, NaN quieted, as detail::narrow_bf16. vcvtneps2bf16 is not used:
/// it flushes denormals.
SBORA_FORCE_INLINE __m256i narrow_bf16_bits(__m512 value) noexcept {
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i high = _mm512_srli_epi32(bits, 16);
  const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
  const __m512i rounded =
      _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF))), 16);
  const __mmask16 is_nan =
      _mm512_cmpgt_epi32_mask(_mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF)), _mm512_set1_epi32(0x7F800000));
  return _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, is_nan, high, _mm512_set1_epi32(0x40)));
}

template <>
struct vec<float> {
  static constexpr int lanes = 16;
  __m512 v;

  static SBORA_FORCE_INLINE __mmask16 first_lanes(index_t n) noexcept { return static_cast<__mmask16>((1U << n) - 1U); }

  static SBORA_FORCE_INLINE vec set1(float value) noexcept { return {_mm512_set1_ps(value)}; }
  static SBORA_FORCE_INLINE vec set1(f16 value) noexcept {
    return {_mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(value.bits)))};
  }
  static SBORA_FORCE_INLINE vec zero() noexcept { return {_mm512_setzero_ps()}; }

  static SBORA_FORCE_INLINE vec widen_bf16(__m256i half) noexcept {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
  }
  static SBORA_FORCE_INLINE vec load(const float* p) noexcept { return {_mm512_loadu_ps(p)}; }
  static SBORA_FORCE_INLINE vec load(const bf16* p) noexcept { return widen_bf16(load_256(p)); }
  static SBORA_FORCE_INLINE vec load(const f16* p) noexcept { return {_mm512_cvtph_ps(load_256(p))}; }
  static SBORA_FORCE_INLINE vec load(const std::int8_t* p) noexcept {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_128(p)))};
  }
  static SBORA_FORCE_INLINE vec load_n(const float* p, index_t n) noexcept {
    return {_mm512_maskz_loadu_ps(first_lanes(n), p)};
  }
  static SBORA_FORCE_INLINE vec load_n(const bf16* p, index_t n) noexcept {
    return widen_bf16(_mm256_maskz_loadu_epi16(first_lanes(n), p));
  }
  static SBORA_FORCE_INLINE vec load_n(const f16* p, index_t n) noexcept {
    return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p))};
  }
  static SBORA_FORCE_INLINE vec load_n(const std::int8_t* p, index_t n) noexcept {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p)))};
  }

  static SBORA_FORCE_INLINE void store(float* p, vec a) noexcept { _mm512_storeu_ps(p, a.v); }
  static SBORA_FORCE_INLINE void store(bf16* p, vec a) noexcept { store_256(p, narrow_bf16_bits(a.v)); }
  static SBORA_FORCE_INLINE void store(f16* p, vec a) noexcept { store_256(p, _mm512_cvtps_ph(a.v, 0)); }
  static SBORA_FORCE_INLINE void store_n(float* p, vec a, index_t n) noexcept {
    _mm512_mask_storeu_ps(p, first_lanes(n), a.v);
  }
  static SBORA_FORCE_INLINE void store_n(bf16* p, vec a, index_t n) noexcept {
    _mm256_mask_storeu_epi16(p, first_lanes(n), narrow_bf16_bits(a.v));
  }
  static SBORA_FORCE_INLINE void store_n(f16* p, vec a, index_t n) noexcept {
    _mm256_mask_storeu_epi16(p, first_lanes(n), _mm512_cvtps_ph(a.v, 0));
  }

  using words = __m512i;
  static SBORA_FORCE_INLINE words load_words(const std::uint32_t* p) noexcept { return _mm512_loadu_si512(p); }
  static SBORA_FORCE_INLINE words add_words(words a, words b) noexcept { return _mm512_add_epi32(a, b); }
  // The products of words 0 and 2 come to lie where words 0 and 1, 2 and 3 were; right to left they are the next words.
  static SBORA_FORCE_INLINE words philox_round(words w, words multipliers, words key) noexcept {
    const __m512i products = _mm512_shuffle_epi32(_mm512_mul_epu32(w, multipliers), _MM_PERM_ABCD);
    return _mm512_xor_si512(_mm512_xor_si512(products, key), _mm512_srli_epi64(w, 32));
  }
  static SBORA_FORCE_INLINE vec where_at_least(std::uint32_t least, words w, vec a) noexcept {
    const __mmask16 kept = _mm512_cmpge_epu32_mask(w, _mm512_set1_epi32(static_cast<int>(least)));
    return {_mm512_maskz_mov_ps(kept, a.v)};
  }

  static SBORA_FORCE_INLINE bool all_finite(vec a) noexcept {
    const __m512i exponent = _mm512_set1_epi32(0x7F800000);
    const __m512i bits = _mm512_and_si512(_mm512_castps_si512(a.v), exponent);
    return _mm512_cmpeq_epi32_mask(bits, exponent) == 0;
  }

  friend SBORA_FORCE_INLINE vec operator+(vec a, vec b) noexcept { return {_mm512_add_ps(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator-(vec a, vec b) noexcept { return {_mm512_sub_ps(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator*(vec a, vec b) noexcept { return {_mm512_mul_ps(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator/(vec a, vec b) noexcept { return {_mm512_div_ps(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec sqrt(vec a) noexcept { return {_mm512_sqrt_ps(a.v)}; }
  friend SBORA_FORCE_INLINE vec multiply_add(vec a, vec b, vec c) noexcept { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  friend SBORA_FORCE_INLINE vec round_product(vec a, vec b) noexcept {
    __m512 product = _mm512_mul_ps(a.v, b.v);
#if defined(__GNUC__)
    __asm__("" : "+v"(product));
#endif
    return {product};
  }
};

template <>
struct vec<double> {
  static constexpr int lanes = 8;
  __m512d v;

  static SBORA_FORCE_INLINE __mmask8 first_lanes(index_t n) noexcept { return static_cast<__mmask8>((1U << n) - 1U); }

  static SBORA_FORCE_INLINE vec set1(double value) noexcept { return {_mm512_set1_pd(value)}; }
  static SBORA_FORCE_INLINE vec zero() noexcept { return {_mm512_setzero_pd()}; }
  static SBORA_FORCE_INLINE vec load(const double* p) noexcept { return {_mm512_loadu_pd(p)}; }
  static SBORA_FORCE_INLINE vec load(const float* p) noexcept { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
  static SBORA_FORCE_INLINE vec load_n(const double* p, index_t n) noexcept {
    return {_mm512_maskz_loadu_pd(first_lanes(n), p)};
  }
  static SBORA_FORCE_INLINE vec load_n(const float* p, index_t n) noexcept {
    return {_mm512_cvtps_pd(_mm256_maskz_loadu_ps(first_lanes(n), p))};
  }
  static SBORA_FORCE_INLINE void store(double* p, vec a) noexcept { _mm512_storeu_pd(p, a.v); }
  static SBORA_FORCE_INLINE void store_n(double* p, vec a, index_t n) noexcept {
    _mm512_mask_storeu_pd(p, first_lanes(n), a.v);
  }
  static SBORA_FORCE_INLINE bool all_finite(vec a) noexcept {
    const __m512i exponent = _mm512_set1_epi64(0x7FF0000000000000);
    const __m512i bits = _mm512_and_si512(_mm512_castpd_si512(a.v), exponent);
    return _mm512_cmpeq_epi64_mask(bits, exponent) == 0;
  }

  friend SBORA_FORCE_INLINE vec operator+(vec a, vec b) noexcept { return {_mm512_add_pd(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator-(vec a, vec b) noexcept { return {_mm512_sub_pd(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator*(vec a, vec b) noexcept { return {_mm512_mul_pd(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator/(vec a, vec b) noexcept { return {_mm512_div_pd(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec sqrt(vec a) noexcept { return {_mm512_sqrt_pd(a.v)}; }
  friend SBORA_FORCE_INLINE vec multiply_add(vec a, vec b, vec c) noexcept { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
  friend SBORA_FORCE_INLINE vec round_product(vec a, vec b) noexcept {
    __m512d product = _mm512_mul_pd(a.v, b.v);
#if defined(__GNUC__)
    __asm__("" : "+v"(product));
#endif
    return {product};
  }
};

SBORA_FORCE_INLINE void transpose(vec<float> (&block)[16]) noexcept {
  __m512 quad[16];  // quad[4·g + c], quarter q: column 4·q + c of rows 4·g to 4·g + 3
  SBORA_UNROLL
  for (int g = 0; g < 16; g += 4) {
    const __m512 low0 = _mm512_unpacklo_ps(block[g].v, block[g + 1].v);
    const __m512 high0 = _mm512_unpackhi_ps(block[g].v, block[g + 1].v);
    const __m512 low1 = _mm512_unpacklo_ps(block[g + 2].v, block[g + 3].v);
    const __m512 high1 = _mm512_unpackhi_ps(block[g + 2].v, block[g + 3].v);
    quad[g] = _mm512_shuffle_ps(low0, low1, 0x44);
    quad[g + 1] = _mm512_shuffle_ps(low0, low1, 0xEE);
    quad[g + 2] = _mm512_shuffle_ps(high0, high1, 0x44);
    quad[g + 3] = _mm512_shuffle_ps(high0, high1, 0xEE);
  }
  SBORA_UNROLL
  for (int c = 0; c < 4; ++c) {  // quarters of four vectors, transposed
    const __m512 even0 = _mm512_shuffle_f32x4(quad[c], quad[c + 4], 0x88);
    const __m512 odd0 = _mm512_shuffle_f32x4(quad[c], quad[c + 4], 0xDD);
    const __m512 even1 = _mm512_shuffle_f32x4(quad[c + 8], quad[c + 12], 0x88);
    const __m512 odd1 = _mm512_shuffle_f32x4(quad[c + 8], quad[c + 12], 0xDD);
    block[c].v = _mm512_shuffle_f32x4(even0, even1, 0x88);
    block[c + 4].v = _mm512_shuffle_f32x4(odd0, odd1, 0x88);
    block[c + 8].v = _mm512_shuffle_f32x4(even0, even1, 0xDD);
    block[c + 12].v = _mm512_shuffle_f32x4(odd0, odd1, 0xDD);
  }
}

SBORA_FORCE_INLINE void transpose(vec<double> (&block)[8]) noexcept {
  __m512d pair[8];  // pair[2·g + c], quarter q: column 2·q + c of rows 2·g and 2·g + 1
  SBORA_UNROLL
  for (int g = 0; g < 8; g += 2) {
    pair[g] = _mm512_unpacklo_pd(block[g].v, block[g + 1].v);
    pair[g + 1] = _mm512_unpackhi_pd(block[g].v, block[g + 1].v);
  }
  SBORA_UNROLL
  for (int c = 0; c < 2; ++c) {
    const __m512d even0 = _mm512_shuffle_f64x2(pair[c], pair[c + 2], 0x88);
    const __m512d odd0 = _mm512_shuffle_f64x2(pair[c], pair[c + 2], 0xDD);
    const __m512d even1 = _mm512_shuffle_f64x2(pair[c + 4], pair[c + 6], 0x88);
    const __m512d odd1 = _mm512_shuffle_f64x2(pair[c + 4], pair[c + 6], 0xDD);
    block[c].v = _mm512_shuffle_f64x2(even0, even1, 0x88);
    block[c + 2].v = _mm512_shuffle_f64x2(odd0, odd1, 0x88);
    block[c + 4].v = _mm512_shuffle_f64x2(even0, even1, 0xDD);
    block[c + 6].v = _mm512_shuffle_f64x2(odd0, odd1, 0xDD);
  }
}

/// Of four lanes, and of two; see sum in vec_scalar.hpp.
SBORA_FORCE_INLINE float sum(__m128 a) noexcept {
  const __m128 two = _mm_add_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
SBORA_FORCE_INLINE double sum(__m128d a) noexcept { return _mm_cvtsd_f64(_mm_add_sd(a, _mm_unpackhi_pd(a, a))); }
SBORA_FORCE_INLINE float sum(vec<float> a) noexcept {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  return sum(_mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1)));
}
SBORA_FORCE_INLINE double sum(vec<double> a) noexcept {
  const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(a.v), _mm512_extractf64x4_pd(a.v, 1));
  return sum(_mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1)));
}

SBORA_FORCE_INLINE vec<float> max_abs(vec<float> a, vec<float> b) noexcept {
  return {_mm512_max_ps(_mm512_abs_ps(a.v), _mm512_abs_ps(b.v))};
}
SBORA_FORCE_INLINE vec<float> count_above(vec<float> count, vec<float> a, vec<float> b) noexcept {
  const __mmask16 above = _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ);
  return {_mm512_mask_add_ps(count.v, above, count.v, _mm512_set1_ps(1.0F))};
}

SBORA_FORCE_INLINE vec<float> look_up(const float* table, const std::uint8_t* codes) noexcept {
  const __m128i bytes = load_128(codes);
  return {_mm512_i32gather_ps(_mm512_cvtepu8_epi32(bytes), table, 4)};
}
SBORA_FORCE_INLINE __m512i round_to_map(const std::uint32_t* steps, int first, int last, vec<float> a) noexcept {
  const __m512i bits = _mm512_castps_si512(a.v), low = _mm512_set1_epi32(0xFFFF);
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF));
  const __m512i least = _mm512_set1_epi32(first);
  const __m512i upper =
      _mm512_min_epi32(_mm512_max_epi32(_mm512_srli_epi32(magnitude, 16), least), _mm512_set1_epi32(last));
  const __m512i step = _mm512_i32gather_epi32(_mm512_sub_epi32(upper, least), steps, 4);
  const __mmask16 above = _mm512_cmpgt_epi32_mask(_mm512_and_si512(magnitude, low), _mm512_and_si512(step, low));
  const __m512i below = _mm512_srli_epi32(step, 16);
  const __m512i entry = _mm512_mask_add_epi32(below, above, below, _mm512_set1_epi32(1));
  const __mmask16 negative = _mm512_movepi32_mask(bits);
  const __m512i magnitude_entry = _mm512_maskz_mov_epi32(_mm512_test_epi32_mask(magnitude, magnitude), entry);
  return _mm512_mask_sub_epi32(magnitude_entry, negative, _mm512_setzero_si512(), magnitude_entry);
}
SBORA_FORCE_INLINE void store_codes(std::uint8_t* codes, int offset, __m512i entry) noexcept {
  const __m512i code = _mm512_add_epi32(entry, _mm512_set1_epi32(offset));
  store_128(codes, _mm512_cvtepi32_epi8(_mm512_max_epi32(code, _mm512_setzero_si512())));
}

SBORA_FORCE_INLINE vec<float> low_nibbles(const std::uint8_t* p) noexcept {
  return {_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_cvtepu8_epi32(load_128(p)), _mm512_set1_epi32(15)))};
}
SBORA_FORCE_INLINE vec<float> high_nibbles(const std::uint8_t* p) noexcept {
  return {_mm512_cvtepi32_ps(_mm512_srli_epi32(_mm512_cvtepu8_epi32(load_128(p)), 4))};
}

struct nibble_table {
  __m512 values;

  explicit SBORA_FORCE_INLINE nibble_table(const float* table) noexcept : values(_mm512_loadu_ps(table)) {}

  /// The permutation looks at the lowest four bits of a lane: no mask is needed.
  SBORA_FORCE_INLINE vec<float> look_up(const std::uint8_t* bytes) const noexcept {
    const __m128i eight = load_64(bytes);
    const __m128i codes = _mm_unpacklo_epi8(_mm_srli_epi16(eight, 4), eight);
    return {_mm512_permutexvar_ps(_mm512_cvtepu8_epi32(codes), values)};
  }
  SBORA_FORCE_INLINE void look_up_four(const std::uint8_t* bytes, vec<float> (&four)[4]) const noexcept {
    SBORA_UNROLL
    for (int i = 0; i < 4; ++i) four[i] = look_up(bytes + 8 * i);
  }
  SBORA_FORCE_INLINE void look_up_four_apart(const std::uint8_t* bytes, vec<float> (&four)[4]) const noexcept {
    look_up_four(bytes, four);
  }
};

SBORA_FORCE_INLINE vec<float> lanes_apart(vec<float> a) noexcept { return a; }
SBORA_FORCE_INLINE vec<float> lanes_together(vec<float> a) noexcept { return a; }

template <class T>
SBORA_FORCE_INLINE T multiply_add(T a, T b, T c) noexcept {
  return fused(a, b, c);
}

}  // namespace sbora::detail::avx512
SBORA_AVX512_END

#endif  // SBORA_HAS_AVX512
