#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <sbora/core/random.hpp>
#include <sbora/regions/region.hpp>

namespace sbora::inline SBORA_ABI::detail {

SBORA_COLD inline void check_rank(const char* who, index_t dim, index_t rank) {
  if (dim < 1) {
    throw region_error(message({who, ": dim must be at least 1, got ", dim}));
  }
  if (rank < 1 || rank > dim) {
    throw region_error(message({who, ": rank must be in [1, dim = ", dim, "], got ", rank}));
  }
}

/// The first `count` entries of a uniformly shuffled [0, n) by Fisher-Yates: step i swaps entry i with one that is
/// drawn from [i, n). All are drawn first; what an entry holds at a step is then looked up among the earlier swaps.
inline std::vector<index_t> shuffled_prefix(index_t n, index_t count, std::uint64_t seed) {
  random_stream random(seed);
  index_pairs swaps;  // (entry, step), ascending
  for (index_t i = 0; i < count; ++i) swaps.emplace_back(i + random.below(n - i), i);
  std::vector<index_t> picked(swaps.size()), moved(swaps.size());
  for (const auto& [entry, step] : swaps) picked[static_cast<std::size_t>(step)] = entry;
  sort_pairs(swaps);
  for (index_t i = 0; i < count; ++i) {
    // The last step before this one that swapped the entry left there what was at that step's own place.
    const auto at = [&](index_t entry) {
      const auto later = std::lower_bound(swaps.begin(), swaps.end(), std::pair(entry, i));
      const bool was_swapped = later != swaps.begin() && std::prev(later)->first == entry;
      return was_swapped ? moved[static_cast<std::size_t>(std::prev(later)->second)] : entry;
    };
    moved[static_cast<std::size_t>(i)] = at(i);
    index_t& pick = picked[static_cast<std::size_t>(i)];
    pick = at(pick);
  }
  return picked;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// `rank` indices of [0, dim), uniform over ordered samples without replacement.
///
/// Cost        O(rank·log rank) time, O(rank) memory, whatever dim is.
/// Numerics    Fisher-Yates on random_stream(seed): the same indices on every platform and compiler.
/// Errors      region_error where rank isn't in [1, dim] or dim < 1.
/// Source      The paper's choice; upstream draws from an unseeded random.sample.
inline region sample_region(index_t dim, index_t rank, std::uint64_t seed) {
  detail::check_rank("sbora::sample_region", dim, rank);
  return region(dim, detail::shuffled_prefix(dim, rank, seed));
}

/// Groups of `block` neighbours that start at multiples of `block`, drawn as in sample_region: with
/// block a multiple of a quantisation block or cache line, few blocks or lines are touched. The last
/// group of an uneven dim is never drawn.
///
/// Requires    block >= 1 and rank a multiple of it: checked. There are enough groups then.
/// Cost, numerics as sample_region.
/// Errors      region_error that names the value.
inline region sample_block_region(index_t dim, index_t rank, index_t block, std::uint64_t seed) {
  detail::check_rank("sbora::sample_block_region", dim, rank);
  if (block < 1 || rank % block != 0) {
    throw region_error(
        detail::message({"sbora::sample_block_region: rank = ", rank, " is not a multiple of block = ", block}));
  }
  const index_t groups = dim / block;
  std::vector<index_t> indices;
  indices.reserve(static_cast<std::size_t>(rank));
  for (const index_t group : detail::shuffled_prefix(groups, rank / block, seed)) {
    for (index_t i = 0; i < block; ++i) indices.push_back(group * block + i);
  }
  return region(dim, std::move(indices));
}

}  // namespace sbora::inline SBORA_ABI
