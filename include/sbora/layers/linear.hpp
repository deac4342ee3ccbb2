#pragma once

#include <span>

#include <sbora/core/lasting_span.hpp>
#include <sbora/layers/base_product.hpp>
#include <sbora/layers/delta.hpp>
#include <sbora/weights/frozen_weight.hpp>

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
///             rounded once, at the end. bfloat16 inputs with bfloat16 or quantised weights are multiplied in
///             pairs where the processor can (AVX512_BF16, AMX), which flushes denormals.
/// Thread      all members are const but those that set something; concurrent calls need a workspace each, and one
///             adapter takes one training call at a time.
/// Errors      shape_error at construction; workspace_error before anything is written.
template <class Weight>
class linear {
  static_assert(frozen_weight<Weight>, "sbora::linear: the weight has to be a frozen_weight, such as a weight_view");

 public:
  using weight_type = Weight;
  using scalar = typename Weight::compute_scalar;
  using delta_type = weight_delta<scalar>;

  explicit linear(Weight weight) : product_{.weight = weight} {}

  /// With a bias of d_out numbers, which is referred to. Errors: shape_error.
  linear(Weight weight, lasting_span<scalar> bias) : product_{.weight = weight, .bias = bias} {
    if (static_cast<index_t>(bias.size()) != d_out()) {
      throw shape_error(detail::message({"sbora::linear: bias has ", bias.size(), " elements, d_out is ", d_out()}));
    }
  }

  index_t d_out() const noexcept { return product_.weight.d_out(); }
  index_t d_in() const noexcept { return product_.weight.d_in(); }
  Weight weight() const noexcept { return product_.weight; }

  /// Has every product of this layer use W + the deltas of `list` for W, or W again for null. What an overlay
  /// merges (overlay.hpp). Lifetime: keeps the pointer; the list may change between calls.
  void set_overlay(const delta_list<scalar>* list) {
    if (list != nullptr) {
      for (const delta_type& delta : *list) detail::check_overlay("sbora::linear", delta, d_out(), d_in());
    }
    product_.merged_beside = list;
  }

  delta_path path() const noexcept { return product_.path; }
  void set_delta_path(delta_path path) noexcept { product_.path = path; }

  /// Whether a token's results have the same bits alone, in any batch and at any place of it. Otherwise few tokens are
  /// computed in another way than many, which is faster and adds in another order.
  /// Cost        1 token over f32 takes about twice its time (avx2 2.2, avx512 1.7), 64 a tenth more.
  bool batch_invariant() const noexcept { return product_.batch_invariant; }
  void set_batch_invariant(bool invariant) noexcept { product_.batch_invariant = invariant; }

  /// What y is computed in. Of weights that aren't codes of 4 bits or int8, always in full.
  compute computed_in() const noexcept { return product_.computed_in; }
  void set_compute(compute computed_in) noexcept { product_.computed_in = computed_in; }

  /// y = x·Wᵀ + bias.
  template <class X, class Y, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::forward, scalar, X, Y, workspace&, Executor>
  void forward(X&& x, Y&& y, workspace& memory, Executor&& pool = Executor{}) const {
    run(true, detail::as_stored_activation<const scalar>(x), detail::as_stored_activation<scalar>(y), {}, memory, pool);
  }

  /// y = x·(W + ΔW₁ + ΔW₂ + …)ᵀ + bias, eval mode: no dropout, nothing saved. Adapters of both kinds, on
  /// any regions, added in their order; disabled ones left out.
  template <class X, class Y, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::forward, scalar, X, Y, workspace&, Executor>
  void forward(X&& x, Y&& y, std::span<const delta_type> deltas, workspace& memory,
               Executor&& pool = Executor{}) const {
    run(true, detail::as_stored_activation<const scalar>(x), detail::as_stored_activation<scalar>(y), deltas, memory,
        pool);
  }

  /// The same with one adapter.
  template <class X, class Y, detail::adapter_like Adapter, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::forward, scalar, X, Y, const Adapter&, workspace&, Executor>
  void forward(X&& x, Y&& y, const Adapter& adapter, workspace& memory, Executor&& pool = Executor{}) const {
    const delta_type delta = adapter.delta();
    run(true, detail::as_stored_activation<const scalar>(x), detail::as_stored_activation<scalar>(y), {&delta, 1},
        memory, pool);
  }

  /// The same in training mode: dropout on the adapter's input; fills `saved` for the backward.
  template <class X, class Y, detail::adapter_like Adapter, class Saved, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::forward, scalar, X, Y, Adapter&, Saved&, workspace&, Executor>
  void forward(X&& x, Y&& y, Adapter& adapter, Saved& saved, workspace& memory, Executor&& pool = Executor{}) const {
    const auto in = detail::as_stored_activation<const scalar>(x);
    const auto out = detail::as_stored_activation<scalar>(y);
    const delta_type a = product_.as_computed(adapter.delta());
    check_call(true, in, out, {&a, 1});
    const std::uint64_t step = adapter.dropout_step();
    scalar* gathered = nullptr;
    const auto work = [&](detail::workspace_frame frame, any_executor tasks) {
      if constexpr (detail::saves_gathered(Adapter::kind)) {
        if (a.enabled) detail::keep_input(a, in, step, gathered, tasks);
      }
      product_.training_forward(a, in, step, static_cast<const scalar*>(gathered), out, frame, tasks);
    };
    const detail::workspace_frame frame(memory, detail::scratch_of(work));
    if (a.enabled && in.tokens > 0) gathered = detail::start_saving(adapter, in, saved);
    else if constexpr (detail::saves_gathered(Adapter::kind)) saved.prepare(0, a.rank(), step);
    if (in.tokens > 0) work(frame, pool);
  }

  /// dx = dy·W, through the frozen layer alone.
  template <class Dy, class Dx, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::backward, scalar, Dy, Dx, workspace&, Executor>
  void backward(Dy&& dy, Dx&& dx, workspace& memory, Executor&& pool = Executor{}) const {
    run(false, detail::as_stored_activation<const scalar>(dy), detail::as_stored_activation<scalar>(dx), {}, memory,
        pool);
  }

  /// dx = dy·(W + ΔW₁ + ΔW₂ + …), without gradients: those are delta_backward(adapter, dy, no_dx, …).
  template <class Dy, class Dx, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::backward, scalar, Dy, Dx, workspace&, Executor>
  void backward(Dy&& dy, Dx&& dx, std::span<const delta_type> deltas, workspace& memory,
                Executor&& pool = Executor{}) const {
    run(false, detail::as_stored_activation<const scalar>(dy), detail::as_stored_activation<scalar>(dx), deltas, memory,
        pool);
  }

  /// gradient += the adapter's gradient; dx = dy·(W + s·B·A), or sbora::no_dx.
  template <class Dy, class Dx, detail::adapter_like Adapter, class Saved, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::backward, scalar, Dy, Dx, Adapter&, const Saved&, workspace&,
                               Executor>
  void backward(Dy&& dy, Dx&& dx, Adapter& adapter, const Saved& saved, workspace& memory,
                Executor&& pool = Executor{}) const {
    const delta_type a = product_.as_computed(adapter.delta());
    const auto out = detail::as_stored_activation<const scalar>(dy);
    detail::check_features({"dy", out}, "d_out", d_out());
    check_deltas({&a, 1});
    detail::check_backward(a, saved, out.tokens);
    const auto run = [&](const auto& work) {
      if (out.tokens > 0) work(detail::workspace_frame(memory, detail::scratch_of(work)), any_executor(pool));
    };
    if constexpr (std::is_same_v<std::remove_cvref_t<Dx>, no_dx_t>) {
      run([&](detail::workspace_frame frame, any_executor tasks) {
        if (a.enabled) detail::add_gradient(a, out, saved, frame, tasks);
      });
    } else {
      const auto in = detail::as_stored_activation<scalar>(dx);
      detail::check_shapes({"dy", out}, "d_out", d_out(), {"dx", in}, "d_in", d_in());
      run([&](detail::workspace_frame frame, any_executor tasks) {
        product_.input_gradient(a, out, saved.dropout_step(), in, frame, tasks);
        if (a.enabled) detail::add_gradient(a, out, saved, frame, tasks);
      });
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
    return detail::span_bytes(scratch_of_calls<Result>(tokens, deltas));
  }
  /// And with this adapter in training mode.
  template <class Result = scalar, detail::adapter_like Adapter>
  std::size_t workspace_bytes(index_t tokens, const Adapter& adapter) const {
    const delta_type a = adapter.delta();
    const std::size_t training = detail::scratch_of([&](detail::workspace_frame frame, any_executor) {
      for (const bool forward : {true, false}) {
        detail::workspace_frame rest = frame;
        product_.sum_of(no_result<Result>(tokens, forward), rest);
        detail::count_delta(a, tokens, rest);
      }
    });
    return detail::span_bytes(std::max(scratch_of_calls<Result>(tokens, {&a, 1}), training));
  }

 private:
  /// A result of the forward or the backward that lies nowhere.
  template <class Result>
  auto no_result(index_t tokens, bool forward) const {
    using stored = std::conditional_t<detail::is_bf16_result<Result>, bf16, scalar>;
    return activation_view<stored>(nullptr, tokens, forward ? d_out() : d_in());
  }

  /// Of both directions, on whatever path.
  template <class Result>
  std::size_t scratch_of_calls(index_t tokens, std::span<const delta_type> deltas) const {
    detail::require_product("sbora::linear: scratch", {tokens, std::max(d_in(), d_out()), 256});  // more than any path
    return detail::scratch_of([&](detail::workspace_frame frame, any_executor tasks) {
      for (const bool forward : {true, false}) {
        const activation_view<const scalar> left(nullptr, tokens, forward ? d_in() : d_out());
        for (const bool packs : {true, false}) {
          product_.apply(forward, left, no_result<Result>(tokens, forward), deltas, packs, frame, tasks);
        }
      }
    });
  }

  void check_deltas(std::span<const delta_type> deltas) const {
    for (const auto& list : {deltas, product_.overlay()}) {
      for (const delta_type& delta : list) detail::check_delta(delta, d_out(), d_in());
    }
  }

  template <class Left, class Out>
  void check_call(bool forward, activation_view<const Left> left, activation_view<Out> out,
                  std::span<const delta_type> deltas) const {
    if (forward) detail::check_shapes({"x", left}, "d_in", d_in(), {"y", out}, "d_out", d_out());
    else detail::check_shapes({"dy", left}, "d_out", d_out(), {"dx", out}, "d_in", d_in());
    check_deltas(deltas);
  }

  template <class Left, class Out>
  void run(bool forward, activation_view<const Left> left, activation_view<Out> out, std::span<const delta_type> deltas,
           workspace& memory, any_executor pool) const {
    check_call(forward, left, out, deltas);
    if (left.tokens == 0) return;
    const bool packs = product_.packs_deltas(left, forward);
    const auto work = [&](detail::workspace_frame frame, any_executor tasks) {
      product_.apply(forward, left, out, deltas, packs, frame, tasks);
    };
    work(detail::workspace_frame(memory, detail::scratch_of(work)), pool);
  }

  detail::base_product<Weight> product_;
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
