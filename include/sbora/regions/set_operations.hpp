#pragma once

#include <iterator>

#include <sbora/regions/region.hpp>

namespace sbora::inline SBORA_ABI::detail {

inline void check_same_dim(const region& a, const region& b) {
  if (a.dim() != b.dim()) {
    throw region_error(message({"sbora: regions of different dims, ", a.dim(), " and ", b.dim()}));
  }
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// The indices that two regions share, ascending; empty where adapters on them can't disturb each other.
///
/// Cost        O(rank_a + rank_b).
/// Errors      region_error where the dims differ.
inline std::vector<index_t> shared_indices(const region& a, const region& b) {
  detail::check_same_dim(a, b);
  std::vector<index_t> shared;
  std::set_intersection(a.sorted().begin(), a.sorted().end(), b.sorted().begin(), b.sorted().end(),
                        std::back_inserter(shared));
  return shared;
}

/// Whether two regions share an index. Cost and errors as shared_indices.
inline bool overlaps(const region& a, const region& b) { return !shared_indices(a, b).empty(); }

/// The indices plus `by`, of [0, dim): a region of a part's rows or columns as one of the whole weight's. With
/// region_union, the same channels in several parts: up and gate of a fused gate_up.
///
/// Cost        O(rank·log rank).
/// Errors      region_error where an index leaves [0, dim).
inline region shifted_region(const region& part, index_t by, index_t dim) {
  std::vector<index_t> indices;
  indices.reserve(static_cast<std::size_t>(part.rank()));
  for (const index_t index : part.indices()) {
    index_t shifted = 0;
    if (__builtin_add_overflow(index, by, &shifted)) shifted = -1;  // no index, as region says
    indices.push_back(shifted);
  }
  return region(dim, std::move(indices));
}

/// All indices of a in their order, then those of b that a lacks, in theirs.
///
/// Cost        O(rank·log rank).
/// Errors      region_error where the dims differ.
inline region region_union(const region& a, const region& b) {
  detail::check_same_dim(a, b);
  std::vector<index_t> indices(a.indices().begin(), a.indices().end());
  for (const index_t index : b.indices()) {
    if (!a.contains(index)) indices.push_back(index);
  }
  return region(a.dim(), std::move(indices));
}

}  // namespace sbora::inline SBORA_ABI
