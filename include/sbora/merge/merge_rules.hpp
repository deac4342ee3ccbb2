#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <sbora/adapters/adapter.hpp>
#include <sbora/core/misuse.hpp>
#include <sbora/merge/not_finite.hpp>
#include <sbora/regions/set_operations.hpp>
#include <sbora/weights/frozen_weight.hpp>

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
      throw merge_error(message({who, ": an adapter on this region is merged already"}));
    }
    if (merged.kind != kind) {
      throw merge_error(message({who, ": an adapter of the other kind is merged, and FA columns cross FB rows"}));
    }
    const std::vector<index_t> shared = shared_indices(merged.where(), target);
    if (!shared.empty()) {
      throw merge_error(
          message({who, ": the region shares ", shared.size(), (shared.size() == 1 ? " index" : " indices"),
                   " with one that is merged, the first is ", shared.front()}));
    }
  }
}

/// Throws merge_error where this region isn't merged.
template <class Entry>
typename std::vector<Entry>::iterator require_merged(const char* who, std::vector<Entry>& entries, adapter_kind kind,
                                                     const region& target) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.is(kind, target); });
  if (found == entries.end()) {
    throw merge_error(message({who, ": no adapter on this region is merged, ", entries.size(), " on others are"}));
  }
  return found;
}

template <adapter_kind Kind, class T>
std::type_identity<T> scalar_of_adapter(const basic_adapter<Kind, T>*);
std::type_identity<void> scalar_of_adapter(const void*);
/// Void where Argument is no adapter.
template <class Argument>
using adapter_scalar = typename decltype(scalar_of_adapter(std::declval<std::remove_reference_t<Argument>*>()))::type;

/// A matrix, codes, or what owns them. No scalar, of which Eigen's needn't be complete here.
template <class Weight, class Object = std::remove_cvref_t<Weight>>
concept cannot_be_merged_into =
    !storage_type<Object>::supported && (eigen_dense<Object> || (frozen_weight<Object> && !is_weight_view<Object>) ||
                                         requires(const Object& object) { object.view(); });

/// Of an adapter that is merged into a weight that computes in Scalar.
template <class Scalar, class Adapter>
inline constexpr misuse misuse_of_adapter = std::is_same_v<adapter_scalar<Adapter>, Scalar> ? misuse::none
                                            : std::is_void_v<adapter_scalar<Adapter>>       ? misuse::merge_call
                                                                                            : misuse::adapter_scalar;

/// Of an overlay's: (adapter).
template <class Scalar, class... Arguments>
inline constexpr misuse misuse_of_overlay = misuse::merge_call;
template <class Scalar, class Adapter>
inline constexpr misuse misuse_of_overlay<Scalar, Adapter> = misuse_of_adapter<Scalar, Adapter>;

/// Of merge, unmerge: (adapter, executor).
template <class Scalar, class... Arguments>
inline constexpr misuse misuse_of_merge = misuse::merge_call;
template <class Scalar, class Adapter, class... Rest>
inline constexpr misuse misuse_of_merge<Scalar, Adapter, Rest...> =
    misuse_of_adapter<Scalar, Adapter> != misuse::none ? misuse_of_adapter<Scalar, Adapter>
                                                       : misuse_of_rest<Rest...>(misuse::merge_call);

/// Of swap: (out, in, executor).
template <class Scalar, class... Arguments>
inline constexpr misuse misuse_of_swap = misuse::merge_call;
template <class Scalar, class Out, class In, class... Rest>
inline constexpr misuse misuse_of_swap<Scalar, Out, In, Rest...> =
    misuse_of_adapter<Scalar, Out> != misuse::none ? misuse_of_adapter<Scalar, Out>
                                                   : misuse_of_merge<Scalar, In, Rest...>;

/// Of rewrite: (adapter, before, executor).
template <class Scalar, class... Arguments>
inline constexpr misuse misuse_of_rewrite = misuse::merge_call;
template <class Scalar, class Adapter, class Before, class... Rest>
  requires std::is_invocable_v<Before&, index_t, index_t>
inline constexpr misuse misuse_of_rewrite<Scalar, Adapter, Before, Rest...> = misuse_of_merge<Scalar, Adapter, Rest...>;

/// Throws shape_error where an adapter of d_out × d_in is for another weight.
inline void check_merge_shape(const char* who, index_t d_out, index_t d_in, index_t weight_d_out, index_t weight_d_in) {
  if (d_out == weight_d_out && d_in == weight_d_in) return;
  throw shape_error(message({who, ": the adapter is for a weight of ", shape_text(d_out, d_in), ", the weight is ",
                             shape_text(weight_d_out, weight_d_in)}));
}
template <class Adapter>
void check_merge_shape(const char* who, const Adapter& adapter, index_t d_out, index_t d_in) {
  check_merge_shape(who, adapter.d_out(), adapter.d_in(), d_out, d_in);
}

}  // namespace sbora::inline SBORA_ABI::detail
