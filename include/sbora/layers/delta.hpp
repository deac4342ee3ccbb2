#pragma once

#include <sbora/layers/call_arguments.hpp>
#include <sbora/layers/delta_product.hpp>
#include <sbora/layers/shapes.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What a backward of `tokens` needs besides shapes, before it writes anything.
template <adapter_kind Kind, class T, class Saved>
void check_backward(const adapter_view<Kind, T>& a, const Saved& saved, index_t tokens) {
  if (!a.enabled || tokens == 0) return;
  SBORA_ASSERT(a.gradient != nullptr, "the adapter has no gradient: it was made for inference");
  SBORA_ASSERT(saved.tokens() == tokens,
               wrong_saved("saved by a forward of another number of tokens", saved.tokens(), tokens).c_str());
  if constexpr (Kind == adapter_kind::fa) {
    SBORA_ASSERT(saved.rank() == a.rank(),
                 wrong_saved("saved by a forward with an adapter of another rank", saved.rank(), a.rank()).c_str());
  } else {
    SBORA_ASSERT(saved.input().features == a.d_in,
                 wrong_saved("saved by a forward of another d_in", saved.input().features, a.d_in).c_str());
  }
}

/// y += delta in eval mode, after the caller checked shapes and enabledness.
template <adapter_kind Kind, class T, class X, class Executor>
void eval_delta(const adapter_view<Kind, T>& a, activation_view<const X> x, activation_view<T> y, workspace_frame frame,
                Executor& pool) {
  if constexpr (Kind == adapter_kind::fa) {
    T* const gathered = frame.take<T>(x.tokens * a.rank());
    gather(x, *a.target, gathered, pool);
    add_gathered(a, gathered, y, frame, pool);
  } else {
    add_product(a, x, y, nullptr, frame, pool);
  }
}

/// f of the delta as an adapter_view of its kind, without gradient and dropout.
template <class T, class Function>
decltype(auto) as_adapter(const weight_delta<T>& d, Function&& f) {
  if (d.kind == adapter_kind::fa) {
    return f(fa_view<T>{d.target, d.parameters, nullptr, d.d_out, d.d_in, d.scale, d.enabled, 0, 0});
  }
  return f(fb_view<T>{d.target, d.parameters, nullptr, d.d_out, d.d_in, d.scale, d.enabled, 0, 0});
}

/// Scratch of any use of a delta in eval mode.
template <class T>
std::size_t delta_bytes(const weight_delta<T>& delta, index_t tokens) {
  return as_adapter(
      delta, [&](const auto& a) { return std::max(delta_forward_bytes(a, tokens), delta_input_bytes(a, tokens)); });
}

/// Keeps of x what the backward needs, with the adapter's next dropout step.
template <class Adapter, class X, class Saved, class Executor>
void keep_input(Adapter& adapter, activation_view<const X> x, Saved& saved, Executor& pool) {
  const std::uint64_t step = adapter.dropout_step();
  if constexpr (Adapter::kind == adapter_kind::fa) {
    using T = typename Adapter::scalar;
    T* const gathered = saved.prepare(x.tokens, adapter.rank(), step);
    gather(x, adapter.target(), gathered, pool);
    if (const auto a = adapter.view(); a.dropout > 0) {
      apply_dropout(a, step, activation_view<const T>(gathered, x.tokens, a.rank()), a.target, gathered, pool);
    }
  } else {
    saved.refer_to(x, step);
  }
  adapter.next_dropout_step();
}

/// y += delta in training mode; fills saved.
template <class Adapter, class T, class X, class Saved, class Executor>
void train_delta(Adapter& adapter, activation_view<const X> x, activation_view<T> y, Saved& saved,
                 workspace_frame frame, Executor& pool) {
  const auto a = adapter.view();
  keep_input(adapter, x, saved, pool);
  if constexpr (Adapter::kind == adapter_kind::fa) {
    add_gathered(a, saved.gathered().data(), y, frame, pool);
  } else {
    const std::uint64_t step = saved.dropout_step();
    add_product(a, x, y, &step, frame, pool);
  }
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// y += the adapter's part of the layer, for a base product that was made elsewhere; eval mode.
///
/// Effect      FA  y += s·B·x[idx]     FB  y[idx] += s·A·x. Nothing where the adapter is disabled.
/// Shapes      x: tokens × d_in, y: tokens × d_out; x may be bfloat16 where y is float.
/// Requires    these shapes: SBORA_ASSERT, always. A contiguous feature axis: at compile time.
/// Aliasing    y must not overlap x, the parameters or the workspace.
/// Cost        2·tokens·rank·d_out (FA) or 2·tokens·rank·d_in (FB) flops; no allocation after warm-up.
/// Numerics    accumulates in T; independent of the executor.
/// Thread      concurrent calls need a workspace each; the adapter is only read.
/// Errors      workspace_error before anything is written.
/// Source      arXiv 2407.05413, section 3.
template <class Adapter, class X, class Y, class Executor = serial_executor>
  requires detail::fits_delta_call<detail::layer_call::delta_forward, const Adapter&, X, Y, workspace&, Executor>
void delta_forward(const Adapter& adapter, X&& x, Y&& y, workspace& memory, Executor&& pool = Executor{}) {
  using T = typename Adapter::scalar;
  const auto in = detail::as_stored_activation<const T>(x);
  const auto out = detail::as_activation<T>(y);
  const auto a = adapter.view();
  detail::check_shapes({"x", in}, "d_in", a.d_in, {"y", out}, "d_out", a.d_out);
  if (!a.enabled || in.tokens == 0) return;
  const detail::workspace_frame frame(memory, detail::delta_forward_bytes(a, in.tokens));
  detail::eval_delta(a, in, out, frame, pool);
}

/// The same in training mode: with dropout, and with what backward needs put into `saved`.
///
/// Effect      as above with x replaced by its dropout; takes the adapter's next dropout step.
/// Lifetime    FA: saved holds the gathered inputs. FB: saved refers to x until the backward.
template <class Adapter, class X, class Y, class Saved, class Executor = serial_executor>
  requires detail::fits_delta_call<detail::layer_call::delta_forward, Adapter&, X, Y, Saved&, workspace&, Executor>
void delta_forward(Adapter& adapter, X&& x, Y&& y, Saved& saved, workspace& memory, Executor&& pool = Executor{}) {
  using T = typename Adapter::scalar;
  const auto in = detail::as_stored_activation<const T>(x);
  const auto out = detail::as_activation<T>(y);
  const auto a = adapter.view();
  detail::check_shapes({"x", in}, "d_in", a.d_in, {"y", out}, "d_out", a.d_out);
  if (!a.enabled || in.tokens == 0) return;
  const detail::workspace_frame frame(memory, detail::delta_forward_bytes(a, in.tokens));
  detail::train_delta(adapter, in, out, saved, frame, pool);
}

/// The adapter's gradient, and its part of dx unless that is sbora::no_dx.
///
/// Effect      FA  gradient += s·dyᵀ·x[idx], dx[idx] += s·dy·B
///             FB  gradient += s·dy[idx]ᵀ·x, dx += s·dy[idx]·A, dropout applied to both.
/// Shapes      dy: tokens × d_out, dx: tokens × d_in.
/// Requires    saved from this adapter's last training forward of as many tokens: SBORA_ASSERT, always.
/// Aliasing    dx must not overlap dy, the saved input or the workspace.
/// Cost        twice the forward's flops, half of them without dx; no allocation after warm-up.
/// Numerics, thread, errors: as forward; writes the gradient, so one call per adapter at a time.
template <class Adapter, class Dy, class Dx, class Saved, class Executor = serial_executor>
  requires detail::fits_delta_call<detail::layer_call::delta_backward, Adapter&, Dy, Dx, const Saved&, workspace&,
                                   Executor>
void delta_backward(Adapter& adapter, Dy&& dy, Dx&& dx, const Saved& saved, workspace& memory,
                    Executor&& pool = Executor{}) {
  using T = typename Adapter::scalar;
  const auto a = adapter.view();
  const auto out = detail::as_stored_activation<const T>(dy);
  detail::check_features({"dy", out}, "d_out", a.d_out);
  if (!a.enabled || out.tokens == 0) return;
  detail::check_backward(a, saved, out.tokens);
  const detail::workspace_frame frame(memory, detail::delta_backward_bytes(a, out.tokens));
  if constexpr (std::is_same_v<std::remove_cvref_t<Dx>, no_dx_t>) {
    detail::add_gradient(a, out, saved, frame, pool);
  } else {
    const auto in = detail::as_activation<T>(dx);
    detail::check_shapes({"dy", out}, "d_out", a.d_out, {"dx", in}, "d_in", a.d_in);
    const std::uint64_t step = saved.dropout_step();
    detail::add_gradient(a, out, saved, frame, pool);
    detail::add_input_gradient(a, out, in, &step, frame, pool);
  }
}

/// Workspace that delta_forward and delta_backward of this many tokens need at most. Enough for a span of any alignment.
template <detail::adapter_like Adapter>
std::size_t delta_workspace_bytes(const Adapter& adapter, index_t tokens) {
  const auto a = adapter.view();
  return detail::span_bytes(std::max(detail::delta_forward_bytes(a, tokens), detail::delta_backward_bytes(a, tokens)));
}

/// Any other arguments don't compile, and this says why.
template <class... Arguments>
  requires(!detail::fits_delta_call<detail::layer_call::delta_forward, Arguments...>)
void delta_forward(Arguments&&...) {
  constexpr auto found = detail::mistake_of_delta_call<detail::layer_call::delta_forward, Arguments...>;
#include <sbora/layers/call_mistakes.inl>
}
template <class... Arguments>
  requires(!detail::fits_delta_call<detail::layer_call::delta_backward, Arguments...>)
void delta_backward(Arguments&&...) {
  constexpr auto found = detail::mistake_of_delta_call<detail::layer_call::delta_backward, Arguments...>;
#include <sbora/layers/call_mistakes.inl>
}

}  // namespace sbora::inline SBORA_ABI
