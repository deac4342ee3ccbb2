#pragma once

#include <algorithm>
#include <cstdlib>
#include <vector>

#include <sbora/kernels/dispatch.hpp>

namespace sbora_tests {

/// Levels with kernels of their own that this build has and this machine runs; with SBORA_FORCE_ISA,
/// that one alone.
inline std::vector<sbora::isa> tested_levels() {
  if (const char* forced = std::getenv("SBORA_FORCE_ISA"); forced != nullptr && *forced != '\0')
    return {sbora::isa_from_string(forced)};
  std::vector<sbora::isa> levels;
  for (const sbora::isa level : sbora::all_levels) {
    // Those after avx512 share most kernels with it; their own have tests that ask for them.
    if (level == sbora::isa::avx512_bf16 || level == sbora::isa::avx512_amx) continue;
    if (sbora::is_supported(level)) levels.push_back(level);
  }
  return levels;
}

/// Elements of T in one vector of `level`.
template <class T>
sbora::index_t lanes(sbora::isa level) {
  const auto in_bytes = [](sbora::index_t bytes) { return bytes / static_cast<sbora::index_t>(sizeof(T)); };
  switch (level) {
    case sbora::isa::scalar: return 1;
    case sbora::isa::avx2: return in_bytes(32);
    case sbora::isa::avx512:
    case sbora::isa::avx512_bf16:
    case sbora::isa::avx512_amx: return in_bytes(64);
    case sbora::isa::neon: return in_bytes(16);
  }
  return 1;
}

/// Lengths with every kind of tail: none, one, all but one; of no, one and several whole vectors.
template <class T>
std::vector<sbora::index_t> lengths_around(sbora::isa level) {
  const sbora::index_t n = lanes<T>(level);
  std::vector<sbora::index_t> lengths = {1,     2,         n - 1, n,         n + 1,        2 * n - 1,
                                         2 * n, 2 * n + 1, 3 * n, 3 * n + 2, 5 * n + n / 2};
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  std::erase(lengths, 0);
  return lengths;
}

}  // namespace sbora_tests
