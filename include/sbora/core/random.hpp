#pragma once

#include <array>
#include <cstdint>

#include <sbora/core/compiler.hpp>
#include <sbora/core/index.hpp>

namespace sbora::inline SBORA_ABI {

/// Four random 32-bit words as a pure function of a 128-bit counter and a 64-bit key: Philox4x32-10.
///
/// Shapes      counter: words 0 (lowest) to 3; the result likewise.
/// Cost        20 32x32->64 multiplications, no state, no allocation.
/// Numerics    integers only: the same words on every platform and compiler.
/// Thread      pure.
/// Source      Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
SBORA_FORCE_INLINE constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                                     std::uint64_t key) noexcept {
  auto key_low = static_cast<std::uint32_t>(key);
  auto key_high = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key_low, static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key_high,
               static_cast<std::uint32_t>(product0)};
    key_low += 0x9E3779B9U;
    key_high += 0xBB67AE85U;
  }
  return counter;
}

/// A stream of 64-bit words: word i of (seed, stream) is philox4x32({i, stream}, seed), words 0 and 1.
///
/// Cost        one philox4x32 a word; 24 bytes of state.
/// Numerics    the same stream on every platform; different `stream` numbers are independent.
/// Thread      an object is one thread's; streams are cheap to make.
class random_stream {
 public:
  constexpr explicit random_stream(std::uint64_t seed, std::uint64_t stream = 0) noexcept
      : seed_(seed), stream_(stream) {}

  constexpr std::uint64_t next() noexcept {
    const auto words = philox4x32({static_cast<std::uint32_t>(position_), static_cast<std::uint32_t>(position_ >> 32),
                                   static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32)},
                                  seed_);
    ++position_;
    return words[0] | std::uint64_t{words[1]} << 32;
  }

  /// Uniform in [0, bound), bound > 0, without bias: words are masked to the bits of bound - 1 and
  /// those that fall outside are skipped (at most one in two on average).
  constexpr index_t below(index_t bound) noexcept {
    const auto last = static_cast<std::uint64_t>(bound - 1);
    std::uint64_t mask = last;
    for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
    for (;;) {
      const std::uint64_t draw = next() & mask;
      if (draw <= last) return static_cast<index_t>(draw);
    }
  }

  /// Uniform in [0, 1): the top 53 bits of a word.
  constexpr double uniform() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t position_ = 0;
};

}  // namespace sbora::inline SBORA_ABI
