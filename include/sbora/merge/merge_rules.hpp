#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <sbora/adapters/adapter.hpp>
#include <sbora/merge/not_finite.hpp>
#include <sbora/regions/set_operations.hpp>

/// What may be merged beside what: the same for a merger and an overlay. Entries have members kind, target
/// where() and is(kind, region).
namespace sbora::inline SBORA_ABI::detail {

/// Throws merge_error where a merged region but that of `leaving` meets the new one.
template <class Entry>
void check_region_free(const char* who, const std::vector<Entry>& entries, const Entry* leaving, adapter_kind kind,
                       const region& target) {
  for (const Entry& merged : entries) {
    if (&merged == leaving) continue;
    if (merged.is(kind, target)) {
      throw merge_error(std::string(who) + ": an adapter on this region is merged already");
    }
    if (merged.kind != kind) {
      throw merge_error(std::string(who) + ": an adapter of the other kind is merged, and FA columns cross FB rows");
    }
    const std::vector<index_t> shared = shared_indices(merged.where(), target);
    if (!shared.empty()) {
      throw merge_error(std::string(who) + ": the region shares " + std::to_string(shared.size()) +
                        (shared.size() == 1 ? " index" : " indices") + " with one that is merged, the first is " +
                        std::to_string(shared.front()));
    }
  }
}

/// Throws merge_error where this region isn't merged.
template <class Entry>
typename std::vector<Entry>::iterator require_merged(const char* who, std::vector<Entry>& entries, adapter_kind kind,
                                                     const region& target) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.is(kind, target); });
  if (found == entries.end()) {
    throw merge_error(std::string(who) + ": no adapter on this region is merged, " + std::to_string(entries.size()) +
                      " on others are");
  }
  return found;
}

/// Throws shape_error where an adapter of d_out × d_in is for another weight.
inline void check_merge_shape(const char* who, index_t d_out, index_t d_in, index_t weight_d_out, index_t weight_d_in) {
  if (d_out == weight_d_out && d_in == weight_d_in) return;
  throw shape_error(std::string(who) + ": the adapter is for a weight of " + shape_text(d_out, d_in) +
                    ", the weight is " + shape_text(weight_d_out, weight_d_in));
}
template <class Adapter>
void check_merge_shape(const char* who, const Adapter& adapter, index_t d_out, index_t d_in) {
  check_merge_shape(who, adapter.d_out(), adapter.d_in(), d_out, d_in);
}

}  // namespace sbora::inline SBORA_ABI::detail
