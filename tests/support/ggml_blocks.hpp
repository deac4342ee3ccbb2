#pragma once

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <sbora/weights/ggml_view.hpp>

#include "support/random_values.hpp"

namespace sbora_tests {

inline constexpr sbora::ggml_type all_ggml_types[] = {
    sbora::ggml_type::q4_0,   sbora::ggml_type::q4_1, sbora::ggml_type::q5_0, sbora::ggml_type::q5_1,
    sbora::ggml_type::q8_0,   sbora::ggml_type::q4_k, sbora::ggml_type::q5_k, sbora::ggml_type::q6_k,
    sbora::ggml_type::iq4_nl, sbora::ggml_type::mxfp4};

/// A binary16's value, by the definition.
inline float half_value(const std::uint8_t* bytes) {
  const int bits = bytes[0] | bytes[1] << 8, exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double size = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return static_cast<float>((bits & 0x8000) != 0 ? -size : size);
}

/// Element `at` of a row of blocks, by the definitions in ggml's quantisers.
inline float ggml_value(sbora::ggml_type type, const std::uint8_t* row, index_t at) {
  using enum sbora::ggml_type;
  const auto& layout = sbora::detail::layout_of(type);
  const std::uint8_t* const b = row + at / layout.elements * layout.bytes;
  const index_t e = at % layout.elements, half = e % 16;
  const auto nibble = [&](const std::uint8_t* bytes) { return e < 16 ? bytes[half] & 15 : bytes[half] >> 4; };
  const auto fifth = [&](const std::uint8_t* bytes) { return (bytes[e / 8] >> e % 8 & 1) * 16; };
  const auto scaled = [](float scale, int code) { return scale * static_cast<float>(code); };
  const auto plus = [](float product, float minimum) {
    volatile float rounded = product;  // by itself
    return rounded + minimum;
  };
  switch (type) {
    case q4_0: return scaled(half_value(b), nibble(b + 2) - 8);
    case q4_1: return plus(scaled(half_value(b), nibble(b + 4)), half_value(b + 2));
    case q5_0: return scaled(half_value(b), nibble(b + 6) + fifth(b + 2) - 16);
    case q5_1: return plus(scaled(half_value(b), nibble(b + 8) + fifth(b + 4)), half_value(b + 2));
    case q8_0: return scaled(half_value(b), static_cast<std::int8_t>(b[2 + e]));
    case iq4_nl: {
      constexpr int values[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
      return scaled(half_value(b), values[nibble(b + 2)]);
    }
    case mxfp4: {
      constexpr float values[] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, 0, -0.5F, -1, -1.5F, -2, -3, -4, -6};
      return static_cast<float>(static_cast<double>(values[nibble(b + 1)]) * std::ldexp(1.0, b[0] - 127));
    }
    case q4_k:
    case q5_k: {
      const index_t g = e / 32, k = e % 32;
      const std::uint8_t* const s = b + 4;
      const int scale = g < 4 ? s[g] & 63 : (s[g + 4] & 15) | (s[g - 4] >> 6) << 4;
      const int minimum = g < 4 ? s[g + 4] & 63 : (s[g + 4] >> 4) | (s[g] >> 6) << 4;
      const std::uint8_t* const low = b + (type == q4_k ? 16 : 48) + g / 2 * 32;
      int code = g % 2 == 0 ? low[k] & 15 : low[k] >> 4;
      if (type == q5_k) code += (b[16 + k] >> g & 1) * 16;
      volatile float d = scaled(half_value(b), scale), m = scaled(half_value(b + 2), minimum);
      return plus(scaled(d, code), -m);
    }
    default: {  // q6_k
      const index_t side = e / 128, in_side = e % 128, quarter = in_side / 32, k = in_side % 32;
      const std::uint8_t low = b[side * 64 + quarter % 2 * 32 + k];
      const int code = (quarter < 2 ? low & 15 : low >> 4) + (b[128 + side * 32 + k] >> 2 * quarter & 3) * 16 - 32;
      volatile float d = scaled(half_value(b + 208), static_cast<std::int8_t>(b[192 + e / 16]));
      return scaled(d, code);
    }
  }
}

/// `count` blocks of random codes with scales that make values of at most some units.
inline void fill_ggml(sbora::ggml_type type, std::uint8_t* bytes, index_t count, random_values& random) {
  using enum sbora::ggml_type;
  const auto& layout = sbora::detail::layout_of(type);
  for (index_t block = 0; block < count; ++block, bytes += layout.bytes) {
    for (index_t i = 0; i < layout.bytes; ++i) bytes[i] = random.bits<std::uint8_t>();
    const auto put_scale = [&](index_t offset) {  // between 2^-7 and 2^-5, of either sign
      bytes[offset + 1] = static_cast<std::uint8_t>((bytes[offset + 1] & 0x80) | 0x20 | (bytes[offset + 1] & 7));
    };
    if (type == mxfp4) {
      bytes[0] = static_cast<std::uint8_t>(118 + bytes[0] % 5);
      continue;
    }
    put_scale(type == q6_k ? 208 : 0);
    if (type == q4_1 || type == q5_1 || type == q4_k || type == q5_k) put_scale(2);
    if (layout.elements == 256) bytes[type == q6_k ? 209 : 1] &= 0x83U;  // codes are multiplied twice
    if (type == q4_k || type == q5_k) bytes[3] &= 0x83U;
  }
}

/// A weight of random blocks.
struct ggml_blocks {
  sbora::ggml_type type;
  index_t d_out, d_in;
  std::vector<std::uint8_t> blocks;

  ggml_blocks(index_t out, index_t in, sbora::ggml_type of, std::uint64_t seed) : type(of), d_out(out), d_in(in) {
    random_values random(seed);
    const auto& layout = sbora::detail::layout_of(of);
    const index_t count = out * (in / layout.elements);
    blocks.resize(static_cast<std::size_t>(count * layout.bytes));
    fill_ggml(of, blocks.data(), count, random);
  }

  sbora::ggml_view view() const { return {blocks, type, d_out, d_in}; }
  float value(index_t row, index_t at) const { return ggml_value(type, blocks.data() + row * view().stride(), at); }
};

}  // namespace sbora_tests
