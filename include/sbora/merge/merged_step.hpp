#pragma once

#include <sbora/merge/merger.hpp>
#include <sbora/core/finite.hpp>
#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/clip.hpp>
#include <sbora/optimisers/sgd.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Of a merged step but for its rate: (merger, adapter, optimiser, executor), the first three as references.
template <class Merger, class Adapter, class Optimiser, class... Rest>
inline constexpr misuse misuse_of_merged_step = misuse::merged_step_call;
template <class Scalar, class Adapter, class Optimiser, class... Rest>
  requires(!std::is_const_v<Adapter> && !std::is_void_v<adapter_scalar<Adapter>> && !std::is_const_v<Optimiser> &&
           std::is_same_v<typename Optimiser::scalar, adapter_scalar<Adapter>>)
inline constexpr misuse misuse_of_merged_step<merger<Scalar>&, Adapter&, Optimiser&, Rest...> =
    misuse_of_merge<typename weight_view<Scalar>::compute_scalar, Adapter, Rest...>;

/// All of it.
template <class... Arguments>
inline constexpr misuse misuse_of_merged_step_call = misuse::merged_step_call;
template <class Merger, class Adapter, class Optimiser, class Rate, class... Rest>
  requires std::is_arithmetic_v<std::remove_cvref_t<Rate>>
inline constexpr misuse misuse_of_merged_step_call<Merger, Adapter, Optimiser, Rate, Rest...> =
    misuse_of_merged_step<Merger, Adapter, Optimiser, Rest...>;
template <class Merger, class Adapter, class Optimiser, class Rate, class... Rest>
  requires std::is_convertible_v<Rate, step_options>
inline constexpr misuse misuse_of_merged_step_call<Merger, Adapter, Optimiser, Rate, Rest...> = misuse::none;

}  // namespace sbora::inline SBORA_ABI::detail

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
  requires(detail::misuse_of_merged_step<merger<Scalar>&, basic_adapter<Kind, T>&, Optimiser&, Executor> ==
           detail::misuse::none)
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
  requires(detail::misuse_of_merged_step_call<merger<Scalar>&, basic_adapter<Kind, T>&, Optimiser&, Rate, Executor> ==
               detail::misuse::none &&
           std::is_arithmetic_v<Rate>)
void merged_step(merger<Scalar>& into, basic_adapter<Kind, T>& adapter, Optimiser& optimiser, Rate learning_rate,
                 Executor&& pool = Executor{}) {
  merged_step(into, adapter, optimiser, step_options{static_cast<double>(learning_rate)}, pool);
}

/// Any other arguments don't compile, and these say why.
template <class Merger, class Adapter, class Optimiser, class... Rest>
  requires(detail::misuse_of_merged_step<Merger, Adapter, Optimiser, Rest...> != detail::misuse::none)
void merged_step(Merger&&, Adapter&&, Optimiser&&, step_options, Rest&&...) {
  constexpr auto found = detail::misuse_of_merged_step<Merger, Adapter, Optimiser, Rest...>;
#include <sbora/core/misuse.inl>
}
template <class... Arguments>
  requires(detail::misuse_of_merged_step_call<Arguments...> != detail::misuse::none)
void merged_step(Arguments&&...) {
  constexpr auto found = detail::misuse_of_merged_step_call<Arguments...>;
#include <sbora/core/misuse.inl>
}

}  // namespace sbora::inline SBORA_ABI
