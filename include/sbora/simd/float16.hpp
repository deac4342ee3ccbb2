#pragma once

#include <cstdint>
#include <cstring>

#include <sbora/core/compiler.hpp>
#include <sbora/core/index.hpp>

namespace sbora::SBORA_KERNELS_ABI {

/// Storage of a bfloat16 (the top half of a float) and of an IEEE binary16. Bits only: the kernels read
/// them from and write them to memory that other libraries type as they like, and compute in float.
struct SBORA_MAY_ALIAS bf16 {
  std::uint16_t bits;
};
struct SBORA_MAY_ALIAS f16 {
  std::uint16_t bits;
};

}  // namespace sbora::SBORA_KERNELS_ABI

namespace sbora::inline SBORA_ABI {
using SBORA_KERNELS_ABI::bf16;
using SBORA_KERNELS_ABI::f16;
}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

SBORA_FORCE_INLINE std::uint32_t float_bits(float value) noexcept {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

SBORA_FORCE_INLINE float float_from_bits(std::uint32_t bits) noexcept {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// Integer arithmetic throughout: the bits are the same on every instruction set and under -ffast-math.

SBORA_FORCE_INLINE float widen(bf16 value) noexcept { return float_from_bits(std::uint32_t{value.bits} << 16); }

/// Round to nearest even; a NaN keeps its sign and top payload and becomes quiet.
SBORA_FORCE_INLINE bf16 narrow_bf16(float value) noexcept {
  const std::uint32_t bits = float_bits(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
    return {static_cast<std::uint16_t>(bits >> 16 | 0x40U)};
  }
  return {static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16)};
}

SBORA_FORCE_INLINE float widen(f16 value) noexcept {
  const std::uint32_t sign = (value.bits & 0x8000U) << 16;
  const std::uint32_t exponent = value.bits >> 10 & 0x1FU;
  std::uint32_t mantissa = value.bits & 0x3FFU;
  if (exponent == 0x1FU) {  // infinity, or a NaN made quiet as F16C makes it
    const std::uint32_t quiet = mantissa != 0 ? 0x400000U : 0U;
    return float_from_bits(sign | 0x7F800000U | mantissa << 13 | quiet);
  }
  if (exponent != 0) return float_from_bits(sign | (exponent + 112U) << 23 | mantissa << 13);
  // Subnormal: mantissa * 2^-24, which is exact in float.
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
  return float_from_bits(sign | float_bits(magnitude));
}

/// Round to nearest even with gradual underflow; overflow to infinity; a NaN stays one, made quiet.
SBORA_FORCE_INLINE f16 narrow_f16(float value) noexcept {
  const std::uint32_t bits = float_bits(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  std::uint32_t half = 0;
  if (magnitude > 0x7F800000U) {
    half = 0x7E00U | (magnitude >> 13 & 0x3FFU);
  } else if (magnitude >= 0x477FF000U) {  // 65520 and above round to infinity
    half = 0x7C00U;
  } else if (magnitude >= 0x38800000U) {  // normal: 2^-14 and above
    const std::uint32_t rebased = magnitude - (112U << 23);
    half = (rebased + 0xFFFU + (rebased >> 13 & 1U)) >> 13;
  } else if (magnitude > 0x33000000U) {  // subnormal: above 2^-25, half of the smallest
    const std::uint32_t shift = 126U - (magnitude >> 23);
    const std::uint32_t mantissa = (magnitude & 0x7FFFFFU) | 0x800000U;
    const std::uint32_t kept = mantissa >> shift;
    const std::uint32_t rest = mantissa & ((1U << shift) - 1U);
    const std::uint32_t halfway = 1U << (shift - 1U);
    half = kept + ((rest > halfway || (rest == halfway && (kept & 1U) != 0)) ? 1U : 0U);
  }
  return {static_cast<std::uint16_t>(sign | half)};
}

}  // namespace sbora::inline SBORA_ABI::detail
