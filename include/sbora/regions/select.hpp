#pragma once

#include <concepts>

#include <sbora/core/finite.hpp>
#include <sbora/regions/sample.hpp>

namespace sbora::inline SBORA_ABI {

/// The `rank` indices of the highest scores (column norms, gradient norms, …), best first; equal scores
/// by lower index.
///
/// Shapes      scores: one a column (FA) or row (FB); dim = scores.size().
/// Cost        O(dim·log rank), one index array of dim.
/// Errors      region_error where rank isn't in [1, dim]; not_finite_error for a NaN score (infinities
///             compare as they should).
template <class Score>
  requires std::same_as<Score, float> || std::same_as<Score, double>
region top_region(std::span<const Score> scores, index_t rank) {
  const auto dim = static_cast<index_t>(scores.size());
  detail::check_rank("sbora::top_region", dim, rank);
  const auto score = [scores](index_t i) { return scores[static_cast<std::size_t>(i)]; };
  for (index_t i = 0; i < dim; ++i) {
    if (detail::is_nan(score(i))) {
      throw not_finite_error(detail::message({"sbora::top_region: score ", i, " is NaN"}), i, 0);
    }
  }
  std::vector<index_t> indices(scores.size());
  for (index_t i = 0; i < dim; ++i) indices[static_cast<std::size_t>(i)] = i;
  std::partial_sort(indices.begin(), indices.begin() + rank, indices.end(),
                    [score](index_t a, index_t b) { return score(a) > score(b) || (score(a) == score(b) && a < b); });
  indices.resize(static_cast<std::size_t>(rank));
  return region(dim, std::move(indices));
}

/// The same of a vector, an array or a span of them.
inline region top_region(std::span<const float> scores, index_t rank) { return top_region<float>(scores, rank); }
inline region top_region(std::span<const double> scores, index_t rank) { return top_region<double>(scores, rank); }

/// Disjoint regions of [0, dim), one of each rank: tasks that can be trained apart and merged together
/// in any order (Multi-SBoRA).
///
/// Shapes      ranks: one a task; their sum at most dim.
/// Cost        O(sum of ranks).
/// Numerics    consecutive runs of one sample_region(dim, sum, seed).
/// Errors      region_error where a rank is below 1 or the sum exceeds dim.
inline std::vector<region> partition_regions(index_t dim, std::span<const index_t> ranks, std::uint64_t seed) {
  index_t total = 0;
  for (const index_t rank : ranks) {
    detail::check_rank("sbora::partition_regions", dim, rank);
    total += rank;
    if (total > dim) {
      throw region_error(detail::message({"sbora::partition_regions: the ranks' sum exceeds dim = ", dim}));
    }
  }
  if (ranks.empty()) throw region_error("sbora::partition_regions: no ranks given");
  const std::vector<index_t> picked = detail::shuffled_prefix(dim, total, seed);
  std::vector<region> regions;
  auto next = picked.begin();
  for (const index_t rank : ranks) {
    regions.emplace_back(dim, std::vector<index_t>(next, next + rank));
    next += rank;
  }
  return regions;
}

/// The same with ranks of any integers: a list, an array, a vector.
template <detail::integer Integer>
std::vector<region> partition_regions(index_t dim, std::initializer_list<Integer> ranks, std::uint64_t seed) {
  return partition_regions(dim, std::span<const index_t>(detail::to_indices(ranks)), seed);
}
template <class Range>
  requires(detail::integer_range<Range> && !std::is_convertible_v<const Range&, std::span<const index_t>>)
std::vector<region> partition_regions(index_t dim, const Range& ranks, std::uint64_t seed) {
  return partition_regions(dim, std::span<const index_t>(detail::to_indices(ranks)), seed);
}

}  // namespace sbora::inline SBORA_ABI
