#pragma once

#include <span>

#include <sbora/core/compiled_once.hpp>
#include <sbora/model/model_adapter.hpp>
#include <sbora/model/problem_list.hpp>
#include <sbora/weights/any_weight.hpp>

namespace sbora::inline SBORA_ABI {

/// A number that tells the base weights of two models apart where an adapter touches them: its region's elements
/// only, so that it costs what a merge costs.
///
/// Covers      every bit of the region's elements, but for one change in 2^64. Nothing else of the weight and of the
///             model: that a whole model is the one of the training needs a hash of its files.
/// Requires    a weight of any kind that computes in float, unmerged.
/// Numerics    64-bit FNV-1a over the elements as little-endian floats, row by row with the region's indices in
///             their order: for FA w(0, idx[0]), w(0, idx[1]) …, for FB all of row idx[0], then idx[1] …. A bfloat16
///             checkpoint and its exact float copy have the same.
/// Errors      shape_error where the region isn't of this weight.
///
/// Of a weight whose rows are in several, from top to bottom (checkpoint_weights::pieces): as if they were in one.
SBORA_IN_IO_INSTANCES std::uint64_t base_fingerprint(std::span<const any_weight> pieces, adapter_kind kind,
                                                     const region& target);

inline std::uint64_t base_fingerprint(const any_weight& weight, adapter_kind kind, const region& target) {
  return base_fingerprint(std::span(&weight, 1), kind, target);
}

/// Of a module's part of an adapter.
template <class T>
std::uint64_t base_fingerprint(std::span<const any_weight> pieces, const model_adapter<T>& adapter,
                               std::string_view module) {
  return adapter.visit(module, [&](const auto& part) { return base_fingerprint(pieces, part.kind, part.target()); });
}
template <class T>
std::uint64_t base_fingerprint(const any_weight& weight, const model_adapter<T>& adapter, std::string_view module) {
  return base_fingerprint(std::span(&weight, 1), adapter, module);
}

/// Refuses an adapter that was trained on another base.
///
/// Effect      `fingerprint_of(module)` is asked once for every part that has a fingerprint recorded.
/// Errors      checkpoint_error with every module whose base differs, or for which none was recorded.
template <class T, class Function>
void require_same_base(const model_adapter<T>& adapter, Function&& fingerprint_of) {
  detail::problem_list problems;
  for (const std::string& module : adapter.modules()) {
    const std::optional<std::uint64_t> recorded = adapter.base_fingerprint(module);
    if (!recorded) {
      problems.add("module '" + module + "': no fingerprint of the base was recorded");
    } else if (fingerprint_of(module) != *recorded) {
      problems.add("module '" + module + "': the weight isn't the one that the adapter was trained on");
    }
  }
  problems.throw_if_any("the adapter is for another base", "give the one that it was trained on");
}

}  // namespace sbora::inline SBORA_ABI
