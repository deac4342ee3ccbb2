#pragma once

#include <span>

#include <sbora/layers/compute.hpp>
#include <sbora/layers/delta_product.hpp>
#include <sbora/weights/frozen_weight.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Errors: shape_error where what is merged beside a weight is of another shape.
template <class T>
void check_overlay(const char* who, const weight_delta<T>& delta, index_t d_out, index_t d_in) {
  if (delta.d_out == d_out && delta.d_in == d_in) return;
  throw shape_error(message({who, ": the overlay is for a weight of ", shape_text(delta.d_out, delta.d_in),
                             ", the weight is ", shape_text(d_out, d_in)}));
}

/// What layers over one frozen weight are made of: its products with adapters on it. Sizes are checked by who calls.
template <class Weight>
struct base_product {
  using scalar = typename Weight::compute_scalar;
  using delta_type = weight_delta<scalar>;

  Weight weight;
  std::span<const scalar> bias = {};
  const delta_list<scalar>* merged_beside = nullptr;
  delta_path path = delta_path::automatic;
  bool batch_invariant = false;
  compute computed_in = compute::full;

  std::span<const delta_type> overlay() const&& = delete;  // would dangle: name the product
  std::span<const delta_type> overlay() const& {
    return merged_beside != nullptr ? std::span<const delta_type>(*merged_beside) : std::span<const delta_type>();
  }

  /// Tokens as the left operand; with `rows`, token i is row rows[i] of them.
  template <class Left>
  left_operand<Left> left_of(activation_view<const Left> left, const index_t* rows = nullptr) const {
    return {left.data, left.tokens, left.features, left.stride, 1, rows, batch_invariant, computed_in == compute::int8};
  }

  /// Whether a call on this left operand adds ΔW on pack; see delta_path.
  template <class Left>
  bool packs_deltas(activation_view<const Left> left, bool forward) const {
    if (path != delta_path::automatic) return path != delta_path::separate;
    return plan_of(left_of(left), right_of(weight, forward), 1).adds_updates;
  }

  /// Whether `rows` saves a copy of these tokens: where the product packs them, and nothing else reads them.
  template <class Left>
  bool takes_rows(activation_view<const Left> left, std::span<const delta_type> deltas) const {
    const product_method method = plan_of(left_of(left), right_of(weight, true), 1).method;
    return method != product_method::stream && method != product_method::stream_codes &&
           method != product_method::few && ((deltas.empty() && overlay().empty()) || packs_deltas(left, true));
  }

  /// Where sums are collected before they become `out`.
  template <class Out>
  static activation_view<scalar> sum_of(activation_view<Out> out, workspace_frame& frame) {
    if constexpr (std::is_same_v<Out, scalar>) return out;
    else return {frame.take<scalar>(out.tokens * out.features), out.tokens, out.features};
  }
  template <class Out>
  static void finish(activation_view<scalar> sum, activation_view<Out> out, any_executor pool) {
    if constexpr (!std::is_same_v<Out, scalar>) narrow(sum, out, pool);
  }

  /// out = left·(W + overlay + deltas)ᵀ + bias or left·(W + overlay + deltas); `packs`: ΔW is added on pack. `rows` as
  /// in left_of, where takes_rows says so.
  template <class Left, class Out>
  void apply(bool forward, activation_view<const Left> left, activation_view<Out> out,
             std::span<const delta_type> deltas, bool packs, workspace_frame frame, any_executor pool,
             const index_t* rows = nullptr) const {
    const activation_view<scalar> sum = sum_of(out, frame);
    product_result<scalar> result = {.data = sum.data, .stride = sum.stride};
    if (forward && !bias.empty()) result.bias = bias.data();
    auto right = right_of(weight, forward);
    if (packs) right.updates = updates_of(forward, deltas, frame);
    const bool one_product = packs || (overlay().empty() && deltas.empty());
    if constexpr (!std::is_same_v<Out, scalar>) {
      if (one_product) result.narrowed = out.data, result.narrowed_stride = out.stride;
    }
    multiply<typename Weight::storage_scalar, scalar>(left_of(left, rows), right, result, frame, pool);
    if (one_product) return;
    for (const auto& list : {overlay(), deltas}) {
      for (const delta_type& delta : list) {
        if (takes_part(delta, frame)) add_delta(as_computed(delta), forward, left, sum, frame, pool);
      }
    }
    finish(sum, out, pool);
  }

  /// y = x·(W + overlay + the adapter's ΔW)ᵀ + bias in training mode, with the dropout of `step`. `gathered`: an FA's
  /// inputs as keep_input has them.
  template <class X, class Out>
  void training_forward(const delta_type& a, activation_view<const X> x, std::uint64_t step, const scalar* gathered,
                        activation_view<Out> y, workspace_frame frame, any_executor pool) const {
    const bool packs = packs_deltas(x, true);
    if (!a.enabled || (a.dropout == 0 && packs)) return apply(true, x, y, {&a, 1}, packs, frame, pool);
    const activation_view<scalar> sum = sum_of(y, frame);
    apply(true, x, sum, {}, packs, frame, pool);
    add_training_delta(a, x, step, gathered, sum, frame, pool);
    finish(sum, y, pool);
  }

  /// dx = dy·(W + overlay + the adapter's ΔW) with the dropout of `step`.
  template <class Y, class Out>
  void input_gradient(const delta_type& a, activation_view<const Y> dy, std::uint64_t step, activation_view<Out> dx,
                      workspace_frame frame, any_executor pool) const {
    const bool packs = packs_deltas(dy, false);
    if (a.dropout == 0 && packs) return apply(false, dy, dx, {&a, 1}, packs, frame, pool);
    const activation_view<scalar> sum = sum_of(dx, frame);
    apply(false, dy, sum, {}, packs, frame, pool);
    if (a.enabled) add_training_gradient(a, dy, step, sum, frame, pool);
    finish(sum, dx, pool);
  }

  /// A delta whose part is computed on its own, as this layer's.
  delta_type as_computed(delta_type delta) const {
    delta.batch_invariant = delta.batch_invariant || batch_invariant;
    return delta;
  }

 private:
  /// Disabled adapters are counted too: they may be enabled before the call.
  static bool takes_part(const delta_type& delta, const workspace_frame& frame) {
    return delta.enabled || frame.counts();
  }

  /// What overlay and deltas add on pack.
  panel_updates<scalar> updates_of(bool forward, std::span<const delta_type> deltas, workspace_frame& frame) const {
    const bool rounded = path == delta_path::on_pack_rounded;
    const std::size_t most = overlay().size() + deltas.size();
    auto* const updates = frame.take<panel_update<scalar>>(static_cast<index_t>(most));
    index_t count = 0;
    for (const auto& list : {overlay(), deltas}) {
      for (const delta_type& delta : list) {
        if (!takes_part(delta, frame)) continue;
        if (!frame.counts()) updates[count] = update_of(delta, forward, rounded);
        ++count;
      }
    }
    return {updates, count, rounded};
  }
};

}  // namespace sbora::inline SBORA_ABI::detail
