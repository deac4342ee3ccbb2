#pragma once

#include <cstdint>

#include <sbora/kernels/steps.hpp>
#include <sbora/weights/dynamic_map.hpp>

namespace sbora::inline SBORA_ABI::detail {

inline constexpr std::size_t moment_steps = moment_map::last_step - moment_map::first_step + 1;

/// The steps (see moment_map) of an ascending map's entries from that of zero on; a tie goes to the smaller. Without
/// `to_zero`, numbers below half the least entry become that entry instead of zero.
/// consteval: reaching a `throw` is a compile error.
consteval std::array<std::uint32_t, moment_steps> steps_of(const std::array<float, 256>& map, std::size_t code_of_zero,
                                                           bool to_zero) {
  std::array<std::uint32_t, moment_steps> steps{};
  std::uint32_t entry = to_zero ? 0 : 1;
  const std::uint32_t last_entry = static_cast<std::uint32_t>(255 - code_of_zero);
  for (std::size_t i = 0; i < moment_steps; ++i) {
    const auto upper = static_cast<std::uint32_t>(moment_map::first_step + i) << 16;
    steps[i] = entry << 16 | 0xFFFFU;  // no lower bits are above
    for (int changes = 0; entry < last_entry; ++changes) {
      const float boundary = 0.5F * (map[code_of_zero + entry] + map[code_of_zero + entry + 1]);
      const auto bits = std::bit_cast<std::uint32_t>(boundary);
      if (bits >> 16 != upper >> 16) break;
      if (changes > 0) throw "two boundaries in one step";
      steps[i] = entry << 16 | (bits & 0xFFFFU);
      ++entry;
    }
  }
  if (entry != last_entry) throw "a boundary outside of all steps";
  return steps;
}

inline constexpr std::array<std::uint32_t, moment_steps> first_moment_steps = steps_of(signed_dynamic_map, 127, true);
inline constexpr std::array<std::uint32_t, moment_steps> second_moment_steps = steps_of(unsigned_dynamic_map, 0, false);

inline constexpr moment_map first_moment_map = {signed_dynamic_map.data(), first_moment_steps.data(), 127};
/// A second moment that isn't zero never becomes zero, or m / √v would be as large as 1 / epsilon allows once the
/// gradient is small (the "zero point" of arXiv 2309.01507).
inline constexpr moment_map second_moment_map = {unsigned_dynamic_map.data(), second_moment_steps.data(), 0};

}  // namespace sbora::inline SBORA_ABI::detail
