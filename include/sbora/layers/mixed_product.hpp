#pragma once

#include <sbora/layers/adapter_rows.hpp>
#include <sbora/layers/collected_tokens.hpp>
#include <sbora/layers/delta_product.hpp>
#include <sbora/layers/group_tasks.hpp>

/// The adapters' parts of a batch whose tokens use different ones, group by group. mixed.hpp wraps it.
namespace sbora::inline SBORA_ABI::detail {

inline std::span<const index_t> tokens_of(const adapter_rows& rows, const adapter_rows::group& g) {
  return rows.rows().subspan(static_cast<std::size_t>(g.first), static_cast<std::size_t>(g.count));
}

/// The tokens of a group as an activation: where they lie, where they are a run, or as a copy. For what is read or
/// written whole; of a region's features only those are.
template <class X>
activation_view<X> tokens_in(activation_view<X> a, const adapter_rows& rows, const adapter_rows::group& g,
                             workspace_frame& frame, any_executor pool) {
  const auto tokens = tokens_of(rows, g);
  return g.is_run ? tokens_of(a, tokens[0], g.count) : collected(a, tokens, frame, pool);
}

/// Puts a copy that was worked on back.
template <class X>
void put_back(activation_view<X> worked_on, activation_view<X> a, const adapter_rows& rows,
              const adapter_rows::group& g, any_executor pool) {
  if (!g.is_run) put_back(worked_on, a, tokens_of(rows, g), pool);
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

/// A group's features of the region: tokens × rank.
template <class T, class X>
T* gathered_of(const weight_delta<T>& a, activation_view<const X> source, std::span<const index_t> tokens,
               workspace_frame& frame, any_executor pool) {
  T* const gathered = frame.take<T>(std::ssize(tokens) * a.rank());
  gather(source, tokens, *a.target, gathered, pool);
  return gathered;
}

/// out += each token's adapters' parts of x (forward) or dy.
template <class T, class X>
void add_mixed(std::span<const weight_delta<T>> adapters, const adapter_rows& rows, bool forward,
               activation_view<const X> source, activation_view<T> out, workspace_frame frame, any_executor pool) {
  for_each_group(adapters, rows, frame, pool,
                 [&](const weight_delta<T>& a, const adapter_rows::group& g, workspace_frame its, any_executor tasks) {
                   if (!a.geometry().is_of_input(forward)) {
                     const auto from = tokens_in(source, rows, g, its, tasks);
                     const T* const product = region_product(a, from, nullptr, its, tasks);
                     return scatter_add(product, *a.target, a.scale, out, tokens_of(rows, g), tasks);
                   }
                   const T* const gathered = gathered_of(a, source, tokens_of(rows, g), its, tasks);
                   const auto to = tokens_in(out, rows, g, its, tasks);
                   add_gathered(a, gathered, to, its, tasks);
                   put_back(to, out, rows, g, tasks);
                 });
}

/// A group's kept input, as keep_input has it.
template <class T, class X>
const T* kept_input_of(const weight_delta<T>& a, activation_view<const X> x, std::span<const index_t> tokens,
                       std::uint64_t step, workspace_frame& frame, any_executor pool) {
  T* const gathered = gathered_of(a, x, tokens, frame, pool);
  drop_kept_input(a, step, gathered, std::ssize(tokens), pool);
  return gathered;
}

/// The same of x in training: with the dropout of `step`, whose masks count an adapter's tokens from 0.
template <class T, class X>
void add_mixed_training(std::span<const weight_delta<T>> adapters, const adapter_rows& rows, std::uint64_t step,
                        activation_view<const X> x, activation_view<T> y, workspace_frame frame, any_executor pool) {
  for_each_group(adapters, rows, frame, pool,
                 [&](const weight_delta<T>& a, const adapter_rows::group& g, workspace_frame its, any_executor tasks) {
                   if (!a.geometry().is_of_input(true)) {
                     const auto from = tokens_in(x, rows, g, its, tasks);
                     const T* const product = region_product_of_dropped(a, from, step, its, tasks);
                     return scatter_add(product, *a.target, a.scale, y, tokens_of(rows, g), tasks);
                   }
                   const T* const gathered = kept_input_of(a, x, tokens_of(rows, g), step, its, tasks);
                   const auto to = tokens_in(y, rows, g, its, tasks);
                   add_gathered(a, gathered, to, its, tasks);
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
                   const bool gathers = a.geometry().is_of_input(true);
                   const auto from = tokens_in(dy, rows, g, its, tasks);
                   if (a.gradient != nullptr) {
                     workspace_frame rest = its;
                     if (gathers) {
                       const T* const kept = kept_input_of(a, x, tokens_of(rows, g), step, rest, tasks);
                       add_gradient_of_gathered(a, from, kept, rest, tasks);
                     } else {
                       add_gradient_of_input(a, from, tokens_in(x, rows, g, rest, tasks), step, rest, tasks);
                     }
                   }
                   if (dx == nullptr) return;
                   if (gathers) {
                     const T* const product = region_product(a, from, &step, its, tasks);
                     return scatter_add(product, *a.target, a.scale, *dx, tokens_of(rows, g), tasks);
                   }
                   const auto to = tokens_in(*dx, rows, g, its, tasks);
                   add_training_gradient(a, from, step, to, its, tasks);
                   put_back(to, *dx, rows, g, tasks);
                 });
}

}  // namespace sbora::inline SBORA_ABI::detail
