#pragma once

/// Inputs: fast, seeded, the same on every machine. Not the library's generator: what is measured
/// shouldn't make its own inputs.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace bench {

inline std::uint64_t splitmix64(std::uint64_t& state) {
  std::uint64_t word = (state += 0x9E3779B97F4A7C15U);
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9U;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBU;
  return word ^ (word >> 31);
}

/// Uniform in [-scale, scale).
template <class Scalar>
void fill_uniform(std::span<Scalar> values, std::uint64_t seed, float scale = 1.0F) {
  for (Scalar& value : values) {
    const auto bits = static_cast<std::int32_t>(splitmix64(seed) >> 32);
    value = static_cast<Scalar>(static_cast<float>(bits) * (scale / 2147483648.0F));
  }
}

/// A number that changes when any bit of the values does; for "restored bit for bit".
template <class T>
std::uint64_t checksum(std::span<const T> values) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::uint64_t sum = 0x243F6A8885A308D3U;
  for (const T& value : values) {
    std::uint64_t word = 0;
    __builtin_memcpy(&word, &value, sizeof(T));
    sum = std::rotl(sum ^ word, 23) * 0x9E3779B97F4A7C15U;
  }
  return sum;
}

}  // namespace bench
