#pragma once

#include <cstdint>

#include <sbora/core/abi.hpp>
#include <sbora/core/compiler.hpp>

/// By bits: under -ffast-math compilers fold floating comparisons with what isn't finite away.
namespace sbora::inline SBORA_ABI::detail {

SBORA_FORCE_INLINE bool is_finite(float value) noexcept {
  return (__builtin_bit_cast(std::uint32_t, value) & 0x7F800000U) != 0x7F800000U;
}
SBORA_FORCE_INLINE bool is_finite(double value) noexcept {
  constexpr std::uint64_t exponent = 0x7FF0000000000000U;
  return (__builtin_bit_cast(std::uint64_t, value) & exponent) != exponent;
}

SBORA_FORCE_INLINE bool is_nan(float value) noexcept {
  return (__builtin_bit_cast(std::uint32_t, value) & 0x7FFFFFFFU) > 0x7F800000U;
}
SBORA_FORCE_INLINE bool is_nan(double value) noexcept {
  return (__builtin_bit_cast(std::uint64_t, value) & 0x7FFFFFFFFFFFFFFFU) > 0x7FF0000000000000U;
}

}  // namespace sbora::inline SBORA_ABI::detail
