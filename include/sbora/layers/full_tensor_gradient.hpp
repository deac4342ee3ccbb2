#pragma once

#include <sbora/adapters/full_tensor.hpp>
#include <sbora/core/misuse.hpp>
#include <sbora/layers/call_arguments.hpp>
#include <sbora/layers/shapes.hpp>
#include <sbora/products/product.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Errors: SBORA_ASSERT.
template <class T>
void check_trained_tensor(const full_tensor<T>& tensor, index_t expected, const char* what) {
  SBORA_ASSERT(tensor.parameter_count() == expected,
               wrong_saved(message({"the full tensor's numbers aren't as many as ", what}).c_str(),
                           tensor.parameter_count(), expected)
                   .c_str());
  SBORA_ASSERT(!tensor.gradient().empty(), "the full tensor has no gradient: it was made for inference");
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// gradient += Σ dy[t]: of a bias that is trained whole. The layer computes with it where it is made with
/// bias.parameters().
///
/// Shapes      dy: tokens × bias.parameter_count(); may be bfloat16 where T is float.
/// Requires    these shapes, and a bias with a gradient: SBORA_ASSERT, always, before anything is written.
/// Cost        reads dy once. No allocation.
/// Numerics    sums in double, in the tokens' order, rounded once to be added: equal bits for any executor.
/// Thread      writes the gradient: one call at a time.
template <class T, class Dy, detail::executor_argument Executor = serial_executor>
void add_bias_gradient(full_tensor<T>& bias, Dy&& dy, Executor&& pool = Executor{}) {
  const auto in = detail::as_stored_activation<const T>(dy);
  detail::check_trained_tensor(bias, in.features, "dy has features");
  const std::span<T> gradient = bias.gradient();
  constexpr index_t at_once = 64;
  detail::for_ranges(in.features, at_once, pool, [&](index_t begin, index_t end) {
    double sums[at_once] = {};
    for (index_t t = 0; t < in.tokens; ++t) {
      const auto* const from = in.data + t * in.stride;
      for (index_t k = begin; k < end; ++k) {
        if constexpr (std::is_same_v<decltype(from[k]), const bf16&>) {
          sums[k - begin] += static_cast<double>(detail::widen(from[k]));
        } else {
          sums[k - begin] += static_cast<double>(from[k]);
        }
      }
    }
    for (index_t k = begin; k < end; ++k) gradient[static_cast<std::size_t>(k)] += static_cast<T>(sums[k - begin]);
  });
}

/// gradient += dyᵀ·x: of a linear layer's weight that is trained whole, row-major d_out × d_in; such as a head.
///
/// Shapes      dy: tokens × d_out, x: tokens × d_in; may be bfloat16 where T is float.
/// Requires    these shapes, and a weight with a gradient: SBORA_ASSERT, always, before anything is written.
/// Aliasing    the gradient must not overlap dy, x or the workspace.
/// Cost        2·tokens·d_out·d_in flops. No allocation after warm-up.
/// Thread      writes the gradient: one call at a time.
/// Errors      workspace_error before anything is written.
template <class T, class Dy, class X, detail::executor_argument Executor = serial_executor>
void add_weight_gradient(full_tensor<T>& weight, Dy&& dy, X&& x, workspace& memory, Executor&& pool = Executor{}) {
  const auto out = detail::as_stored_activation<const T>(dy);
  const auto in = detail::as_stored_activation<const T>(x);
  detail::check_shapes({"dy", out}, "dy's features", out.features, {"x", in}, "x's features", in.features);
  detail::check_trained_tensor(weight, out.features * in.features, "dy's features times x's");
  const std::span<T> gradient = weight.gradient();
  using left = std::remove_const_t<std::remove_pointer_t<decltype(out.data)>>;
  const auto work = [&](detail::workspace_frame frame, any_executor tasks) {
    detail::multiply(detail::left_operand<left>{out.data, out.features, out.tokens, 1, out.stride},
                     detail::plain_operand(in.data, in.features, in.stride),
                     detail::product_result<T>{.data = gradient.data(), .stride = in.features, .accumulate = true},
                     frame, tasks);
  };
  if (out.tokens > 0) work(detail::workspace_frame(memory, detail::scratch_of(work)), any_executor(pool));
}

}  // namespace sbora::inline SBORA_ABI
