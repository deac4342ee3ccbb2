#pragma once

#include <sbora/layers/adapter_rows.hpp>
#include <sbora/layers/collected_tokens.hpp>
#include <sbora/layers/delta_product.hpp>
#include <sbora/layers/group_tasks.hpp>

/// The adapters' parts of a batch whose tokens use different ones, group by group. mixed.hpp wraps it.
namespace sbora::inline SBORA_ABI::detail {

/// The tokens of a group as an activation: where they lie, where they are a run, or as a copy.
template <class X>
activation_view<X> tokens_in(activation_view<X> a, const adapter_rows& rows, const adapter_rows::group& g,
                             workspace_frame& frame, any_executor pool) {
  const auto tokens = rows.rows().subspan(static_cast<std::size_t>(g.first), static_cast<std::size_t>(g.count));
  return g.is_run ? tokens_of(a, tokens[0], g.count) : collected(a, tokens, frame, pool);
}

/// Puts a copy that was worked on back.
template <class X>
void put_back(activation_view<X> worked_on, activation_view<X> a, const adapter_rows& rows,
              const adapter_rows::group& g, any_executor pool) {
  if (g.is_run) return;
  put_back(worked_on, a, rows.rows().subspan(static_cast<std::size_t>(g.first), static_cast<std::size_t>(g.count)),
           pool);
}

/// work(adapter, group, frame, executor) for the groups whose adapters take part, stage after stage.
template <class T, class Work>
void for_each_group(std::span<const weight_delta<T>> adapters, const adapter_rows& rows, workspace_frame frame,
                    any_executor pool, const Work& work) {
  for (index_t stage = 0; stage < rows.stages(); ++stage) {
    const std::span<const adapter_rows::group> groups = rows.stage(stage);
    const auto adapter_of = [&](index_t i) -> const weight_delta<T>& {
      return adapters[static_cast<std::size_t>(groups[static_cast<std::size_t>(i)].adapter)];
    };
    const auto multiplications = [&](index_t i) {
      const weight_delta<T>& a = adapter_of(i);
      return a.enabled ? groups[static_cast<std::size_t>(i)].count * a.rank() * a.geometry().lines : 0;
    };
    for_each_group(std::ssize(groups), multiplications, frame, pool,
                   [&](index_t i, workspace_frame its, any_executor tasks) {
                     work(adapter_of(i), groups[static_cast<std::size_t>(i)], its, tasks);
                   });
  }
}

/// out += each token's adapters' parts of x (forward) or dy.
template <class T, class X>
void add_mixed(std::span<const weight_delta<T>> adapters, const adapter_rows& rows, bool forward,
               activation_view<const X> source, activation_view<T> out, workspace_frame frame, any_executor pool) {
  for_each_group(adapters, rows, frame, pool,
                 [&](const weight_delta<T>& a, const adapter_rows::group& g, workspace_frame its, any_executor tasks) {
                   const auto from = tokens_in(source, rows, g, its, tasks);
                   const auto to = tokens_in(out, rows, g, its, tasks);
                   add_delta(a, forward, from, to, its, tasks);
                   put_back(to, out, rows, g, tasks);
                 });
}

/// The same of x in training: with the dropout of `step`, whose masks count an adapter's tokens from 0.
template <class T, class X>
void add_mixed_training(std::span<const weight_delta<T>> adapters, const adapter_rows& rows, std::uint64_t step,
                        activation_view<const X> x, activation_view<T> y, workspace_frame frame, any_executor pool) {
  for_each_group(adapters, rows, frame, pool,
                 [&](const weight_delta<T>& a, const adapter_rows::group& g, workspace_frame its, any_executor tasks) {
                   const auto from = tokens_in(x, rows, g, its, tasks);
                   const auto to = tokens_in(y, rows, g, its, tasks);
                   T* const gathered = a.geometry().is_of_input(true) ? its.take<T>(g.count * a.rank()) : nullptr;
                   if (a.geometry().is_of_input(true)) keep_input(a, from, step, gathered, tasks);
                   add_training_delta(a, from, step, static_cast<const T*>(gathered), to, its, tasks);
                   put_back(to, y, rows, g, tasks);
                 });
}

/// Gradients of the adapters that have one, and dx += their parts, unless dx is null.
template <class T, class Y, class X>
void add_mixed_gradients(std::span<const weight_delta<T>> adapters, const adapter_rows& rows, std::uint64_t step,
                         activation_view<const Y> dy, activation_view<const X> x, const activation_view<T>* dx,
                         workspace_frame frame, any_executor pool) {
  for_each_group(adapters, rows, frame, pool,
                 [&](const weight_delta<T>& a, const adapter_rows::group& g, workspace_frame its, any_executor tasks) {
                   const auto from = tokens_in(dy, rows, g, its, tasks);
                   if (a.gradient != nullptr) {
                     workspace_frame rest = its;
                     const auto in = tokens_in(x, rows, g, rest, tasks);
                     add_gradient_again(a, from, in, step, rest, tasks);
                   }
                   if (dx == nullptr) return;
                   const auto to = tokens_in(*dx, rows, g, its, tasks);
                   add_training_gradient(a, from, step, to, its, tasks);
                   put_back(to, *dx, rows, g, tasks);
                 });
}

}  // namespace sbora::inline SBORA_ABI::detail
