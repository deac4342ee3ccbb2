#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <vector>

#include <sbora/core/aligned_memory.hpp>
#include <sbora/weights/dynamic_map.hpp>
#include <sbora/weights/four_bit_view.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Scales quantised themselves: absmax - offset in 8-bit codes, one float for 256 of them.
struct nested_scales {
  aligned_vector<std::uint8_t> codes;
  std::vector<float> absmax;
  float offset = 0;
};

/// Places of the codes' changes among the 65536 steps that a value in [-1, 1] is rounded to first: what
/// bitsandbytes' CPU library does, so that a checkpoint has the same bytes.
inline std::uint8_t nearest_by_steps(const std::array<float, 255>& midpoints, float value) {
  constexpr float steps = 65535.0F;
  const float clamped = std::clamp(value, -1.0F, 1.0F);
  const float position = std::fma((clamped + 1.0F) * 0.5F, steps, 0.5F);
  const float stepped = -1.0F + 2.0F * std::floor(position) / steps;
  return static_cast<std::uint8_t>(std::lower_bound(midpoints.begin(), midpoints.end(), stepped) - midpoints.begin());
}

inline std::array<float, 255> midpoints_of(const std::array<float, 256>& map) {
  std::array<float, 255> midpoints;
  for (std::size_t i = 0; i < 255; ++i) midpoints[i] = 0.5F * (map[i] + map[i + 1]);
  return midpoints;
}

/// The mean in double, so that it is the same everywhere (PyTorch's depends on its vector width and
/// threads in the last bits), unless an offset is given.
inline nested_scales nest(std::span<const float> absmax, std::optional<float> offset) {
  nested_scales nested;
  if (offset) {
    nested.offset = *offset;
  } else {
    double sum = 0;
    for (const float value : absmax) sum += static_cast<double>(value);
    nested.offset = static_cast<float>(sum / static_cast<double>(absmax.size()));
  }
  const std::array<float, 255> midpoints = midpoints_of(signed_dynamic_map);
  const auto count = static_cast<index_t>(absmax.size());
  nested.codes.assign(absmax.size(), 0);
  for (index_t begin = 0; begin < count; begin += nested_blocksize) {
    const index_t end = std::min(count, begin + nested_blocksize);
    float greatest = 0;
    for (index_t i = begin; i < end; ++i) {
      greatest = std::max(greatest, std::fabs(absmax[static_cast<std::size_t>(i)] - nested.offset));
    }
    nested.absmax.push_back(greatest);
    if (greatest == 0) continue;
    const float inverse = 1.0F / greatest;
    for (index_t i = begin; i < end; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const float difference = absmax[at] - nested.offset;
      nested.codes[at] =
          nearest_by_steps(midpoints, std::isinf(inverse) ? difference / greatest : difference * inverse);
    }
  }
  return nested;
}

}  // namespace sbora::inline SBORA_ABI::detail
