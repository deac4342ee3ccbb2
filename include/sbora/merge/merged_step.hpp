#pragma once

#include <sbora/merge/merger.hpp>
#include <sbora/core/finite.hpp>
#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/clip.hpp>
#include <sbora/optimisers/sgd.hpp>

namespace sbora::inline SBORA_ABI {

/// An optimiser step of a merged adapter and its region written anew, in one pass.
///
/// Effect      parameters = optimiser.step(parameters, gradient, now);
///             W = originals + round(s·B) on the adapter's region: the bits of unmerge, step and merge.
/// Shapes      the optimiser is one of this adapter's parameters alone.
/// Requires    the adapter is merged by `into`, the gradient is finite: checked.
/// Cost        the step's pass and a write of the region: each task's parameters are still in the cache
///             when their columns or rows are written (not with adamw_8bit and muon, whose steps can't be cut that
///             way). One pass over the gradient before. No allocation.
/// Numerics    as the optimiser and merger: equal bits for any executor.
/// Thread      as merger.
/// Errors      merge_error, shape_error, config_error, not_finite_error, before anything is written.
template <class Scalar, adapter_kind Kind, class T, class Optimiser, class Executor = serial_executor>
void merged_step(merger<Scalar>& into, basic_adapter<Kind, T>& adapter, Optimiser& optimiser, step_options now,
                 Executor&& pool = Executor{}) {
  detail::check_merge_shape("sbora::merged_step", adapter, into.weight().d_out(), into.weight().d_in());
  if (!into.is_merged(adapter)) throw merge_error("sbora::merged_step: the adapter isn't merged");
  if (!detail::is_finite(gradient_norm(std::span<const T>(adapter.gradient())))) {
    throw not_finite_error("sbora::merged_step: the gradient isn't finite", -1, -1);
  }
  if constexpr (requires { optimiser.start_step(adapter.parameters(), adapter.gradient(), now); }) {
    into.rewrite(adapter, optimiser.start_step(adapter.parameters(), adapter.gradient(), now), pool);
  } else {
    optimiser.step(adapter.parameters(), adapter.gradient(), now, pool);
    into.rewrite(
        adapter, [](index_t, index_t) {}, pool);
  }
}

/// The same with that learning rate.
template <class Scalar, adapter_kind Kind, class T, class Optimiser, class Rate, class Executor = serial_executor>
  requires std::is_arithmetic_v<Rate>
void merged_step(merger<Scalar>& into, basic_adapter<Kind, T>& adapter, Optimiser& optimiser, Rate learning_rate,
                 Executor&& pool = Executor{}) {
  merged_step(into, adapter, optimiser, step_options{static_cast<double>(learning_rate)}, pool);
}

}  // namespace sbora::inline SBORA_ABI
