#pragma once

#include <span>

#include <sbora/layers/delta_only.hpp>

namespace sbora::inline SBORA_ABI {

/// A frozen linear layer, y = x·Wᵀ + bias, with an adapter on it where one is passed.
///
/// Shapes      x: tokens × d_in, y: tokens × d_out; how Eigen objects map to that: activation_view.
/// Requires    shapes that fit: SBORA_ASSERT, before anything is written. Scalar types and contiguous
///             features: at compile time.
/// Aliasing    results must not overlap inputs, weights or the workspace. Results are overwritten (never
///             read), gradients are added to: call adapter.zero_gradient() between steps.
/// Lifetime    keeps the view of the weight and of the bias; their memory has to outlive the layer.
/// Cost        2·tokens·d_in·d_out flops for each base product, plus the adapter's (delta_only.hpp);
///             scratch of workspace_bytes(); no allocation after warm-up.
/// Numerics    accumulates in the weight's compute type (float; double for double weights), over the
///             inner dimension in a fixed order: equal bits for any executor.
/// Thread      all members are const; concurrent calls need a workspace each, and one adapter takes one
///             training call at a time.
/// Errors      shape_error at construction; workspace_error before anything is written.
template <class Weight>
class linear {
 public:
  using weight_type = Weight;
  using scalar = typename Weight::compute_scalar;

  explicit linear(Weight weight) : weight_(weight) {}

  /// With a bias of d_out numbers. Errors: shape_error.
  linear(Weight weight, std::span<const scalar> bias) : weight_(weight), bias_(bias) {
    if (static_cast<index_t>(bias.size()) != d_out()) {
      throw shape_error("sbora::linear: bias has " + std::to_string(bias.size()) + " elements, d_out is " +
                        std::to_string(d_out()));
    }
  }

  index_t d_out() const noexcept { return weight_.d_out(); }
  index_t d_in() const noexcept { return weight_.d_in(); }
  const Weight& weight() const noexcept { return weight_; }

  /// y = x·Wᵀ + bias.
  template <class X, class Y, class Executor = serial_executor>
  void forward(X&& x, Y&& y, workspace& memory, Executor&& pool = Executor{}) const {
    detail::check_executor<Executor>();
    const auto in = detail::as_activation<const scalar>(x);
    const auto out = detail::as_activation<scalar>(y);
    check_shapes(in.tokens, in.features, out.tokens, out.features);
    if (in.tokens > 0) base_forward(in, out, memory, pool);
  }

  /// y = x·(W + s·B·A)ᵀ + bias, eval mode: no dropout, nothing saved.
  template <class X, class Y, detail::adapter_like Adapter, class Executor = serial_executor>
  void forward(X&& x, Y&& y, const Adapter& adapter, workspace& memory,
               Executor&& pool = Executor{}) const {
    const auto in = detail::as_activation<const scalar>(x);
    prepare(adapter, in.tokens, memory);
    forward(x, y, memory, pool);
    delta_forward(adapter, x, y, memory, pool);
  }

  /// The same in training mode: dropout on the adapter's input; fills `saved` for the backward.
  template <class X, class Y, detail::adapter_like Adapter, class Saved,
            class Executor = serial_executor>
  void forward(X&& x, Y&& y, Adapter& adapter, Saved& saved, workspace& memory,
               Executor&& pool = Executor{}) const {
    detail::check_saved<Adapter, Saved>();
    detail::check_input_lives<Adapter, X>();
    const auto in = detail::as_activation<const scalar>(x);
    prepare(adapter, in.tokens, memory);
    if constexpr (Adapter::kind == adapter_kind::fa) {  // may throw, so before y is written
      saved.prepare(adapter.enabled() ? in.tokens : 0, adapter.rank(), adapter.dropout_step());
    }
    forward(x, y, memory, pool);
    delta_forward(adapter, std::forward<X>(x), y, saved, memory, pool);
  }

  /// dx = dy·W, through the frozen layer alone.
  template <class Dy, class Dx, class Executor = serial_executor>
  void backward(Dy&& dy, Dx&& dx, workspace& memory, Executor&& pool = Executor{}) const {
    detail::check_executor<Executor>();
    const auto out = detail::as_activation<const scalar>(dy);
    const auto in = detail::as_activation<scalar>(dx);
    check_shapes(in.tokens, in.features, out.tokens, out.features);
    if (out.tokens > 0) base_backward(out, in, memory, pool);
  }

  /// gradient += the adapter's gradient; dx = dy·(W + s·B·A), or sbora::no_dx.
  template <class Dy, class Dx, detail::adapter_like Adapter, class Saved,
            class Executor = serial_executor>
  void backward(Dy&& dy, Dx&& dx, Adapter& adapter, const Saved& saved, workspace& memory,
                Executor&& pool = Executor{}) const {
    detail::check_saved<Adapter, Saved>();
    const auto out = detail::as_activation<const scalar>(dy);
    prepare(adapter, out.tokens, memory);
    detail::check_backward(adapter.view(), saved, out.tokens);
    if constexpr (!std::is_same_v<std::remove_cvref_t<Dx>, no_dx_t>) backward(dy, dx, memory, pool);
    delta_backward(adapter, dy, dx, saved, memory, pool);
  }

  /// Workspace that forward and backward of this many tokens need at most, with this adapter or without.
  std::size_t workspace_bytes(index_t tokens) const {
    return std::max(detail::multiply_bytes<scalar>(tokens, d_in(), d_out()),
                    detail::multiply_bytes<scalar>(tokens, d_out(), d_in()));
  }
  template <detail::adapter_like Adapter>
  std::size_t workspace_bytes(index_t tokens, const Adapter& adapter) const {
    const auto a = adapter.view();
    return std::max({workspace_bytes(tokens), detail::delta_forward_bytes(a, tokens),
                     detail::delta_backward_bytes(a, tokens)});
  }

 private:
  /// All that can fail of a call with an adapter, before it writes.
  template <class Adapter>
  void prepare(const Adapter& adapter, index_t tokens, workspace& memory) const {
    static_assert(std::is_same_v<typename Adapter::scalar, scalar>,
                  "sbora::linear: the adapter's scalar has to be what the weight computes in: float for "
                  "float, bfloat16 and half weights, double for double weights");
    SBORA_ASSERT(adapter.d_out() == d_out() && adapter.d_in() == d_in(),
                 "the adapter was made for a weight of another shape");
    memory.reserve(workspace_bytes(tokens, adapter));
  }

  void check_shapes(index_t in_tokens, index_t in_features, index_t out_tokens,
                    index_t out_features) const {
    SBORA_ASSERT(in_features == d_in(), "the input side's features differ from d_in");
    SBORA_ASSERT(out_features == d_out(), "the output side's features differ from d_out");
    SBORA_ASSERT(in_tokens == out_tokens, "input and output have different numbers of tokens");
    static_cast<void>(in_tokens), static_cast<void>(in_features);
    static_cast<void>(out_tokens), static_cast<void>(out_features);
  }

  template <class Executor>
  void base_forward(activation_view<const scalar> x, activation_view<scalar> y, workspace& memory,
                    Executor& pool) const {
    detail::workspace_frame frame(memory, detail::multiply_bytes<scalar>(x.tokens, d_in(), d_out()));
    const bool row = weight_.order() == storage::out_by_in;
    const detail::right_operand<typename Weight::storage_scalar> right = {
        weight_.storage_data(), d_out(), row ? 1 : weight_.stride(), row ? weight_.stride() : 1};
    detail::multiply<typename Weight::storage_scalar, scalar>(
        {x.data, x.tokens, d_in(), x.stride, 1}, right,
        {y.data, y.stride, scalar{1}, bias_.empty() ? nullptr : bias_.data(), false}, frame, pool);
  }

  template <class Executor>
  void base_backward(activation_view<const scalar> dy, activation_view<scalar> dx, workspace& memory,
                     Executor& pool) const {
    detail::workspace_frame frame(memory, detail::multiply_bytes<scalar>(dy.tokens, d_out(), d_in()));
    const bool row = weight_.order() == storage::out_by_in;
    const detail::right_operand<typename Weight::storage_scalar> right = {
        weight_.storage_data(), d_in(), row ? weight_.stride() : 1, row ? 1 : weight_.stride()};
    detail::multiply<typename Weight::storage_scalar, scalar>(
        {dy.data, dy.tokens, d_out(), dy.stride, 1}, right, {dx.data, dx.stride}, frame, pool);
  }

  Weight weight_;
  std::span<const scalar> bias_;
};

}  // namespace sbora::inline SBORA_ABI
