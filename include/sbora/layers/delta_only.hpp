#pragma once

#include <sbora/layers/delta.hpp>
#include <sbora/layers/weight_delta.hpp>

namespace sbora::inline SBORA_ABI {

/// Where backward shall not compute dx: the first layer of a network.
struct no_dx_t {};
inline constexpr no_dx_t no_dx{};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

template <class Adapter>
concept adapter_like = requires(const Adapter& a) {
  a.view();
  typename Adapter::saved_type;
};

/// What an adapter saves of inputs of that scalar.
template <class Adapter, class Input>
using saved_of =
    std::conditional_t<Adapter::kind == adapter_kind::fa, fa_saved<typename Adapter::scalar>,
                       fb_saved<typename Adapter::scalar, std::remove_const_t<Input>>>;

/// Whether it is something that an adapter of this kind saves, of any input.
template <class Adapter, class Saved>
constexpr void check_saved() {
  using saved = std::remove_cvref_t<Saved>;
  using T = typename Adapter::scalar;
  constexpr bool fits =
      Adapter::kind == adapter_kind::fa
          ? std::is_same_v<saved, fa_saved<T>>
          : std::is_same_v<saved, fb_saved<T>> || std::is_same_v<saved, fb_saved<T, Eigen::bfloat16>>;
  static_assert(fits,
                "sbora: what was saved doesn't fit the adapter: an FA adapter needs an fa_saved, an FB "
                "adapter an fb_saved, of its scalar type");
}

/// And that it refers to inputs of x's scalar.
template <class Adapter, class Saved, class X>
constexpr void check_saved_input() {
  check_saved<Adapter, Saved>();
  if constexpr (Adapter::kind == adapter_kind::fb) {
    static_assert(
        std::is_same_v<stored_as<activation_scalar_t<X>>,
                       std::remove_const_t<std::remove_pointer_t<
                           decltype(std::declval<std::remove_cvref_t<Saved>>().input().data)>>>,
        "sbora: an fb_saved refers to its input: of bfloat16 inputs it is an "
        "fb_saved<float, Eigen::bfloat16>");
  }
}

/// Keeps an fb_saved from referring to a matrix that dies at the end of the call.
template <class Adapter, class X>
constexpr void check_input_lives() {
  using object = std::remove_cvref_t<X>;
  static_assert(Adapter::kind == adapter_kind::fa || !std::is_rvalue_reference_v<X&&> ||
                    !std::is_base_of_v<Eigen::PlainObjectBase<object>, object>,
                "sbora: an FB adapter refers to its input until the backward; a temporary matrix would "
                "dangle");
}

template <adapter_kind Kind, class T>
void check_shapes(const adapter_view<Kind, T>& a, index_t tokens, index_t in_features,
                  index_t out_tokens, index_t out_features) {
  SBORA_ASSERT(in_features == a.d_in, "the input's features differ from the adapter's d_in");
  SBORA_ASSERT(out_features == a.d_out, "the output's features differ from the adapter's d_out");
  SBORA_ASSERT(tokens == out_tokens, "input and output have different numbers of tokens");
  static_cast<void>(a), static_cast<void>(tokens), static_cast<void>(in_features);
  static_cast<void>(out_tokens), static_cast<void>(out_features);
}

/// What a backward of `tokens` needs besides shapes, before it writes anything.
template <adapter_kind Kind, class T, class Saved>
void check_backward(const adapter_view<Kind, T>& a, const Saved& saved, index_t tokens) {
  if (!a.enabled || tokens == 0) return;
  SBORA_ASSERT(a.gradient != nullptr, "the adapter has no gradient: it was made for inference");
  SBORA_ASSERT(saved.tokens() == tokens, "saved by a forward of another number of tokens");
  if constexpr (Kind == adapter_kind::fa) {
    SBORA_ASSERT(saved.rank() == a.rank(), "saved by a forward with an adapter of another rank");
  } else {
    SBORA_ASSERT(saved.input().features == a.d_in, "saved by a forward of another layer");
  }
  static_cast<void>(saved);
}

/// y += delta in eval mode, after the caller checked shapes and enabledness.
template <adapter_kind Kind, class T, class X, class Executor>
void eval_delta(const adapter_view<Kind, T>& a, activation_view<const X> x, activation_view<T> y,
                workspace_frame frame, Executor& pool) {
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
  return as_adapter(delta, [&](const auto& a) {
    return std::max(delta_forward_bytes(a, tokens), delta_input_bytes(a, tokens));
  });
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
      apply_dropout(a, step, activation_view<const T>(gathered, x.tokens, a.rank()), a.target, gathered,
                    pool);
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
/// Requires    these shapes: SBORA_ASSERT. A contiguous feature axis: at compile time.
/// Aliasing    y must not overlap x, the parameters or the workspace.
/// Cost        2·tokens·rank·d_out (FA) or 2·tokens·rank·d_in (FB) flops; no allocation after warm-up.
/// Numerics    accumulates in T; independent of the executor.
/// Thread      concurrent calls need a workspace each; the adapter is only read.
/// Errors      workspace_error before anything is written.
/// Source      arXiv 2407.05413, section 3.
template <detail::adapter_like Adapter, class X, class Y, class Executor = serial_executor>
void delta_forward(const Adapter& adapter, X&& x, Y&& y, workspace& memory,
                   Executor&& pool = Executor{}) {
  using T = typename Adapter::scalar;
  detail::check_executor<Executor>();
  const auto in = detail::as_stored_activation<const T>(x);
  const auto out = detail::as_activation<T>(y);
  const auto a = adapter.view();
  detail::check_shapes(a, in.tokens, in.features, out.tokens, out.features);
  if (!a.enabled || in.tokens == 0) return;
  const detail::workspace_frame frame(memory, detail::delta_forward_bytes(a, in.tokens));
  detail::eval_delta(a, in, out, frame, pool);
}

/// The same in training mode: with dropout, and with what backward needs put into `saved`.
///
/// Effect      as above with x replaced by its dropout; takes the adapter's next dropout step.
/// Lifetime    FA: saved holds the gathered inputs. FB: saved refers to x until the backward.
template <detail::adapter_like Adapter, class X, class Y, class Saved, class Executor = serial_executor>
void delta_forward(Adapter& adapter, X&& x, Y&& y, Saved& saved, workspace& memory,
                   Executor&& pool = Executor{}) {
  using T = typename Adapter::scalar;
  detail::check_executor<Executor>();
  detail::check_saved_input<Adapter, Saved, X>();
  detail::check_input_lives<Adapter, X>();
  const auto in = detail::as_stored_activation<const T>(x);
  const auto out = detail::as_activation<T>(y);
  const auto a = adapter.view();
  detail::check_shapes(a, in.tokens, in.features, out.tokens, out.features);
  if (!a.enabled || in.tokens == 0) return;
  const detail::workspace_frame frame(memory, detail::delta_forward_bytes(a, in.tokens));
  detail::train_delta(adapter, in, out, saved, frame, pool);
}

/// The adapter's gradient, and its part of dx unless that is sbora::no_dx.
///
/// Effect      FA  gradient += s·dyᵀ·x[idx], dx[idx] += s·dy·B
///             FB  gradient += s·dy[idx]ᵀ·x, dx += s·dy[idx]·A, dropout applied to both.
/// Shapes      dy: tokens × d_out, dx: tokens × d_in.
/// Requires    saved from this adapter's last training forward of as many tokens: SBORA_ASSERT.
/// Aliasing    dx must not overlap dy, the saved input or the workspace.
/// Cost        twice the forward's flops, half of them without dx; no allocation after warm-up.
/// Numerics, thread, errors: as forward; writes the gradient, so one call per adapter at a time.
template <detail::adapter_like Adapter, class Dy, class Dx, class Saved,
          class Executor = serial_executor>
void delta_backward(Adapter& adapter, Dy&& dy, Dx&& dx, const Saved& saved, workspace& memory,
                    Executor&& pool = Executor{}) {
  using T = typename Adapter::scalar;
  detail::check_executor<Executor>();
  detail::check_saved<Adapter, Saved>();
  const auto a = adapter.view();
  const auto out = detail::as_stored_activation<const T>(dy);
  SBORA_ASSERT(out.features == a.d_out, "dy's features differ from the adapter's d_out");
  if (!a.enabled || out.tokens == 0) return;
  detail::check_backward(a, saved, out.tokens);
  const detail::workspace_frame frame(memory, detail::delta_backward_bytes(a, out.tokens));
  if constexpr (std::is_same_v<std::remove_cvref_t<Dx>, no_dx_t>) {
    detail::add_gradient(a, out, saved, frame, pool);
  } else {
    const auto in = detail::as_activation<T>(dx);
    detail::check_shapes(a, in.tokens, in.features, out.tokens, out.features);
    const std::uint64_t step = saved.dropout_step();
    detail::add_gradient(a, out, saved, frame, pool);
    detail::add_input_gradient(a, out, in, &step, frame, pool);
  }
}

}  // namespace sbora::inline SBORA_ABI
