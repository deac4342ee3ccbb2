#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include <sbora/simd/float16.hpp>

/// The 16-bit formats as IEEE 754 defines them, by arithmetic on their values; nothing of sbora's own
/// conversions is in here.
namespace sbora_tests {

struct binary_format {
  int mantissa;  ///< bits
  int bias;
  int lowest() const { return 1 - bias; }  ///< exponent of the smallest normal number
  std::uint32_t infinity() const { return 0x7FFFU >> mantissa << mantissa; }
};

template <class Storage>
binary_format format_of() {
  if constexpr (std::is_same_v<Storage, sbora::bf16>) {
    return {7, 127};
  } else {
    static_assert(std::is_same_v<Storage, sbora::f16>);
    return {10, 15};
  }
}

/// The float that `value` stands for. A NaN keeps sign and payload; f16's become quiet.
template <class Storage>
float widened(Storage value) {
  const binary_format format = format_of<Storage>();
  const std::uint32_t bits = value.bits;
  const std::uint32_t magnitude = bits & 0x7FFFU;
  const std::uint32_t sign = bits >> 15 << 31;
  if (magnitude >= format.infinity()) {
    const std::uint32_t payload = (magnitude - format.infinity()) << (23 - format.mantissa);
    const bool quieted = payload != 0 && std::is_same_v<Storage, sbora::f16>;
    return std::bit_cast<float>(sign | 0x7F800000U | payload | (quieted ? 0x400000U : 0U));
  }
  const std::uint32_t field = magnitude >> format.mantissa;
  const std::uint32_t hidden = 1U << format.mantissa;
  const std::uint32_t fraction = magnitude % hidden;
  const double exact =
      field == 0 ? std::ldexp(fraction, format.lowest() - format.mantissa)
                 : std::ldexp(fraction + hidden, static_cast<int>(field) - 1 + format.lowest() - format.mantissa);
  return static_cast<float>(sign != 0 ? -exact : exact);
}

/// The nearest Storage, ties to even; a NaN keeps sign and top payload and becomes quiet.
template <class Storage>
Storage narrowed(float value) {
  const binary_format format = format_of<Storage>();
  const auto float_bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = float_bits >> 31 << 15;
  std::uint32_t bits;
  if (std::isnan(value)) {
    const std::uint32_t payload = (float_bits & 0x7FFFFFU) >> (23 - format.mantissa);
    bits = format.infinity() | 1U << (format.mantissa - 1) | payload;
  } else if (std::isinf(value)) {
    bits = format.infinity();
  } else {
    const double magnitude = std::fabs(static_cast<double>(value));
    int exponent = 0;  // magnitude = f·2^exponent, f in [1/2, 1)
    std::frexp(magnitude, &exponent);
    exponent = std::max(magnitude == 0 ? format.lowest() : exponent - 1, format.lowest());
    const double units = std::nearbyint(std::ldexp(magnitude, format.mantissa - exponent));
    // Units include the hidden bit, which counts the exponent field up by one.
    bits =
        (static_cast<std::uint32_t>(exponent - format.lowest()) << format.mantissa) + static_cast<std::uint32_t>(units);
    if (bits > format.infinity()) bits = format.infinity();
  }
  return {static_cast<std::uint16_t>(sign | bits)};
}

/// Any Storage as the type it is computed in, and back.
template <class Storage>
auto value_of(Storage stored) {
  if constexpr (std::is_floating_point_v<Storage>) return stored;
  else return widened(stored);
}
template <class Storage, class T>
Storage stored_as(T value) {
  if constexpr (std::is_floating_point_v<Storage>) return value;
  else return narrowed<Storage>(value);
}

}  // namespace sbora_tests
