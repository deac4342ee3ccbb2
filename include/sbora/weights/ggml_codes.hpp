#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include <sbora/core/finite.hpp>
#include <sbora/kernels/ggml_types.hpp>
#include <sbora/simd/float16.hpp>
#include <sbora/simd/opaque.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A block of one of ggml's types as it is written: its scales, and codes by element. (The kernels only read blocks,
/// a row at a time.)
///
/// Effect      an element's value is scale·level − minimum of its group, where its code stands for the level: an
///             integer from least to greatest, or one of a table's.
/// Numerics    scales of new blocks of 32 as gguf-py's and ggml's reference quantisers make them; of blocks of 256 each
///             group's range in equal steps, which are whole steps of the block's own two scales (ggml searches).
/// Requires    a type that ggml_view reads; nothing is checked.
/// Source      ggml's ggml-common.h and ggml-quants.c (the _ref functions).
class ggml_block {
 public:
  ggml_block(ggml_type type, std::uint8_t* bytes) noexcept : type_(type), bytes_(bytes) {}

  static constexpr bool has_table(ggml_type type) noexcept {
    return type == ggml_type::iq4_nl || type == ggml_type::mxfp4;
  }
  /// Elements that share a scale.
  static constexpr index_t group_size(ggml_type type) noexcept { return type == ggml_type::q6_k ? 16 : 32; }
  static constexpr int least(ggml_type type) noexcept {
    switch (type) {
      case ggml_type::q4_0: return -8;
      case ggml_type::q5_0: return -16;
      case ggml_type::q8_0: return -128;
      case ggml_type::q6_k: return -32;
      default: return 0;
    }
  }
  static constexpr int greatest(ggml_type type) noexcept {
    switch (type) {
      case ggml_type::q4_0: return 7;
      case ggml_type::q8_0: return 127;
      case ggml_type::q5_1:
      case ggml_type::q5_k:
      case ggml_type::q6_k: return 31;
      default: return 15;
    }
  }

  struct scales {
    float scale = 0, minimum = 0;
  };
  scales of_group(index_t group) const noexcept {
    switch (type_) {
      case ggml_type::q4_1:
      case ggml_type::q5_1: return {half(0), -half(2)};
      case ggml_type::q4_k:
      case ggml_type::q5_k: {
        const auto [scale, minimum] = six_bits(group);
        return {opaque(half(0) * static_cast<float>(scale)), opaque(half(2) * static_cast<float>(minimum))};
      }
      case ggml_type::q6_k: {
        return {opaque(half(208) * static_cast<float>(static_cast<std::int8_t>(bytes_[192 + group]))), 0};
      }
      case ggml_type::mxfp4:
        return {float_from_bits(bytes_[0] < 2 ? 0x00200000U << bytes_[0] : (bytes_[0] - 1U) << 23), 0};
      default: return {half(0), 0};
    }
  }

  /// What a code stands for, less the minimum.
  static float level(ggml_type type, int code) noexcept {
    constexpr float iq4_nl[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    constexpr float mxfp4[] = {0, 1, 2, 3, 4, 6, 8, 12, -0.0F, -1, -2, -3, -4, -6, -8, -12};
    if (type == ggml_type::iq4_nl) return iq4_nl[code];
    return type == ggml_type::mxfp4 ? mxfp4[code] : static_cast<float>(code);
  }
  static float value(ggml_type type, const scales& of, int code) noexcept {
    return opaque(of.scale * level(type, code)) - of.minimum;
  }

  /// The code whose value is nearest.
  int nearest(const scales& of, float wanted) const noexcept {
    const int first = least(type_), last = greatest(type_);
    if (!has_table(type_)) {
      const float steps = of.scale == 0 ? 0 : (wanted + of.minimum) / of.scale;
      return static_cast<int>(std::clamp(std::nearbyint(steps), static_cast<float>(first), static_cast<float>(last)));
    }
    int best = first;
    for (int code = first + 1; code <= last; ++code) {
      if (std::fabs(value(type_, of, code) - wanted) < std::fabs(value(type_, of, best) - wanted)) best = code;
    }
    return best;
  }

  /// Whether a value is among those that the group's codes have, or within half a step of them.
  bool holds(const scales& of, float wanted) const noexcept {
    const bool fp4 = type_ == ggml_type::mxfp4;  // whose greatest and least are codes of 3 bits and a sign
    const float one = value(type_, of, fp4 ? 7 : least(type_)), other = value(type_, of, fp4 ? 15 : greatest(type_));
    const float low = std::min(one, other), high = std::max(one, other);
    const float half_step = (high - low) / static_cast<float>(2 * (greatest(type_) - least(type_)));
    return wanted >= low - half_step && wanted <= high + half_step;
  }

  void set_code(index_t element, int code) noexcept {
    const auto bits = static_cast<unsigned>(code - least(type_));
    const index_t half = element % 16, shift = element % 32 < 16 ? 0 : 4;
    switch (type_) {
      case ggml_type::q8_0: bytes_[2 + element] = static_cast<std::uint8_t>(code); break;
      case ggml_type::q4_0:
      case ggml_type::iq4_nl: put(2 + half, shift, 4, bits); break;
      case ggml_type::q4_1: put(4 + half, shift, 4, bits); break;
      case ggml_type::mxfp4: put(1 + half, shift, 4, bits); break;
      case ggml_type::q5_0:
      case ggml_type::q5_1: {
        const index_t high = type_ == ggml_type::q5_0 ? 2 : 4;
        put(high + 4 + half, shift, 4, bits);
        put(high + element / 8, element % 8, 1, bits >> 4);
        break;
      }
      case ggml_type::q4_k: put(16 + element / 64 * 32 + element % 32, element / 32 % 2 * 4, 4, bits); break;
      case ggml_type::q5_k:
        put(48 + element / 64 * 32 + element % 32, element / 32 % 2 * 4, 4, bits);
        put(16 + element % 32, element / 32, 1, bits >> 4);
        break;
      default: {  // q6_k
        const index_t side = element / 128, quarter = element / 32 % 4, k = element % 32;
        put(side * 64 + quarter % 2 * 32 + k, quarter / 2 * 4, 4, bits);
        put(128 + side * 32 + k, quarter * 2, 2, bits >> 4);
      }
    }
  }

  /// Scales for these values, of all of the block's elements.
  void set_scales(std::span<const float> values) noexcept {
    const auto [low, high] = std::ranges::minmax(values);
    const float largest = -low > high ? low : high;  // by size, with its sign
    switch (type_) {
      case ggml_type::q4_0: put_half(0, largest / -8); break;
      case ggml_type::q5_0: put_half(0, largest / -16); break;
      case ggml_type::q8_0: put_half(0, std::fabs(largest) / 127); break;
      case ggml_type::iq4_nl: put_half(0, largest / -127); break;
      case ggml_type::q4_1:
      case ggml_type::q5_1:
        put_half(0, (high - low) / static_cast<float>(greatest(type_)));
        put_half(2, low);
        break;
      case ggml_type::mxfp4: {  // the power of two with which the largest is 4 to 8 of the steps from 0 to 6
        const float size = std::fabs(largest);
        const int exponent = size > 0 ? std::ilogb(size) - 2 : -127;
        bytes_[0] = static_cast<std::uint8_t>(std::clamp(exponent + 127, 0, 254));
        break;
      }
      case ggml_type::q6_k: set_signed_scales(values); break;
      default: set_six_bits(values);
    }
  }

 private:
  float half(index_t at) const noexcept {
    f16 stored;
    std::memcpy(&stored.bits, bytes_ + at, sizeof stored.bits);
    return widen(stored);
  }
  void put_half(index_t at, float value) noexcept {
    const f16 stored = narrow_f16(value);
    std::memcpy(bytes_ + at, &stored.bits, sizeof stored.bits);
  }
  /// `count` bits of a byte from `shift` on.
  void put(index_t at, index_t shift, int count, unsigned bits) noexcept {
    const unsigned mask = ((1U << count) - 1U) << shift;
    bytes_[at] = static_cast<std::uint8_t>((bytes_[at] & ~mask) | (bits << shift & mask));
  }

  struct pair {
    unsigned scale, minimum;
  };
  pair six_bits(index_t g) const noexcept {
    const std::uint8_t* const s = bytes_ + 4;
    if (g < 4) return {s[g] & 63U, s[g + 4] & 63U};
    return {(s[g + 4] & 15U) | (s[g - 4] >> 6) * 16U, (s[g + 4] >> 4) | (s[g] >> 6) * 16U};
  }
  void put_six_bits(index_t g, pair of) noexcept {
    if (g < 4) {
      put(4 + g, 0, 6, of.scale);
      put(8 + g, 0, 6, of.minimum);
    } else {
      put(8 + g, 0, 4, of.scale);
      put(8 + g, 4, 4, of.minimum);
      put(g, 6, 2, of.scale >> 4);
      put(4 + g, 6, 2, of.minimum >> 4);
    }
  }

  void set_six_bits(std::span<const float> values) noexcept {
    float steps[8], minima[8];
    for (std::size_t g = 0; g < 8; ++g) {
      const auto [low, high] = std::ranges::minmax(values.subspan(g * 32, 32));
      minima[g] = std::max(0.0F, -low);
      steps[g] = (std::max(high, -minima[g]) + minima[g]) / static_cast<float>(greatest(type_));
    }
    put_half(0, *std::ranges::max_element(steps) / 63);
    put_half(2, *std::ranges::max_element(minima) / 63);
    for (std::size_t g = 0; g < 8; ++g) {
      put_six_bits(static_cast<index_t>(g), {in_steps(steps[g], half(0)), in_steps(minima[g], half(2))});
    }
  }
  static unsigned in_steps(float value, float step) noexcept {
    return step > 0 ? static_cast<unsigned>(std::clamp(std::nearbyint(value / step), 0.0F, 63.0F)) : 0U;
  }

  void set_signed_scales(std::span<const float> values) noexcept {
    float steps[16], largest = 0;
    for (std::size_t g = 0; g < 16; ++g) {
      const auto [low, high] = std::ranges::minmax(values.subspan(g * 16, 16));
      steps[g] = (-low > high ? low : high) / -32;
      if (std::fabs(steps[g]) > std::fabs(largest)) largest = steps[g];
    }
    put_half(208, largest / -128);
    const float step = half(208);
    for (std::size_t g = 0; g < 16; ++g) {
      const float in = step == 0 ? 0 : std::clamp(std::nearbyint(steps[g] / step), -128.0F, 127.0F);
      bytes_[192 + g] = static_cast<std::uint8_t>(static_cast<std::int8_t>(in));
    }
  }

  ggml_type type_;
  std::uint8_t* bytes_;
};

/// Makes a block hold these values, where `touched` says which of them it doesn't hold yet.
///
/// Effect      codes of touched elements alone, as long as the block's scales have room for all of them: then the
///             others stay what they are. Otherwise scales and codes anew.
/// Returns     false where the scales don't fit binary16, which leaves infinity or NaN.
template <class Touched>
bool requantise_ggml(ggml_type type, std::uint8_t* bytes, std::span<const float> values, Touched touched) {
  ggml_block block(type, bytes);
  const index_t size = ggml_block::group_size(type), count = std::ssize(values);
  const auto for_elements = [&](auto&& f) {
    ggml_block::scales of;
    for (index_t i = 0; i < count; ++i) {
      if (i % size == 0) of = block.of_group(i / size);
      if (!f(i, of, values[static_cast<std::size_t>(i)])) return false;
    }
    return true;
  };
  const bool fits = for_elements([&](index_t i, const auto& of, float value) {
    return !touched(i) || (is_finite(of.scale) && is_finite(of.minimum) && block.holds(of, value));
  });
  if (!fits) block.set_scales(values);
  return for_elements([&](index_t i, const auto& of, float value) {
    if (!is_finite(of.scale) || !is_finite(of.minimum)) return false;
    if (!fits || touched(i)) block.set_code(i, block.nearest(of, value));
    return true;
  });
}

}  // namespace sbora::inline SBORA_ABI::detail
