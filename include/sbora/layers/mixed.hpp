#pragma once

#include <sbora/layers/call_arguments.hpp>
#include <sbora/layers/mixed_product.hpp>
#include <sbora/layers/shapes.hpp>
#include <sbora/layers/training_step.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Of a list of weight_delta<T>: T.
template <class Deltas>
using scalar_of_deltas = std::remove_cvref_t<decltype(std::span(std::declval<const Deltas&>())[0].scale)>;

template <class Deltas>
concept delta_range = requires {
  requires std::is_convertible_v<const Deltas&, std::span<const weight_delta<scalar_of_deltas<Deltas>>>>;
};

/// What a call of these (x or dy, y or dx) gets wrong.
template <class Deltas, class In, class Out, class... Rest>
inline constexpr call_mistake mistake_of_mixed_call = call_mistake::order;
template <delta_range Deltas, class In, class Out, class... Rest>
inline constexpr call_mistake mistake_of_mixed_call<Deltas, In, Out, Rest...> = [] {
  using T = scalar_of_deltas<Deltas>;
  if constexpr (std::is_same_v<std::remove_cvref_t<Out>, no_dx_t>) {
    return mistake_of_mixed_call<Deltas, In, activation_view<T>, Rest...>;
  } else {
    return find_call_mistake<layer_call::delta_forward, T, In&&, Out&&, std::span<const weight_delta<T>>, Rest&&...>();
  }
}();

template <class... Arguments>
concept fits_mixed_call = mistake_of_mixed_call<Arguments...> == call_mistake::none;

/// That the batch's adapters and the layer's tokens fit, before anything is written.
template <class T>
void check_mixed(std::span<const weight_delta<T>> adapters, const adapter_rows& rows, index_t tokens, index_t d_out,
                 index_t d_in) {
  SBORA_ASSERT(
      rows.tokens() == tokens,
      wrong_saved("the adapter_rows are of a batch of another number of tokens", rows.tokens(), tokens).c_str());
  const auto count = static_cast<index_t>(adapters.size());
  SBORA_ASSERT(rows.adapters() == count,
               wrong_saved("the adapter_rows are of another number of adapters", rows.adapters(), count).c_str());
  for (const weight_delta<T>& a : adapters) {
    if (a.enabled) check_delta(a, d_out, d_in);
  }
}

/// work(frame, executor) where there is something to do.
template <class Executor, class Work>
void run_mixed(const adapter_rows& rows, workspace& memory, Executor& pool, const Work& work) {
  if (rows.groups().empty()) return;
  work(workspace_frame(memory, scratch_of(work)), any_executor(pool));
}

/// Checks a forward's arguments, then add(deltas, x, y, frame, executor).
template <class Deltas, class X, class Y, class Executor, class Add>
void forward_mixed(const Deltas& adapters, const adapter_rows& rows, X& x, Y& y, workspace& memory, Executor& pool,
                   const Add& add) {
  using T = scalar_of_deltas<Deltas>;
  const std::span<const weight_delta<T>> deltas(adapters);
  const auto in = as_stored_activation<const T>(x);
  const auto out = as_activation<T>(y);
  check_shapes({"x", in}, "x", in.features, {"y", out}, "y", out.features);
  check_mixed(deltas, rows, in.tokens, out.features, in.features);
  run_mixed(rows, memory, pool, [&](workspace_frame frame, any_executor tasks) { add(deltas, in, out, frame, tasks); });
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// y += each token's adapters' parts of a layer, for a base product that was made once for all tokens; eval mode.
///
/// Effect      For every token t and each of its adapters, in their order: y[t] += s·B·A·x[t]. Disabled adapters, and
///             tokens without one, add nothing.
/// Shapes      x: tokens × d_in, y: tokens × d_out; x may be bfloat16 where y is float. adapters: a list of
///             rows.adapters() deltas of any kinds, ranks and scales; one that isn't on this layer has enabled = false.
/// Requires    these shapes: SBORA_ASSERT, always, before anything is written.
/// Aliasing    y must not overlap x, the parameters or the workspace.
/// Cost        a product for each adapter with its tokens: 2·tokens·rank·d_out (FA) or 2·tokens·rank·d_in (FB) flops.
///             Tokens of one adapter that aren't neighbours are copied for it, and back. No allocation after warm-up.
/// Numerics    as delta_forward on an adapter's tokens alone: the bits of a token may depend on how many they are, not
///             on which, nor on the other adapters or the executor.
/// Thread      concurrent calls need a workspace each; adapters are only read.
/// Errors      workspace_error before anything is written.
/// Source      see adapter_rows.
template <class Deltas, class X, class Y, class Executor = serial_executor>
  requires detail::fits_mixed_call<Deltas, X, Y, workspace&, Executor>
void mixed_forward(const Deltas& adapters, const adapter_rows& rows, X&& x, Y&& y, workspace& memory,
                   Executor&& pool = Executor{}) {
  detail::forward_mixed(adapters, rows, x, y, memory, pool,
                        [&](auto deltas, auto in, auto out, auto frame, auto tasks) {
                          detail::add_mixed(deltas, rows, true, in, out, frame, tasks);
                        });
}

/// The same in training mode, with dropout; nothing is saved, for the backward is given x again.
///
/// Numerics    an adapter's dropout masks count its own tokens from 0 on.
template <class Deltas, class X, class Y, class Executor = serial_executor>
  requires detail::fits_mixed_call<Deltas, X, Y, workspace&, Executor>
void mixed_forward(const Deltas& adapters, const adapter_rows& rows, X&& x, Y&& y, training_step step,
                   workspace& memory, Executor&& pool = Executor{}) {
  detail::forward_mixed(adapters, rows, x, y, memory, pool,
                        [&](auto deltas, auto in, auto out, auto frame, auto tasks) {
                          detail::add_mixed_training(deltas, rows, step.dropout_step, in, out, frame, tasks);
                        });
}

/// Each adapter's gradient from its tokens, and dx += their parts, unless dx is sbora::no_dx.
///
/// Effect      FA  gradient += s·dyᵀ·x[idx], dx[idx] += s·dy·B
///             FB  gradient += s·dy[idx]ᵀ·x, dx += s·dy[idx]·A, dropout of `step` applied to both. An adapter whose
///             delta has no gradient (made for inference) is frozen: dx has its part.
/// Shapes      dy: tokens × d_out, dx: tokens × d_in, x: as in the forward.
/// Aliasing    dx must not overlap dy, x or the workspace.
/// Cost        twice the forward's flops, and FA's gather of x again.
/// Numerics, thread, errors: as forward; writes gradients, so one call at a time for each adapter.
template <class Deltas, class Dy, class X, class Dx, class Executor = serial_executor>
  requires(detail::fits_mixed_call<Deltas, Dy, Dx, workspace&, Executor> &&
           detail::fits_mixed_call<Deltas, X, no_dx_t, workspace&, Executor>)
void mixed_backward(const Deltas& adapters, const adapter_rows& rows, Dy&& dy, X&& x, Dx&& dx, training_step step,
                    workspace& memory, Executor&& pool = Executor{}) {
  using T = detail::scalar_of_deltas<Deltas>;
  const std::span<const weight_delta<T>> deltas(adapters);
  const auto out = detail::as_stored_activation<const T>(dy);
  const auto in = detail::as_stored_activation<const T>(x);
  detail::check_shapes({"dy", out}, "dy", out.features, {"x", in}, "x", in.features);
  detail::check_mixed(deltas, rows, in.tokens, out.features, in.features);
  const auto run = [&](const activation_view<T>* result) {
    detail::run_mixed(rows, memory, pool, [&](detail::workspace_frame frame, any_executor tasks) {
      detail::add_mixed_gradients(deltas, rows, step.dropout_step, out, in, result, frame, tasks);
    });
  };
  if constexpr (std::is_same_v<std::remove_cvref_t<Dx>, no_dx_t>) {
    run(nullptr);
  } else {
    const auto result = detail::as_activation<T>(dx);
    detail::check_shapes({"x", in}, "x", in.features, {"dx", result}, "d_in", in.features);
    run(&result);
  }
}

}  // namespace sbora::inline SBORA_ABI
