#pragma once

#include <sbora/simd/float16.hpp>
#include <sbora/simd/opaque.hpp>
#include <sbora/simd/intrinsics.hpp>

/// The vector vocabulary (see vec_scalar.hpp) in AArch64 Advanced SIMD, part of every AArch64 baseline.

#if defined(SBORA_NEON)

namespace sbora::inline SBORA_ABI::detail::neon {

template <class T>
struct vec;

/// Round to nearest even in integers, NaN quieted, as detail::narrow_bf16.
SBORA_FORCE_INLINE uint16x4_t narrow_bf16_bits(float32x4_t value) noexcept {
  const uint32x4_t bits = vreinterpretq_u32_f32(value);
  const uint32x4_t high = vshrq_n_u32(bits, 16);
  const uint32x4_t odd = vandq_u32(high, vdupq_n_u32(1));
  const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF))), 16);
  const uint32x4_t is_nan = vcgtq_u32(vandq_u32(bits, vdupq_n_u32(0x7FFFFFFF)), vdupq_n_u32(0x7F800000));
  return vmovn_u32(vbslq_u32(is_nan, vorrq_u32(high, vdupq_n_u32(0x40)), rounded));
}

template <>
struct vec<float> {
  static constexpr int lanes = 4;
  float32x4_t v;

  static SBORA_FORCE_INLINE vec set1(float value) noexcept { return {vdupq_n_f32(value)}; }
  static SBORA_FORCE_INLINE vec set1(f16 value) noexcept { return set1(widen(value)); }
  static SBORA_FORCE_INLINE vec zero() noexcept { return {vdupq_n_f32(0.0F)}; }

  static SBORA_FORCE_INLINE vec load(const float* p) noexcept { return {vld1q_f32(p)}; }
  static SBORA_FORCE_INLINE vec load(const bf16* p) noexcept {
    uint16x4_t half;
    __builtin_memcpy(&half, p, sizeof half);
    return {vreinterpretq_f32_u32(vshll_n_u16(half, 16))};
  }
  static SBORA_FORCE_INLINE vec load(const f16* p) noexcept {
    uint16x4_t half;
    __builtin_memcpy(&half, p, sizeof half);
    return {vcvt_f32_f16(vreinterpret_f16_u16(half))};
  }
  static SBORA_FORCE_INLINE vec load(const std::int8_t* p) noexcept {
    std::uint32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four))))))};
  }
  template <class Storage>
  static SBORA_FORCE_INLINE vec load_n(const Storage* p, index_t n) noexcept {
    Storage lane[lanes] = {};
    for (index_t i = 0; i < n; ++i) lane[i] = p[i];
    return load(lane);
  }

  static SBORA_FORCE_INLINE void store(float* p, vec a) noexcept { vst1q_f32(p, a.v); }
  static SBORA_FORCE_INLINE void store(bf16* p, vec a) noexcept {
    const uint16x4_t half = narrow_bf16_bits(a.v);
    __builtin_memcpy(p, &half, sizeof half);
  }
  static SBORA_FORCE_INLINE void store(f16* p, vec a) noexcept {
    const uint16x4_t half = vreinterpret_u16_f16(vcvt_f16_f32(a.v));
    __builtin_memcpy(p, &half, sizeof half);
  }
  template <class Storage>
  static SBORA_FORCE_INLINE void store_n(Storage* p, vec a, index_t n) noexcept {
    Storage lane[lanes];
    store(lane, a);
    for (index_t i = 0; i < n; ++i) p[i] = lane[i];
  }

  using words = uint32x4_t;
  static SBORA_FORCE_INLINE words load_words(const std::uint32_t* p) noexcept { return vld1q_u32(p); }
  static SBORA_FORCE_INLINE words add_words(words a, words b) noexcept { return vaddq_u32(a, b); }
  // The products of words 0 and 2 come to lie where words 0 and 1, 2 and 3 were; right to left they are the next words.
  static SBORA_FORCE_INLINE words philox_round(words w, words multipliers, words key) noexcept {
    const uint64x2_t even = vreinterpretq_u64_u32(w);
    const uint64x2_t products = vmull_u32(vmovn_u64(even), vmovn_u64(vreinterpretq_u64_u32(multipliers)));
    const uint32x4_t swapped = vrev64q_u32(vreinterpretq_u32_u64(products));
    return veorq_u32(veorq_u32(vextq_u32(swapped, swapped, 2), key), vreinterpretq_u32_u64(vshrq_n_u64(even, 32)));
  }
  static SBORA_FORCE_INLINE vec where_at_least(std::uint32_t least, words w, vec a) noexcept {
    return {vreinterpretq_f32_u32(vandq_u32(vcgeq_u32(w, vdupq_n_u32(least)), vreinterpretq_u32_f32(a.v)))};
  }

  static SBORA_FORCE_INLINE bool all_finite(vec a) noexcept {
    const uint32x4_t exponent = vdupq_n_u32(0x7F800000);
    const uint32x4_t bits = vandq_u32(vreinterpretq_u32_f32(a.v), exponent);
    return vmaxvq_u32(vceqq_u32(bits, exponent)) == 0;
  }

  friend SBORA_FORCE_INLINE vec operator+(vec a, vec b) noexcept { return {vaddq_f32(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator-(vec a, vec b) noexcept { return {vsubq_f32(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator*(vec a, vec b) noexcept { return {vmulq_f32(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator/(vec a, vec b) noexcept { return {vdivq_f32(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec sqrt(vec a) noexcept { return {vsqrtq_f32(a.v)}; }
  friend SBORA_FORCE_INLINE vec multiply_add(vec a, vec b, vec c) noexcept { return {vfmaq_f32(c.v, a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec round_product(vec a, vec b) noexcept {
    float32x4_t product = vmulq_f32(a.v, b.v);
    __asm__("" : "+w"(product));
    return {product};
  }
};

template <>
struct vec<double> {
  static constexpr int lanes = 2;
  float64x2_t v;

  static SBORA_FORCE_INLINE vec set1(double value) noexcept { return {vdupq_n_f64(value)}; }
  static SBORA_FORCE_INLINE vec zero() noexcept { return {vdupq_n_f64(0.0)}; }
  static SBORA_FORCE_INLINE vec load(const double* p) noexcept { return {vld1q_f64(p)}; }
  static SBORA_FORCE_INLINE vec load(const float* p) noexcept { return {vcvt_f64_f32(vld1_f32(p))}; }
  template <class Storage>
  static SBORA_FORCE_INLINE vec load_n(const Storage* p, index_t n) noexcept {
    if (n >= lanes) return load(p);
    return n > 0 ? vec{vsetq_lane_f64(*p, vdupq_n_f64(0.0), 0)} : zero();
  }
  static SBORA_FORCE_INLINE void store(double* p, vec a) noexcept { vst1q_f64(p, a.v); }
  static SBORA_FORCE_INLINE void store_n(double* p, vec a, index_t n) noexcept {
    if (n >= lanes) store(p, a);
    else if (n > 0) *p = vgetq_lane_f64(a.v, 0);
  }
  static SBORA_FORCE_INLINE bool all_finite(vec a) noexcept {
    const uint64x2_t exponent = vdupq_n_u64(0x7FF0000000000000);
    const uint64x2_t bits = vandq_u64(vreinterpretq_u64_f64(a.v), exponent);
    const uint64x2_t hit = vceqq_u64(bits, exponent);
    return (vgetq_lane_u64(hit, 0) | vgetq_lane_u64(hit, 1)) == 0;
  }

  friend SBORA_FORCE_INLINE vec operator+(vec a, vec b) noexcept { return {vaddq_f64(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator-(vec a, vec b) noexcept { return {vsubq_f64(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator*(vec a, vec b) noexcept { return {vmulq_f64(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec operator/(vec a, vec b) noexcept { return {vdivq_f64(a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec sqrt(vec a) noexcept { return {vsqrtq_f64(a.v)}; }
  friend SBORA_FORCE_INLINE vec multiply_add(vec a, vec b, vec c) noexcept { return {vfmaq_f64(c.v, a.v, b.v)}; }
  friend SBORA_FORCE_INLINE vec round_product(vec a, vec b) noexcept {
    float64x2_t product = vmulq_f64(a.v, b.v);
    __asm__("" : "+w"(product));
    return {product};
  }
};

SBORA_FORCE_INLINE void transpose(vec<float> (&block)[4]) noexcept {
  const float64x2_t low0 = vreinterpretq_f64_f32(vtrn1q_f32(block[0].v, block[1].v));
  const float64x2_t high0 = vreinterpretq_f64_f32(vtrn2q_f32(block[0].v, block[1].v));
  const float64x2_t low1 = vreinterpretq_f64_f32(vtrn1q_f32(block[2].v, block[3].v));
  const float64x2_t high1 = vreinterpretq_f64_f32(vtrn2q_f32(block[2].v, block[3].v));
  block[0].v = vreinterpretq_f32_f64(vtrn1q_f64(low0, low1));
  block[1].v = vreinterpretq_f32_f64(vtrn1q_f64(high0, high1));
  block[2].v = vreinterpretq_f32_f64(vtrn2q_f64(low0, low1));
  block[3].v = vreinterpretq_f32_f64(vtrn2q_f64(high0, high1));
}

SBORA_FORCE_INLINE void transpose(vec<double> (&block)[2]) noexcept {
  const float64x2_t low = vtrn1q_f64(block[0].v, block[1].v);
  block[1].v = vtrn2q_f64(block[0].v, block[1].v);
  block[0].v = low;
}

SBORA_FORCE_INLINE float sum(vec<float> a) noexcept {
  const float32x2_t two = vadd_f32(vget_low_f32(a.v), vget_high_f32(a.v));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
SBORA_FORCE_INLINE double sum(vec<double> a) noexcept { return vgetq_lane_f64(a.v, 0) + vgetq_lane_f64(a.v, 1); }

SBORA_FORCE_INLINE vec<float> max_abs(vec<float> a, vec<float> b) noexcept {
  return {vmaxq_f32(vabsq_f32(a.v), vabsq_f32(b.v))};
}
SBORA_FORCE_INLINE vec<float> count_above(vec<float> count, vec<float> a, vec<float> b) noexcept {
  const uint32x4_t one = vandq_u32(vcgtq_f32(a.v, b.v), vreinterpretq_u32_f32(vdupq_n_f32(1.0F)));
  return {vaddq_f32(count.v, vreinterpretq_f32_u32(one))};
}

SBORA_FORCE_INLINE vec<float> look_up(const float* table, const std::uint8_t* codes) noexcept {
  const float lane[4] = {table[codes[0]], table[codes[1]], table[codes[2]], table[codes[3]]};
  return {vld1q_f32(lane)};
}
SBORA_FORCE_INLINE int32x4_t round_to_map(const std::uint32_t* steps, int first, int last, vec<float> a) noexcept {
  const uint32x4_t bits = vreinterpretq_u32_f32(a.v), low = vdupq_n_u32(0xFFFF);
  const uint32x4_t magnitude = vandq_u32(bits, vdupq_n_u32(0x7FFFFFFF));
  const uint32x4_t least = vdupq_n_u32(static_cast<unsigned>(first));
  const uint32x4_t upper =
      vminq_u32(vmaxq_u32(vshrq_n_u32(magnitude, 16), least), vdupq_n_u32(static_cast<unsigned>(last)));
  std::uint32_t lane[4];
  vst1q_u32(lane, vsubq_u32(upper, least));
  for (std::uint32_t& at : lane) at = steps[at];
  const uint32x4_t step = vld1q_u32(lane);
  const uint32x4_t above = vcgtq_u32(vandq_u32(magnitude, low), vandq_u32(step, low));
  const uint32x4_t entry = vbicq_u32(vsubq_u32(vshrq_n_u32(step, 16), above), vceqzq_u32(magnitude));
  const int32x4_t sign = vshrq_n_s32(vreinterpretq_s32_u32(bits), 31);
  return vsubq_s32(veorq_s32(vreinterpretq_s32_u32(entry), sign), sign);
}
SBORA_FORCE_INLINE void store_codes(std::uint8_t* codes, int offset, int32x4_t entry) noexcept {
  const uint16x4_t words = vqmovun_s32(vaddq_s32(entry, vdupq_n_s32(offset)));
  const std::uint32_t four = vget_lane_u32(vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(words, words))), 0);
  __builtin_memcpy(codes, &four, sizeof four);
}

SBORA_FORCE_INLINE uint32x4_t bytes_in_words(const std::uint8_t* p) noexcept {
  std::uint32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  return vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)))));
}
SBORA_FORCE_INLINE vec<float> low_nibbles(const std::uint8_t* p) noexcept {
  return {vcvtq_f32_u32(vandq_u32(bytes_in_words(p), vdupq_n_u32(15)))};
}
SBORA_FORCE_INLINE vec<float> high_nibbles(const std::uint8_t* p) noexcept {
  return {vcvtq_f32_u32(vshrq_n_u32(bytes_in_words(p), 4))};
}

struct nibble_table {
  uint8x16x4_t bytes_of_values;
  uint8x16_t plane[4];  ///< byte p of the 16 values

  explicit SBORA_FORCE_INLINE nibble_table(const float* table) noexcept
      : bytes_of_values(vld1q_u8_x4(reinterpret_cast<const std::uint8_t*>(table))) {
    const uint8x16x4_t planes = vld4q_u8(reinterpret_cast<const std::uint8_t*>(table));
    for (int p = 0; p < 4; ++p) plane[p] = planes.val[p];
  }

  SBORA_FORCE_INLINE vec<float> look_up(const std::uint8_t* bytes) const noexcept {
    std::uint16_t two;
    __builtin_memcpy(&two, bytes, sizeof two);
    const int32x4_t shifts = {-4, 0, -12, -8};
    const uint32x4_t codes = vandq_u32(vshlq_u32(vdupq_n_u32(two), shifts), vdupq_n_u32(15));
    const uint32x4_t at = vmlaq_n_u32(vdupq_n_u32(0x03020100), codes, 0x04040404);
    return {vreinterpretq_f32_u8(vqtbl4q_u8(bytes_of_values, vreinterpretq_u8_u32(at)))};
  }
  /// Sixteen codes in order, then each of the four bytes of their values. (Not measured.)
  SBORA_FORCE_INLINE void look_up_four(const std::uint8_t* bytes, vec<float> (&four)[4]) const noexcept {
    const uint8x8_t both = vld1_u8(bytes);
    const uint8x8x2_t nibbles = vzip_u8(vshr_n_u8(both, 4), vand_u8(both, vdup_n_u8(15)));
    const uint8x16_t codes = vcombine_u8(nibbles.val[0], nibbles.val[1]);
    const uint8x16x2_t bytes01 = vzipq_u8(vqtbl1q_u8(plane[0], codes), vqtbl1q_u8(plane[1], codes));
    const uint8x16x2_t bytes23 = vzipq_u8(vqtbl1q_u8(plane[2], codes), vqtbl1q_u8(plane[3], codes));
    SBORA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const uint16x8x2_t values =
          vzipq_u16(vreinterpretq_u16_u8(bytes01.val[half]), vreinterpretq_u16_u8(bytes23.val[half]));
      four[2 * half] = {vreinterpretq_f32_u16(values.val[0])};
      four[2 * half + 1] = {vreinterpretq_f32_u16(values.val[1])};
    }
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

}  // namespace sbora::inline SBORA_ABI::detail::neon

#endif  // SBORA_NEON
