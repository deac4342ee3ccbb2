#pragma once

#include <sbora/core/index.hpp>
#include <sbora/simd/cpu.hpp>

/// Constants that differ by processor, not by instruction set: one table. Results don't depend on them.
namespace sbora::inline SBORA_ABI::detail {

struct processor_tuning {
  /// How far ahead one token's product fetches each of the lines that it takes a step of in turn.
  index_t stream_ahead_bytes;
};

/// AMD's Zen 1 to 4: families 17h to 19h.
inline bool is_early_zen() noexcept {
#if defined(SBORA_X86)
  constexpr std::uint32_t authentic_amd = 0x68747541;  // the first four letters
  const std::uint32_t version = cpuid(1, 0).eax;
  const std::uint32_t family = (version >> 8 & 0xFU) + (version >> 20 & 0xFFU);
  return cpuid(0, 0).ebx == authentic_amd && family >= 0x17 && family <= 0x19;
#else
  return false;
#endif
}

/// (Zen 3, of a pass that only reads: f32 256 bytes 1.04, 512 0.99, 1024 0.97, 2048 0.90; f16 0.86, 0.84, 0.81, 0.79;
/// another time f32 256 1.01, 512 1.08. Granite Rapids, pieces of 128 elements instead of steps: 2048 0.99.)
inline const processor_tuning& tuning() noexcept {
  static const processor_tuning here{.stream_ahead_bytes = is_early_zen() ? 512 : 2048};
  return here;
}

}  // namespace sbora::inline SBORA_ABI::detail
