#pragma once

#include <sbora/layers/adapter_rows.hpp>
#include <sbora/layers/delta_product.hpp>

/// The adapters' parts of a batch whose tokens use different ones, group by group. mixed.hpp wraps it.
namespace sbora::inline SBORA_ABI::detail {

/// Tokens [first, first + count) of an activation.
template <class X>
activation_view<X> tokens_of(activation_view<X> a, index_t first, index_t count) {
  return {a.data == nullptr ? nullptr : a.data + first * a.stride, count, a.features, a.stride};
}

/// Those tokens of an activation as an activation: where they lie, where they are a run, or as a copy.
template <class X>
activation_view<X> collected(activation_view<X> a, const adapter_rows& rows, const adapter_rows::group& g,
                             workspace_frame& frame, any_executor pool) {
  const std::span<const index_t> tokens = rows.rows().subspan(static_cast<std::size_t>(g.first));
  if (g.is_run) return tokens_of(a, tokens[0], g.count);
  auto* const copy = frame.take<std::remove_const_t<X>>(g.count * a.features);
  for_ranges(g.count, task_tokens, pool, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      std::copy_n(a.data + tokens[static_cast<std::size_t>(i)] * a.stride, a.features, copy + i * a.features);
    }
  });
  return {copy, g.count, a.features};
}

/// Puts a copy that was worked on back.
template <class X>
void put_back(activation_view<X> copy, activation_view<X> a, const adapter_rows& rows, const adapter_rows::group& g,
              any_executor pool) {
  if (g.is_run) return;
  const std::span<const index_t> tokens = rows.rows().subspan(static_cast<std::size_t>(g.first));
  for_ranges(g.count, task_tokens, pool, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      std::copy_n(copy.data + i * copy.features, a.features, a.data + tokens[static_cast<std::size_t>(i)] * a.stride);
    }
  });
}

/// Multiplications from which a group's product is shared by the threads; those of smaller groups go to a thread each.
inline constexpr index_t shared_group_work = index_t{1} << 22;

/// work(adapter, group, frame, executor) for the groups whose adapters take part, stage after stage.
template <class T, class Work>
void for_each_group(std::span<const weight_delta<T>> adapters, const adapter_rows& rows, workspace_frame frame,
                    any_executor pool, const Work& work) {
  for (index_t stage = 0; stage < rows.stages(); ++stage) {
    const std::span<const adapter_rows::group> groups = rows.stage(stage);
    workspace_frame rest = frame;
    auto* const small = rest.take<const adapter_rows::group*>(static_cast<index_t>(groups.size()));
    auto* const frames = rest.take<workspace_frame>(static_cast<index_t>(groups.size()));
    index_t count = 0;
    for (const adapter_rows::group& g : groups) {
      const weight_delta<T>& a = adapters[static_cast<std::size_t>(g.adapter)];
      if (!a.enabled || g.count * a.rank() * a.geometry().lines >= shared_group_work) continue;
      if (!frame.counts()) {
        small[count] = &g;
        frames[count] = rest;
      }
      ++count;
      rest.take<std::byte>(
          static_cast<index_t>(scratch_of([&](workspace_frame its, any_executor idle) { work(a, g, its, idle); })));
    }
    pool.parallel_for(count, [&](index_t i) {
      work(adapters[static_cast<std::size_t>(small[i]->adapter)], *small[i], frames[i], any_executor());
    });
    for (const adapter_rows::group& g : groups) {
      const weight_delta<T>& a = adapters[static_cast<std::size_t>(g.adapter)];
      if (a.enabled && g.count * a.rank() * a.geometry().lines >= shared_group_work) work(a, g, frame, pool);
    }
  }
}

/// out += each token's adapters' parts of x (forward) or dy.
template <class T, class X>
void add_mixed(std::span<const weight_delta<T>> adapters, const adapter_rows& rows, bool forward,
               activation_view<const X> source, activation_view<T> out, workspace_frame frame, any_executor pool) {
  for_each_group(adapters, rows, frame, pool,
                 [&](const weight_delta<T>& a, const adapter_rows::group& g, workspace_frame its, any_executor tasks) {
                   const auto from = collected(source, rows, g, its, tasks);
                   const auto to = collected(out, rows, g, its, tasks);
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
                   const auto from = collected(x, rows, g, its, tasks);
                   const auto to = collected(y, rows, g, its, tasks);
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
                   const auto from = collected(dy, rows, g, its, tasks);
                   if (a.gradient != nullptr) {
                     workspace_frame rest = its;
                     const auto in = collected(x, rows, g, rest, tasks);
                     add_gradient_again(a, from, in, step, rest, tasks);
                   }
                   if (dx == nullptr) return;
                   const auto to = collected(*dx, rows, g, its, tasks);
                   add_training_gradient(a, from, step, to, its, tasks);
                   put_back(to, *dx, rows, g, tasks);
                 });
}

}  // namespace sbora::inline SBORA_ABI::detail
