#pragma once

#include <sbora/simd/vec_neon.hpp>

/// The vocabulary of products of bytes (see bytes_scalar.hpp) in AArch64 Advanced SIMD.

#if defined(SBORA_NEON)

namespace sbora::inline SBORA_ABI::detail::neon {

inline constexpr int byte_blocks = 1;
template <bool Narrow>
inline constexpr bool has_byte_tiles = false;

struct ints {
  int32x4_t v;

  static SBORA_FORCE_INLINE ints set1(std::int32_t value) noexcept { return {vdupq_n_s32(value)}; }
  static SBORA_FORCE_INLINE ints load(const std::int32_t* p) noexcept { return {vld1q_s32(p)}; }
  static SBORA_FORCE_INLINE void store(std::int32_t* p, ints a) noexcept { vst1q_s32(p, a.v); }
  friend SBORA_FORCE_INLINE ints operator+(ints a, ints b) noexcept { return {vaddq_s32(a.v, b.v)}; }
};

SBORA_FORCE_INLINE vec<float> to_float(ints a) noexcept { return {vcvtq_f32_s32(a.v)}; }
SBORA_FORCE_INLINE vec<float> fused_add(vec<float> a, vec<float> b, vec<float> c) noexcept {
  return multiply_add(a, b, c);
}
SBORA_FORCE_INLINE void store_bytes(std::int8_t* p, vec<float> a) noexcept {
  const int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(a.v));
  const std::int32_t four = vget_lane_s32(vreinterpret_s32_s8(vqmovn_s16(vcombine_s16(words, words))), 0);
  __builtin_memcpy(p, &four, sizeof four);
}
SBORA_FORCE_INLINE ints greater_bits(ints a, vec<float> x) noexcept {
  return {vmaxq_s32(a.v, vandq_s32(vreinterpretq_s32_f32(x.v), vdupq_n_s32(0x7FFFFFFF)))};
}
SBORA_FORCE_INLINE std::int32_t greatest_bits(ints a) noexcept { return vmaxvq_s32(a.v); }

using byte_lanes = int8x16_t;
SBORA_FORCE_INLINE byte_lanes load_bytes(const std::int8_t* p) noexcept { return vld1q_s8(p); }

SBORA_FORCE_INLINE void by_parity(const std::int8_t* from, std::int8_t* to) noexcept {
  const int8x16_t a = vld1q_s8(from), b = vld1q_s8(from + 16);
  vst1q_s8(to, vuzp1q_s8(a, b));
  vst1q_s8(to + 16, vuzp2q_s8(a, b));
}
SBORA_FORCE_INLINE void by_halves(const std::int8_t* from, std::int8_t* to) noexcept {
  vst1q_s8(to, vld1q_s8(from));
  vst1q_s8(to + 16, vld1q_s8(from + 16));
}

struct nibble_bytes {
  int8x16_t table;
  explicit SBORA_FORCE_INLINE nibble_bytes(const std::int8_t* values) noexcept : table(vld1q_s8(values)) {}
  SBORA_FORCE_INLINE void load(const std::uint8_t* codes, byte_lanes (&two)[2]) const noexcept {
    const uint8x16_t both = vld1q_u8(codes);
    two[0] = vqtbl1q_s8(table, vshrq_n_u8(both, 4));
    two[1] = vqtbl1q_s8(table, vandq_u8(both, vdupq_n_u8(15)));
  }
};
struct plain_bytes {
  SBORA_FORCE_INLINE void load(const std::int8_t* codes, byte_lanes (&two)[2]) const noexcept {
    two[0] = vld1q_s8(codes);
    two[1] = vld1q_s8(codes + 16);
  }
};

/// 16 bits hold two products of 128·127. The dot product instruction isn't part of every AArch64.
template <bool Narrow>
struct byte_dot {
  static constexpr int excess = 0;
  static SBORA_FORCE_INLINE byte_lanes ready(byte_lanes w) noexcept { return w; }
  static SBORA_FORCE_INLINE ints add(ints sum, byte_lanes w, byte_lanes x) noexcept {
    const int16x8_t two = vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(x)), w, x);
    return {vpadalq_s16(sum.v, two)};
  }
};

SBORA_FORCE_INLINE void sum_blocks(const std::int32_t* dots, index_t stride, ints* out) noexcept {
  const int32x4_t low = vpaddq_s32(vld1q_s32(dots), vld1q_s32(dots + stride));
  const int32x4_t high = vpaddq_s32(vld1q_s32(dots + 2 * stride), vld1q_s32(dots + 3 * stride));
  out->v = vpaddq_s32(low, high);
}

}  // namespace sbora::inline SBORA_ABI::detail::neon

#endif  // SBORA_NEON
