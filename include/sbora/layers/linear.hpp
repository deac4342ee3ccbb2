#pragma once

#include <span>

#include <sbora/core/lasting_span.hpp>
#include <sbora/layers/delta.hpp>

namespace sbora::inline SBORA_ABI {

/// A frozen linear layer, y = x·Wᵀ + bias, with adapters on it where they are passed.
///
/// Shapes      x: tokens × d_in, y: tokens × d_out; how Eigen objects map to that: activation_view.
///             Over weights that compute in float, each of x, y, dy, dx may be bfloat16.
/// Requires    shapes that fit: SBORA_ASSERT, in every build, before anything is written. Scalar types and contiguous
///             features: at compile time.
/// Aliasing    results must not overlap inputs, weights or the workspace. Results are overwritten (never
///             read), gradients are added to: call adapter.zero_gradient() between steps.
/// Lifetime    keeps the view of the weight and of the bias; their memory has to outlive the layer.
/// Cost        2·tokens·d_in·d_out flops for each base product; what an adapter adds to that: delta_path.
///             Scratch of workspace_bytes(); no allocation after warm-up, nothing of the weight's size.
/// Numerics    accumulates in the weight's compute type (float; double for double weights), over the
///             inner dimension in a fixed order: equal bits for any executor. bfloat16 results are
///             rounded once, at the end. bfloat16 inputs with bfloat16 weights are multiplied in pairs
///             where the processor can (avx512_bf16), which flushes denormals.
/// Thread      all members are const but set_delta_path; concurrent calls need a workspace each, and one
///             adapter takes one training call at a time.
/// Errors      shape_error at construction; workspace_error before anything is written.
template <class Weight>
class linear {
 public:
  using weight_type = Weight;
  using scalar = typename Weight::compute_scalar;
  using delta_type = weight_delta<scalar>;

  explicit linear(Weight weight) : weight_(weight) {}

  /// With a bias of d_out numbers, which is referred to. Errors: shape_error.
  linear(Weight weight, lasting_span<scalar> bias) : weight_(weight), bias_(bias) {
    if (static_cast<index_t>(bias.size()) != d_out()) {
      throw shape_error("sbora::linear: bias has " + std::to_string(bias.size()) + " elements, d_out is " +
                        std::to_string(d_out()));
    }
  }

  index_t d_out() const noexcept { return weight_.d_out(); }
  index_t d_in() const noexcept { return weight_.d_in(); }
  Weight weight() const noexcept { return weight_; }

  /// Has every product of this layer use W + the deltas of `list` for W, or W again for null. What an overlay
  /// merges (overlay.hpp). Lifetime: keeps the pointer; the list may change between calls.
  void set_overlay(const delta_list<scalar>* list) {
    if (list != nullptr) {
      for (const delta_type& delta : *list) {
        if (delta.d_out == d_out() && delta.d_in == d_in()) continue;
        throw shape_error("sbora::linear: the overlay is for a weight of " +
                          detail::shape_text(delta.d_out, delta.d_in) + ", the weight is " +
                          detail::shape_text(d_out(), d_in()));
      }
    }
    overlay_ = list;
  }

  delta_path path() const noexcept { return path_; }
  void set_delta_path(delta_path path) noexcept { path_ = path; }

  /// y = x·Wᵀ + bias.
  template <class X, class Y, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::forward, scalar, X, Y, workspace&, Executor>
  void forward(X&& x, Y&& y, workspace& memory, Executor&& pool = Executor{}) const {
    forward(x, y, std::span<const delta_type>(), memory, pool);
  }

  /// y = x·(W + ΔW₁ + ΔW₂ + …)ᵀ + bias, eval mode: no dropout, nothing saved. Adapters of both kinds, on
  /// any regions, added in their order; disabled ones left out.
  template <class X, class Y, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::forward, scalar, X, Y, workspace&, Executor>
  void forward(X&& x, Y&& y, std::span<const delta_type> deltas, workspace& memory,
               Executor&& pool = Executor{}) const {
    const auto in = detail::as_stored_activation<const scalar>(x);
    const auto out = detail::as_stored_activation<scalar>(y);
    detail::check_shapes({"x", in}, "d_in", d_in(), {"y", out}, "d_out", d_out());
    run(true, in, out, deltas, memory, pool);
  }

  /// The same with one adapter.
  template <class X, class Y, detail::adapter_like Adapter, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::forward, scalar, X, Y, const Adapter&, workspace&, Executor>
  void forward(X&& x, Y&& y, const Adapter& adapter, workspace& memory, Executor&& pool = Executor{}) const {
    const delta_type delta = adapter.view();
    forward(x, y, std::span<const delta_type>(&delta, 1), memory, pool);
  }

  /// The same in training mode: dropout on the adapter's input; fills `saved` for the backward.
  template <class X, class Y, detail::adapter_like Adapter, class Saved, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::forward, scalar, X, Y, Adapter&, Saved&, workspace&, Executor>
  void forward(X&& x, Y&& y, Adapter& adapter, Saved& saved, workspace& memory, Executor&& pool = Executor{}) const {
    const auto in = detail::as_stored_activation<const scalar>(x);
    const auto out = detail::as_stored_activation<scalar>(y);
    detail::check_shapes({"x", in}, "d_in", d_in(), {"y", out}, "d_out", d_out());
    const auto a = adapter.view();
    const delta_type delta = a;
    check_delta(delta);
    check_overlay();
    detail::workspace_frame frame(memory, frame_bytes<Y>(in.tokens, adapter));
    if constexpr (Adapter::kind == adapter_kind::fa) {  // may throw, so before y is written
      saved.prepare(a.enabled ? in.tokens : 0, a.rank(), adapter.dropout_step());
    }
    if (in.tokens == 0) return;
    if (!a.enabled || (a.dropout == 0 && packs_deltas(in, true))) {
      if (a.enabled) detail::keep_input(adapter, in, saved, pool);
      apply(true, in, out, {&delta, 1}, frame, pool);
      return;
    }
    const activation_view<scalar> sum = sum_of(out, frame);
    apply(true, in, sum, {}, frame, pool);
    detail::train_delta(adapter, in, sum, saved, frame, pool);
    finish(sum, out, pool);
  }

  /// dx = dy·W, through the frozen layer alone.
  template <class Dy, class Dx, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::backward, scalar, Dy, Dx, workspace&, Executor>
  void backward(Dy&& dy, Dx&& dx, workspace& memory, Executor&& pool = Executor{}) const {
    backward(dy, dx, std::span<const delta_type>(), memory, pool);
  }

  /// dx = dy·(W + ΔW₁ + ΔW₂ + …), without gradients: those are delta_backward(adapter, dy, no_dx, …).
  template <class Dy, class Dx, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::backward, scalar, Dy, Dx, workspace&, Executor>
  void backward(Dy&& dy, Dx&& dx, std::span<const delta_type> deltas, workspace& memory,
                Executor&& pool = Executor{}) const {
    const auto out = detail::as_stored_activation<const scalar>(dy);
    const auto in = detail::as_stored_activation<scalar>(dx);
    detail::check_shapes({"dy", out}, "d_out", d_out(), {"dx", in}, "d_in", d_in());
    run(false, out, in, deltas, memory, pool);
  }

  /// gradient += the adapter's gradient; dx = dy·(W + s·B·A), or sbora::no_dx.
  template <class Dy, class Dx, detail::adapter_like Adapter, class Saved, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::backward, scalar, Dy, Dx, Adapter&, const Saved&, workspace&,
                               Executor>
  void backward(Dy&& dy, Dx&& dx, Adapter& adapter, const Saved& saved, workspace& memory,
                Executor&& pool = Executor{}) const {
    const auto a = adapter.view();
    const delta_type delta = a;
    const auto out = detail::as_stored_activation<const scalar>(dy);
    detail::check_features({"dy", out}, "d_out", d_out());
    check_delta(delta);
    check_overlay();
    detail::check_backward(a, saved, out.tokens);
    if constexpr (std::is_same_v<std::remove_cvref_t<Dx>, no_dx_t>) {
      delta_backward(adapter, out, no_dx, saved, memory, pool);
    } else {
      const auto in = detail::as_stored_activation<scalar>(dx);
      detail::check_shapes({"dy", out}, "d_out", d_out(), {"dx", in}, "d_in", d_in());
      detail::workspace_frame frame(memory, frame_bytes<Dx>(out.tokens, adapter));
      if (out.tokens == 0) return;
      if (a.dropout == 0 && packs_deltas(out, false)) {
        apply(false, out, in, {&delta, 1}, frame, pool);
      } else {
        const activation_view<scalar> sum = sum_of(in, frame);
        apply(false, out, sum, {}, frame, pool);
        const std::uint64_t step = saved.dropout_step();
        if (a.enabled) detail::add_input_gradient(a, out, sum, &step, frame, pool);
        finish(sum, in, pool);
      }
      if (a.enabled) detail::add_gradient(a, out, saved, frame, pool);
    }
  }

  /// Any other arguments don't compile, and these say why.
  template <class... Arguments>
    requires(!detail::fits_call<detail::layer_call::forward, scalar, Arguments...>)
  void forward(Arguments&&...) const {
    constexpr auto found = detail::mistake_of_call<detail::layer_call::forward, scalar, Arguments...>;
#include <sbora/layers/call_mistakes.inl>
  }
  template <class... Arguments>
    requires(!detail::fits_call<detail::layer_call::backward, scalar, Arguments...>)
  void backward(Arguments&&...) const {
    constexpr auto found = detail::mistake_of_call<detail::layer_call::backward, scalar, Arguments...>;
#include <sbora/layers/call_mistakes.inl>
  }

  /// Workspace that forward and backward of this many tokens need at most, with these adapters; with
  /// Result = Eigen::bfloat16 where y or dx are that. Enough for a span of any alignment. Errors:
  /// shape_error for tokens that no memory can have.
  template <class Result = scalar>
  std::size_t workspace_bytes(index_t tokens, std::span<const delta_type> deltas = {}) const {
    return detail::span_bytes(frame_bytes<Result>(tokens, deltas));
  }
  /// And with this adapter in training mode.
  template <class Result = scalar, detail::adapter_like Adapter>
  std::size_t workspace_bytes(index_t tokens, const Adapter& adapter) const {
    return detail::span_bytes(frame_bytes<Result>(tokens, adapter));
  }

 private:
  /// What the calls take of a workspace.
  template <class Result>
  std::size_t frame_bytes(index_t tokens, std::span<const delta_type> deltas) const {
    detail::require_product("sbora::linear: scratch", {tokens, std::max(d_in(), d_out()), 256});  // more than any path
    const std::span<const delta_type> merged = overlay();
    std::size_t bytes =
        detail::frame_bytes<detail::panel_update<scalar>>(static_cast<index_t>(merged.size() + deltas.size())) +
        std::max(detail::multiply_bytes<scalar>(tokens, d_in(), d_out()),
                 detail::multiply_bytes<scalar>(tokens, d_out(), d_in()));
    for (const auto& list : {merged, deltas}) {
      for (const delta_type& delta : list) bytes = std::max(bytes, detail::delta_bytes(delta, tokens));
    }
    return bytes + sum_bytes<Result>(tokens);
  }
  template <class Result, detail::adapter_like Adapter>
  std::size_t frame_bytes(index_t tokens, const Adapter& adapter) const {
    const auto a = adapter.view();
    const delta_type delta = a;
    return std::max({frame_bytes<Result>(tokens, {&delta, 1}),
                     detail::delta_forward_bytes(a, tokens) + sum_bytes<Result>(tokens),
                     detail::delta_backward_bytes(a, tokens) + sum_bytes<Result>(tokens)});
  }

  void check_delta(const delta_type& delta) const { detail::check_delta(delta, d_out(), d_in()); }
  void check_overlay() const {
    for (const delta_type& delta : overlay()) check_delta(delta);
  }

  /// Whether a call on this left operand adds ΔW on pack; see delta_path.
  template <class Left>
  bool packs_deltas(activation_view<const Left> left, bool forward) const {
    if (path_ != delta_path::automatic) return path_ != delta_path::separate;
    using storage_scalar = typename Weight::storage_scalar;
    if constexpr (std::is_same_v<Left, bf16> && detail::has_pairs<storage_scalar>) {
      if (detail::find_kernels<detail::pair_kernels<storage_scalar>>(active_isa()) != nullptr)
        return false;  // pairs would round it
    }
    return !detail::is_streamed(left.tokens, left.features, detail::right_of(weight_, forward));
  }

  /// Scratch for sums where the result is bf16.
  template <class Result>
  std::size_t sum_bytes(index_t tokens) const {
    if constexpr (detail::is_bf16_result<Result>) {
      return detail::frame_bytes<scalar>(tokens * std::max(d_in(), d_out()));
    } else {
      return 0;
    }
  }

  /// Where sums are collected before they become `out`.
  template <class Out>
  activation_view<scalar> sum_of(activation_view<Out> out, detail::workspace_frame& frame) const {
    if constexpr (std::is_same_v<Out, scalar>) return out;
    else return {frame.take<scalar>(out.tokens * out.features), out.tokens, out.features};
  }
  template <class Out, class Executor>
  static void finish(activation_view<scalar> sum, activation_view<Out> out, Executor& pool) {
    if constexpr (!std::is_same_v<Out, scalar>) detail::narrow(sum, out, pool);
  }
  /// The same for one product.
  template <class Out>
  detail::product_result<scalar> result_in(activation_view<Out> out, detail::workspace_frame& frame) const {
    const activation_view<scalar> sum = sum_of(out, frame);
    detail::product_result<scalar> result = {sum.data, sum.stride};
    if constexpr (!std::is_same_v<Out, scalar>) {
      result.narrowed = out.data;
      result.narrowed_stride = out.stride;
    }
    return result;
  }

  std::span<const delta_type> overlay() const {
    return overlay_ != nullptr ? std::span<const delta_type>(*overlay_) : std::span<const delta_type>();
  }

  template <class Left, class Out, class Executor>
  void run(bool forward, activation_view<const Left> left, activation_view<Out> out, std::span<const delta_type> deltas,
           workspace& memory, Executor& pool) const {
    for (const delta_type& delta : deltas) check_delta(delta);
    check_overlay();
    detail::workspace_frame frame(memory, frame_bytes<Out>(left.tokens, deltas));
    if (left.tokens > 0) apply(forward, left, out, deltas, frame, pool);
  }

  /// out = left·(W + overlay + deltas)ᵀ + bias or left·(W + overlay + deltas).
  template <class Left, class Out, class Executor>
  void apply(bool forward, activation_view<const Left> left, activation_view<Out> out,
             std::span<const delta_type> deltas, detail::workspace_frame frame, Executor& pool) const {
    if ((overlay().empty() && deltas.empty()) || packs_deltas(left, forward)) {
      const detail::product_result<scalar> result = result_in(out, frame);
      base_product(forward, left, result, overlay(), deltas, frame, pool);
      return;
    }
    const activation_view<scalar> sum = sum_of(out, frame);
    base_product(forward, left, {sum.data, sum.stride}, {}, {}, frame, pool);
    for (const auto& list : {overlay(), deltas}) {
      for (const delta_type& delta : list) {
        if (!delta.enabled) continue;
        detail::as_adapter(delta, [&](const auto& a) {
          if (forward) detail::eval_delta(a, left, sum, frame, pool);
          else detail::add_input_gradient(a, left, sum, nullptr, frame, pool);
        });
      }
    }
    finish(sum, out, pool);
  }

  /// The same for one product, ΔW added on pack.
  template <class Left, class Executor>
  void base_product(bool forward, activation_view<const Left> left, detail::product_result<scalar> result,
                    std::span<const delta_type> merged, std::span<const delta_type> deltas,
                    detail::workspace_frame frame, Executor& pool) const {
    auto* const updates = frame.take<detail::panel_update<scalar>>(static_cast<index_t>(merged.size() + deltas.size()));
    std::size_t count = 0;
    for (const auto& list : {merged, deltas}) {
      for (const delta_type& delta : list) {
        if (!delta.enabled) continue;
        updates[count++] = detail::update_of(delta, forward, path_ == delta_path::on_pack_rounded);
      }
    }
    auto right = detail::right_of(weight_, forward);
    right.updates = {updates, count};
    if (forward && !bias_.empty()) result.bias = bias_.data();
    detail::multiply<typename Weight::storage_scalar, scalar>(
        detail::left_operand<Left>{left.data, left.tokens, left.features, left.stride, 1}, right, result, frame, pool);
  }

  Weight weight_;
  std::span<const scalar> bias_;
  const delta_list<scalar>* overlay_ = nullptr;
  delta_path path_ = delta_path::automatic;
};

template <class Weight>
linear(Weight) -> linear<Weight>;

/// Of a matrix instead of a view of it: doesn't compile, and this says why.
template <class Matrix>
  requires detail::eigen_dense<Matrix>
class linear<Matrix> {
  static_assert(sizeof(Matrix) == 0, "sbora::linear: the weight is a view: sbora::linear{sbora::weight_view{w}}");

 public:
  template <class... Arguments>
  explicit linear(Arguments&&...);
  template <class... Arguments>
  void forward(Arguments&&...) const;
  template <class... Arguments>
  void backward(Arguments&&...) const;
};

}  // namespace sbora::inline SBORA_ABI
