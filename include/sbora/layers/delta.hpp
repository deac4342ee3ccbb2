#pragma once

#include <sbora/layers/call_arguments.hpp>
#include <sbora/layers/delta_product.hpp>
#include <sbora/layers/shapes.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What a backward of `tokens` needs besides shapes, before it writes anything.
template <class T, class Saved>
void check_backward(const weight_delta<T>& a, const Saved& saved, index_t tokens) {
  if (!a.enabled || tokens == 0) return;
  SBORA_ASSERT(a.gradient != nullptr, "the adapter has no gradient: it was made for inference");
  SBORA_ASSERT(saved.tokens() == tokens,
               wrong_saved("saved by a forward of another number of tokens", saved.tokens(), tokens).c_str());
  if constexpr (requires { saved.data(); }) {
    SBORA_ASSERT(saved.rank() == a.rank(),
                 wrong_saved("saved by a forward with an adapter of another rank", saved.rank(), a.rank()).c_str());
  } else {
    SBORA_ASSERT(saved.input().features == a.d_in,
                 wrong_saved("saved by a forward of another d_in", saved.input().features, a.d_in).c_str());
  }
}

/// Where FA's gathered inputs go, or null for FB, whose input is referred to; takes the adapter's next dropout step.
/// Errors: workspace_error, before anything is changed.
template <class Adapter, class X, class Saved>
auto* start_saving(Adapter& adapter, activation_view<const X> x, Saved& saved) {
  typename Adapter::scalar* gathered = nullptr;
  if constexpr (saves_gathered(Adapter::kind))
    gathered = saved.prepare(x.tokens, adapter.rank(), adapter.dropout_step());
  else saved.refer_to(x, adapter.dropout_step());
  adapter.next_dropout_step();
  return gathered;
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
  const auto a = adapter.delta();
  detail::check_shapes({"x", in}, "d_in", a.d_in, {"y", out}, "d_out", a.d_out);
  if (!a.enabled || in.tokens == 0) return;
  const auto work = [&](detail::workspace_frame frame, any_executor tasks) {
    detail::add_delta(a, true, in, out, frame, tasks);
  };
  work(detail::workspace_frame(memory, detail::scratch_of(work)), pool);
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
  const auto a = adapter.delta();
  detail::check_shapes({"x", in}, "d_in", a.d_in, {"y", out}, "d_out", a.d_out);
  if (!a.enabled || in.tokens == 0) return;
  const std::uint64_t step = adapter.dropout_step();
  T* gathered = nullptr;
  const auto work = [&](detail::workspace_frame frame, any_executor tasks) {
    if constexpr (detail::saves_gathered(Adapter::kind)) detail::keep_input(a, in, step, gathered, tasks);
    detail::add_training_delta(a, in, step, gathered, out, frame, tasks);
  };
  const detail::workspace_frame frame(memory, detail::scratch_of(work));
  gathered = detail::start_saving(adapter, in, saved);
  work(frame, pool);
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
  const auto a = adapter.delta();
  const auto out = detail::as_stored_activation<const T>(dy);
  detail::check_features({"dy", out}, "d_out", a.d_out);
  if (!a.enabled || out.tokens == 0) return;
  detail::check_backward(a, saved, out.tokens);
  const auto run = [&](const auto& work) {
    work(detail::workspace_frame(memory, detail::scratch_of(work)), any_executor(pool));
  };
  if constexpr (std::is_same_v<std::remove_cvref_t<Dx>, no_dx_t>) {
    run([&](detail::workspace_frame frame, any_executor tasks) { detail::add_gradient(a, out, saved, frame, tasks); });
  } else {
    const auto in = detail::as_activation<T>(dx);
    detail::check_shapes({"dy", out}, "d_out", a.d_out, {"dx", in}, "d_in", a.d_in);
    run([&](detail::workspace_frame frame, any_executor tasks) {
      detail::add_gradient(a, out, saved, frame, tasks);
      detail::add_training_gradient(a, out, saved.dropout_step(), in, frame, tasks);
    });
  }
}

/// Workspace that delta_forward and delta_backward of this many tokens need at most. Enough for a span of any
/// alignment.
template <detail::adapter_like Adapter>
std::size_t delta_workspace_bytes(const Adapter& adapter, index_t tokens) {
  const auto a = adapter.delta();
  return detail::span_bytes(
      detail::scratch_of([&](detail::workspace_frame frame, any_executor) { detail::count_delta(a, tokens, frame); }));
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
