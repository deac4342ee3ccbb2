#pragma once

#include <cmath>
#include <vector>

#include <sbora/weights/fp8_view.hpp>

#include "support/random_values.hpp"

namespace sbora_tests {

/// What an E4M3 code stands for, by the definition; 0x7F and 0xFF are NaN and none of these.
inline float e4m3_value(std::uint8_t code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  const double size = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return static_cast<float>((code & 0x80) != 0 ? -size : size);
}

/// Any code but those of NaN.
inline std::uint8_t e4m3_number(random_values& random) {
  const auto code = random.bits<std::uint8_t>();
  return (code & 0x7F) == 0x7F ? std::uint8_t{0x3C} : code;
}

/// A weight of random codes whose values are at most 1.75.
struct fp8_codes {
  index_t d_out, d_in;
  sbora::fp8_scaling scaling;
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;

  fp8_codes(index_t out, index_t in, sbora::fp8_scaling by, std::uint64_t seed) : d_out(out), d_in(in), scaling(by) {
    random_values random(seed);
    const index_t count = by == sbora::fp8_scaling::tensor ? 1
                          : by == sbora::fp8_scaling::row  ? out
                                                           : (out + 127) / 128 * ((in + 127) / 128);
    for (index_t i = 0; i < out * in; ++i) codes.push_back(e4m3_number(random));
    for (index_t i = 0; i < count; ++i) scales.push_back((random.uniform<float>() + 3) / 1024);
  }

  sbora::fp8_view view() const { return {codes, scales, d_out, d_in, scaling}; }
  float value(index_t row, index_t at) const {
    const index_t scale = scaling == sbora::fp8_scaling::tensor ? 0
                          : scaling == sbora::fp8_scaling::row  ? row
                                                                : row / 128 * ((d_in + 127) / 128) + at / 128;
    return e4m3_value(codes[static_cast<std::size_t>(row * d_in + at)]) * scales[static_cast<std::size_t>(scale)];
  }
};

inline constexpr sbora::fp8_scaling all_fp8_scalings[] = {sbora::fp8_scaling::tensor, sbora::fp8_scaling::row,
                                                          sbora::fp8_scaling::block_128};

}  // namespace sbora_tests
