#pragma once

#include <sbora/simd/float16.hpp>
#include <sbora/simd/opaque.hpp>
#include <sbora/simd/intrinsics.hpp>

/// The vector vocabulary (see vec_scalar.hpp) in 256-bit registers.

#if defined(SBORA_HAS_AVX2)

SBORA_AVX2_BEGIN
namespace sbora::detail::avx2 {

template <class T>
struct vec;

/// So many bits of integers, at any address.
SBORA_FORCE_INLINE __m128i load_64(const void* p) noexcept { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
SBORA_FORCE_INLINE __m128i load_128(const void* p) noexcept { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
SBORA_FORCE_INLINE __m256i load_256(const void* p) noexcept {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
SBORA_FORCE_INLINE void store_64(void* p, __m128i bits) noexcept { _mm_storel_epi64(static_cast<__m128i*>(p), bits); }
SBORA_FORCE_INLINE void store_128(void* p, __m128i bits) noexcept { _mm_storeu_si128(static_cast<__m128i*>(p), bits); }

/// All ones in the first n of eight 32-bit lanes.
SBORA_FORCE_INLINE __m256i first_lanes(index_t n) noexcept {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}

/// Round to nearest even in integers, NaN quieted, as detail::narrow_bf16.
SBORA_FORCE_INLINE __m128i narrow_bf16_bits(__m256 value) noexcept {
  const __m256i bits = _mm256_castps_si256(value);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
  // NaN by integer comparison: a floating one would be folded away under -ffast-math.
  const __m256i is_nan =
      _mm256_cmpgt_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF)), _mm256_set1_epi32(0x7F800000));
  const __m256i words = _mm256_blendv_epi8(rounded, quiet, is_nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

template <>
struct vec<float> {
  static constexpr int lanes = 8;
  __m256 v;

  static SBORA_FORCE_INLINE vec set1(float value) noexcept { return {_mm256_set1_ps(value)}; }
  static SBORA_FORCE_INLINE vec set1(f16 value) noexcept {
    return {_mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(value.bits)))};
  }
  static SBORA_FORCE_INLINE vec zero() noexcept { return {_mm256_setzero_ps()}; }

  static SBORA_FORCE_INLINE vec load(const float* p) noexcept { return {_mm256_loadu_ps(p)}; }
  static SBORA_FORCE_INLINE vec load(const bf16* p) noexcept {
    // One shuffle and a load that costs no other; extending and shifting takes two instructions, four on halves.
    // (Zen 1, one token from the cache: 19 GB/s instead of 12.)
    const __m256i twice = _mm256_broadcastsi128_si256(load_128(p));
    const __m256i upper_halves = _mm256_setr_epi8(-1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 6, 7, -1, -1, 8, 9,
                                                  -1, -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15);
    return {_mm256_castsi256_ps(_mm256_shuffle_epi8(twice, upper_halves))};
  }
  static SBORA_FORCE_INLINE vec load(const f16* p) noexcept { return {_mm256_cvtph_ps(load_128(p))}; }
  static SBORA_FORCE_INLINE vec load(const std::int8_t* p) noexcept {
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_64(p)))};
  }
  static SBORA_FORCE_INLINE vec load_n(const float* p, index_t n) noexcept {
    return {_mm256_maskload_ps(p, first_lanes(n))};
  }
  // AVX2 has no masked loads of less than 32 bits.
  template <class Storage>
  static SBORA_FORCE_INLINE vec load_n(const Storage* p, index_t n) noexcept {
    Storage lane[lanes] = {};
    for (index_t i = 0; i < n; ++i) lane[i] = p[i];
    return load(lane);
  }

  static SBORA_FORCE_INLINE void store(float* p, vec a) noexcept { _mm256_storeu_ps(p, a.v); }
  static SBORA_FORCE_INLINE void store(bf16* p, vec a) noexcept { store_128(p, narrow_bf16_bits(a.v)); }
  static SBORA_FORCE_INLINE void store(f16* p, vec a) noexcept { store_128(p, _mm256_cvtps_ph(a.v, 0)); }
  static SBORA_FORCE_INLINE void store_n(float* p, vec a, index_t n) noexcept {
    _mm256_maskstore_ps(p, first_lanes(n), a.v);
  }
  template <class Storage>
  static SBORA_FORCE_INLINE void store_n(Storage* p, vec a, index_t n) noexcept {
    Storage lane[lanes];
    store(lane, a);
    for (index_t i = 0; i < n; ++i) p[i] = lane[i];
  }

  using words = __m256i;
  static SBORA_FORCE_INLINE words load_words(const std::uint32_t* p) noexcept { return load_256(p); }
  static SBORA_FORCE_INLINE words add_words(words a, words b) noexcept { return _mm256_add_epi32(a, b); }
  // The products of words 0 and 2 come to lie where words 0 and 1, 2 and 3 were; right to left they are the next words.
  static SBORA_FORCE_INLINE words philox_round(words w, words multipliers, words key) noexcept {
    const __m256i products = _mm256_shuffle_epi32(_mm256_mul_epu32(w, multipliers), 0x1B);
    return _mm256_xor_si256(_mm256_xor_si256(products, key), _mm256_srli_epi64(w, 32));
  }
  static SBORA_FORCE_INLINE vec where_at_least(std::uint32_t least, words w, vec a) noexcept {
    const __m256i at_least = _mm256_max_epu32(w, _mm256_set1_epi32(static_cast<int>(least)));
    return {_mm256_and_ps(a.v, _mm256_castsi256_ps(_mm256_cmpeq_epi32(at_least, w)))};
  }

  static SBORA_FORCE_INLINE bool all_finite(vec a) noexcept {
    const __m256i exponent = _mm256_set1_epi32(0x7F800000);
    const __m256i bits = _mm256_and_si256(_mm256_castps_si256(a.v), exponent);
    return _mm256_testz_si256(_mm256_cmpeq_epi32(bits, exponent), _mm256_set1_epi32(-1)) != 0;
  }

  friend SBORA_FORCE_INLINE vec operator+(vec a, vec b) noexcept { return {_mm256_add_ps(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator-(vec a, vec b) noexcept { return {_mm256_sub_ps(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator*(vec a, vec b) noexcept { return {_mm256_mul_ps(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator/(vec a, vec b) noexcept { return {_mm256_div_ps(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec sqrt(vec a) noexcept { return {_mm256_sqrt_ps(a.v)}; }
  friend SBORA_FORCE_INLINE vec multiply_add(vec a, vec b, vec c) noexcept { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  friend SBORA_FORCE_INLINE vec round_product(vec a, vec b) noexcept {
    __m256 product = _mm256_mul_ps(a.v, b.v);
#if defined(__GNUC__)
    __asm__("" : "+x"(product));
#endif
    return {product};
  }
};

template <>
struct vec<double> {
  static constexpr int lanes = 4;
  __m256d v;

  static SBORA_FORCE_INLINE __m256i first_lanes64(index_t n) noexcept {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }

  static SBORA_FORCE_INLINE vec set1(double value) noexcept { return {_mm256_set1_pd(value)}; }
  static SBORA_FORCE_INLINE vec zero() noexcept { return {_mm256_setzero_pd()}; }
  static SBORA_FORCE_INLINE vec load(const double* p) noexcept { return {_mm256_loadu_pd(p)}; }
  static SBORA_FORCE_INLINE vec load(const float* p) noexcept { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
  static SBORA_FORCE_INLINE vec load_n(const double* p, index_t n) noexcept {
    return {_mm256_maskload_pd(p, first_lanes64(n))};
  }
  static SBORA_FORCE_INLINE vec load_n(const float* p, index_t n) noexcept {
    const __m128i first = _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(n)), _mm_setr_epi32(0, 1, 2, 3));
    return {_mm256_cvtps_pd(_mm_maskload_ps(p, first))};
  }
  static SBORA_FORCE_INLINE void store(double* p, vec a) noexcept { _mm256_storeu_pd(p, a.v); }
  static SBORA_FORCE_INLINE void store_n(double* p, vec a, index_t n) noexcept {
    _mm256_maskstore_pd(p, first_lanes64(n), a.v);
  }
  static SBORA_FORCE_INLINE bool all_finite(vec a) noexcept {
    const __m256i exponent = _mm256_set1_epi64x(0x7FF0000000000000);
    const __m256i bits = _mm256_and_si256(_mm256_castpd_si256(a.v), exponent);
    return _mm256_testz_si256(_mm256_cmpeq_epi64(bits, exponent), _mm256_set1_epi32(-1)) != 0;
  }

  friend SBORA_FORCE_INLINE vec operator+(vec a, vec b) noexcept { return {_mm256_add_pd(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator-(vec a, vec b) noexcept { return {_mm256_sub_pd(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator*(vec a, vec b) noexcept { return {_mm256_mul_pd(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator/(vec a, vec b) noexcept { return {_mm256_div_pd(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec sqrt(vec a) noexcept { return {_mm256_sqrt_pd(a.v)}; }
  friend SBORA_FORCE_INLINE vec multiply_add(vec a, vec b, vec c) noexcept { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
  friend SBORA_FORCE_INLINE vec round_product(vec a, vec b) noexcept {
    __m256d product = _mm256_mul_pd(a.v, b.v);
#if defined(__GNUC__)
    __asm__("" : "+x"(product));
#endif
    return {product};
  }
};

SBORA_FORCE_INLINE void transpose(vec<float> (&block)[8]) noexcept {
  __m256 quad[8];  // within 128-bit halves: quad[4·g + c] has columns c and c + 4 of rows 4·g to 4·g + 3
  SBORA_UNROLL
  for (int g = 0; g < 8; g += 4) {
    const __m256 low0 = _mm256_unpacklo_ps(block[g].v, block[g + 1].v);
    const __m256 high0 = _mm256_unpackhi_ps(block[g].v, block[g + 1].v);
    const __m256 low1 = _mm256_unpacklo_ps(block[g + 2].v, block[g + 3].v);
    const __m256 high1 = _mm256_unpackhi_ps(block[g + 2].v, block[g + 3].v);
    quad[g] = _mm256_shuffle_ps(low0, low1, 0x44);
    quad[g + 1] = _mm256_shuffle_ps(low0, low1, 0xEE);
    quad[g + 2] = _mm256_shuffle_ps(high0, high1, 0x44);
    quad[g + 3] = _mm256_shuffle_ps(high0, high1, 0xEE);
  }
  SBORA_UNROLL
  for (int c = 0; c < 4; ++c) {
    block[c].v = _mm256_permute2f128_ps(quad[c], quad[c + 4], 0x20);
    block[c + 4].v = _mm256_permute2f128_ps(quad[c], quad[c + 4], 0x31);
  }
}

/// The same of rows in memory: halves are joined by loads, so that 16 shuffles are left of 24.
SBORA_FORCE_INLINE void load_transposed(const float* from, index_t stride, vec<float> (&block)[8]) noexcept {
  __m256 row[8];  // row[4·h + i]: columns 4·h to 4·h + 3 of rows i and i + 4
  SBORA_UNROLL
  for (int i = 0; i < 4; ++i) {
    SBORA_UNROLL
    for (int h = 0; h < 2; ++h) {
      row[4 * h + i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from + i * stride + 4 * h)),
                                            _mm_loadu_ps(from + (i + 4) * stride + 4 * h), 1);
    }
  }
  SBORA_UNROLL
  for (int h = 0; h < 2; ++h) {
    const __m256 low0 = _mm256_unpacklo_ps(row[4 * h], row[4 * h + 1]);
    const __m256 high0 = _mm256_unpackhi_ps(row[4 * h], row[4 * h + 1]);
    const __m256 low1 = _mm256_unpacklo_ps(row[4 * h + 2], row[4 * h + 3]);
    const __m256 high1 = _mm256_unpackhi_ps(row[4 * h + 2], row[4 * h + 3]);
    block[4 * h].v = _mm256_shuffle_ps(low0, low1, 0x44);
    block[4 * h + 1].v = _mm256_shuffle_ps(low0, low1, 0xEE);
    block[4 * h + 2].v = _mm256_shuffle_ps(high0, high1, 0x44);
    block[4 * h + 3].v = _mm256_shuffle_ps(high0, high1, 0xEE);
  }
}

SBORA_FORCE_INLINE void transpose(vec<double> (&block)[4]) noexcept {
  const __m256d low0 = _mm256_unpacklo_pd(block[0].v, block[1].v);
  const __m256d high0 = _mm256_unpackhi_pd(block[0].v, block[1].v);
  const __m256d low1 = _mm256_unpacklo_pd(block[2].v, block[3].v);
  const __m256d high1 = _mm256_unpackhi_pd(block[2].v, block[3].v);
  block[0].v = _mm256_permute2f128_pd(low0, low1, 0x20);
  block[1].v = _mm256_permute2f128_pd(high0, high1, 0x20);
  block[2].v = _mm256_permute2f128_pd(low0, low1, 0x31);
  block[3].v = _mm256_permute2f128_pd(high0, high1, 0x31);
}

/// Of four lanes, and of two; see sum in vec_scalar.hpp.
SBORA_FORCE_INLINE float sum(__m128 a) noexcept {
  const __m128 two = _mm_add_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
SBORA_FORCE_INLINE double sum(__m128d a) noexcept { return _mm_cvtsd_f64(_mm_add_sd(a, _mm_unpackhi_pd(a, a))); }
SBORA_FORCE_INLINE float sum(vec<float> a) noexcept {
  return sum(_mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1)));
}
SBORA_FORCE_INLINE double sum(vec<double> a) noexcept {
  return sum(_mm_add_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1)));
}

SBORA_FORCE_INLINE vec<float> max_abs(vec<float> a, vec<float> b) noexcept {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  return {_mm256_max_ps(_mm256_and_ps(a.v, magnitude), _mm256_and_ps(b.v, magnitude))};
}
SBORA_FORCE_INLINE vec<float> count_above(vec<float> count, vec<float> a, vec<float> b) noexcept {
  const __m256 one = _mm256_and_ps(_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ), _mm256_set1_ps(1.0F));
  return {_mm256_add_ps(count.v, one)};
}

SBORA_FORCE_INLINE vec<float> look_up(const float* table, const std::uint8_t* codes) noexcept {
  const __m128i bytes = load_64(codes);
  return {_mm256_i32gather_ps(table, _mm256_cvtepu8_epi32(bytes), 4)};
}
SBORA_FORCE_INLINE __m256i round_to_map(const std::uint32_t* steps, int first, int last, vec<float> a) noexcept {
  const __m256i bits = _mm256_castps_si256(a.v), low = _mm256_set1_epi32(0xFFFF);
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF));
  const __m256i least = _mm256_set1_epi32(first);
  const __m256i upper =
      _mm256_min_epi32(_mm256_max_epi32(_mm256_srli_epi32(magnitude, 16), least), _mm256_set1_epi32(last));
  const __m256i step = _mm256_i32gather_epi32(reinterpret_cast<const int*>(steps), _mm256_sub_epi32(upper, least), 4);
  const __m256i above = _mm256_cmpgt_epi32(_mm256_and_si256(magnitude, low), _mm256_and_si256(step, low));
  const __m256i entry = _mm256_sub_epi32(_mm256_srli_epi32(step, 16), above);
  const __m256i zero = _mm256_cmpeq_epi32(magnitude, _mm256_setzero_si256());
  const __m256i sign = _mm256_srai_epi32(bits, 31);
  return _mm256_sub_epi32(_mm256_xor_si256(_mm256_andnot_si256(zero, entry), sign), sign);
}
SBORA_FORCE_INLINE void store_codes(std::uint8_t* codes, int offset, __m256i entry) noexcept {
  const __m256i code = _mm256_add_epi32(entry, _mm256_set1_epi32(offset));
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
  store_64(codes, _mm_packus_epi16(words, words));
}

SBORA_FORCE_INLINE vec<float> low_nibbles(const std::uint8_t* p) noexcept {
  return {_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_cvtepu8_epi32(load_64(p)), _mm256_set1_epi32(15)))};
}
SBORA_FORCE_INLINE vec<float> high_nibbles(const std::uint8_t* p) noexcept {
  return {_mm256_cvtepi32_ps(_mm256_srli_epi32(_mm256_cvtepu8_epi32(load_64(p)), 4))};
}

struct nibble_table {
  __m256 low, high;
  __m256i plane[4];  ///< byte p of the 16 values, in both halves

  explicit SBORA_FORCE_INLINE nibble_table(const float* table) noexcept
      : low(_mm256_loadu_ps(table)), high(_mm256_loadu_ps(table + 8)) {
    const __m256i by_byte = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9,
                                             13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m256i first = _mm256_shuffle_epi8(_mm256_castps_si256(low), by_byte);
    const __m256i second = _mm256_shuffle_epi8(_mm256_castps_si256(high), by_byte);
    const __m256i bytes01 = _mm256_unpacklo_epi32(first, second), bytes23 = _mm256_unpackhi_epi32(first, second);
    const __m256i even = _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5), odd = _mm256_setr_epi32(2, 6, 3, 7, 2, 6, 3, 7);
    plane[0] = _mm256_permutevar8x32_epi32(bytes01, even);
    plane[1] = _mm256_permutevar8x32_epi32(bytes01, odd);
    plane[2] = _mm256_permutevar8x32_epi32(bytes23, even);
    plane[3] = _mm256_permutevar8x32_epi32(bytes23, odd);
  }

  /// The permutations look at the lowest three bits of a lane, the blend at the highest one, which is the
  /// fourth bit of the code shifted there: no mask is needed.
  SBORA_FORCE_INLINE vec<float> look_up(const std::uint8_t* bytes) const noexcept {
    int four;
    __builtin_memcpy(&four, bytes, sizeof four);
    const __m256i codes = _mm256_srlv_epi32(_mm256_set1_epi32(four), _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24));
    return {_mm256_blendv_ps(_mm256_permutevar8x32_ps(low, codes), _mm256_permutevar8x32_ps(high, codes),
                             _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28)))};
  }

  /// Each byte twice, four of a vector's elements in each half, then its high nibble and its low one.
  SBORA_FORCE_INLINE void look_up_four(const std::uint8_t* bytes, vec<float> (&values)[4]) const noexcept {
    const __m256i twice = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load_128(bytes)),
                                              _mm256_setr_epi8(0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13, 2, 2,
                                                               3, 3, 6, 6, 7, 7, 10, 10, 11, 11, 14, 14, 15, 15));
    join(_mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(twice, 4), _mm256_set1_epi16(0x000F)),
                         _mm256_and_si256(twice, _mm256_set1_epi16(0x0F00))),
         values);
  }

  /// High nibbles in one half, low ones in the other: three instructions less for 32 codes. (Granite Rapids, one token:
  /// 15.8 thousand million weights a second; 13.1 in order, 10.9 by look_up.)
  SBORA_FORCE_INLINE void look_up_four_apart(const std::uint8_t* bytes, vec<float> (&values)[4]) const noexcept {
    const __m256i both = _mm256_broadcastsi128_si256(load_128(bytes));
    join(_mm256_and_si256(_mm256_srlv_epi64(both, _mm256_setr_epi64x(4, 4, 0, 0)), _mm256_set1_epi8(15)), values);
  }

 private:
  /// Of 32 codes, bytes, in both halves those of four vectors: the values' bytes, pairs of them, all four.
  SBORA_FORCE_INLINE void join(__m256i codes, vec<float> (&values)[4]) const noexcept {
    const __m256i byte0 = _mm256_shuffle_epi8(plane[0], codes), byte1 = _mm256_shuffle_epi8(plane[1], codes);
    const __m256i byte2 = _mm256_shuffle_epi8(plane[2], codes), byte3 = _mm256_shuffle_epi8(plane[3], codes);
    const __m256i low01 = _mm256_unpacklo_epi8(byte0, byte1), high01 = _mm256_unpackhi_epi8(byte0, byte1);
    const __m256i low23 = _mm256_unpacklo_epi8(byte2, byte3), high23 = _mm256_unpackhi_epi8(byte2, byte3);
    values[0].v = _mm256_castsi256_ps(_mm256_unpacklo_epi16(low01, low23));
    values[1].v = _mm256_castsi256_ps(_mm256_unpackhi_epi16(low01, low23));
    values[2].v = _mm256_castsi256_ps(_mm256_unpacklo_epi16(high01, high23));
    values[3].v = _mm256_castsi256_ps(_mm256_unpackhi_epi16(high01, high23));
  }
};

SBORA_FORCE_INLINE vec<float> lanes_apart(vec<float> a) noexcept {
  return {_mm256_permutevar8x32_ps(a.v, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7))};
}
SBORA_FORCE_INLINE vec<float> lanes_together(vec<float> a) noexcept {
  return {_mm256_permutevar8x32_ps(a.v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))};
}

template <class T>
SBORA_FORCE_INLINE T multiply_add(T a, T b, T c) noexcept {
  return fused(a, b, c);
}

}  // namespace sbora::detail::avx2
SBORA_AVX2_END

#endif  // SBORA_HAS_AVX2
