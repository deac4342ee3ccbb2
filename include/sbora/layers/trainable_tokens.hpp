#pragma once

#include <algorithm>
#include <span>
#include <utility>

#include <sbora/adapters/trainable_tokens.hpp>
#include <sbora/core/aligned_memory.hpp>
#include <sbora/layers/call_arguments.hpp>
#include <sbora/layers/delta_product.hpp>
#include <sbora/layers/shapes.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI {

template <class T>
template <float_weight Weight>
basic_trainable_tokens<T>::basic_trainable_tokens(const Weight& table, region tokens)
    : basic_trainable_tokens(checked{}, table.d_out(), table.d_in(), std::move(tokens)) {
  static_assert(std::is_same_v<T, float>, "sbora::trainable_tokens: a table's rows are read as floats");
  this->own(count());
  const detail::row_reader<Weight> reader(table);
  for (index_t j = 0; j < target_.rank(); ++j) {
    reader.read(target_.indices()[static_cast<std::size_t>(j)], 0, features_,
                this->parameters().data() + j * features_);
  }
}

/// y[target()] = x·parameters()ᵀ: the tokens' logits, in the place of those that the head's own rows gave y.
///
/// Shapes      x: tokens × features, y: tokens × vocabulary; x may be bfloat16.
/// Requires    these shapes: SBORA_ASSERT, always, before anything is written.
/// Aliasing    y must not overlap x, the parameters or the workspace.
/// Cost        2·tokens·rank·features flops. No allocation after warm-up.
/// Thread      concurrent calls need a workspace each.
/// Errors      workspace_error before anything is written.
template <class X, class Y, class Executor = serial_executor>
  requires detail::fits_call<detail::layer_call::delta_forward, float, X, Y, std::span<const weight_delta<float>>,
                             workspace&, Executor>
void replaced_forward(const trainable_tokens& tokens, X&& x, Y&& y, workspace& memory, Executor&& pool = Executor{}) {
  const auto in = detail::as_stored_activation<const float>(x);
  const auto out = detail::as_activation<float>(y);
  detail::check_shapes({"x", in}, "the tokens' features", tokens.features(), {"y", out}, "the vocabulary",
                       tokens.vocabulary());
  const weight_delta<float> rows = tokens.delta();
  const auto work = [&](detail::workspace_frame frame, any_executor tasks) {
    detail::for_ranges(out.tokens, detail::task_tokens, tasks, [&](index_t begin, index_t end) {
      for (index_t t = begin; t < end; ++t) {
        for (const index_t id : rows.target->indices()) out.data[t * out.stride + id] = 0;
      }
    });
    detail::add_delta(rows, true, in, out, frame, tasks);
  };
  work(detail::workspace_frame(memory, detail::scratch_of(work)), any_executor(pool));
}

/// The backward of a head with replaced rows, after the frozen head's own: gradient += dy[target()]ᵀ·x, and what dx,
/// which is dy·W, lacks: dx += dy[target()]·(parameters() − W[target()]), unless dx is sbora::no_dx.
///
/// Shapes      dy: tokens × vocabulary, x and dx: tokens × features; dy and x may be bfloat16.
/// Requires    these shapes, and the table that the tokens were made of: SBORA_ASSERT, always.
/// Aliasing    dx must not overlap dy, x or the workspace.
/// Cost        4·tokens·rank·features flops, and rank rows of the table. No allocation after warm-up.
/// Numerics    of the replaced rows dx has the difference, rounded once, added to what the table's own gave: where
///             those aren't finite, dx isn't. Merge the tokens then.
/// Thread      writes the gradient: one call at a time.
/// Errors      workspace_error before anything is written.
template <float_weight Weight, class Dy, class X, class Dx, class Executor = serial_executor>
  requires(detail::fits_call<detail::layer_call::delta_forward, float, X, activation_view<float>,
                             std::span<const weight_delta<float>>, workspace&, Executor> &&
           detail::fits_call<
               detail::layer_call::delta_forward, float, Dy,
               std::conditional_t<std::is_same_v<std::remove_cvref_t<Dx>, no_dx_t>, activation_view<float>, Dx>,
               std::span<const weight_delta<float>>, workspace&, Executor>)
void replaced_backward(trainable_tokens& tokens, const Weight& table, Dy&& dy, X&& x, Dx&& dx, workspace& memory,
                       Executor&& pool = Executor{}) {
  const auto out = detail::as_stored_activation<const float>(dy);
  const auto in = detail::as_stored_activation<const float>(x);
  detail::check_shapes({"dy", out}, "the vocabulary", tokens.vocabulary(), {"x", in}, "the tokens' features",
                       tokens.features());
  const weight_delta<float> rows = tokens.delta();
  detail::check_delta(rows, table.d_out(), table.d_in());
  const auto run = [&](const auto& add_to_dx) {
    const auto work = [&](detail::workspace_frame frame, any_executor tasks) {
      detail::add_gradient_again(rows, out, in, 0, frame, tasks);
      add_to_dx(frame, tasks);
    };
    if (out.tokens > 0) work(detail::workspace_frame(memory, detail::scratch_of(work)), any_executor(pool));
  };
  if constexpr (std::is_same_v<std::remove_cvref_t<Dx>, no_dx_t>) {
    run([](detail::workspace_frame, any_executor) {});
  } else {
    const auto result = detail::as_activation<float>(dx);
    detail::check_shapes({"x", in}, "the tokens' features", tokens.features(), {"dx", result}, "the tokens' features",
                         tokens.features());
    run([&](detail::workspace_frame frame, any_executor tasks) {
      auto* const difference = frame.take<float>(tokens.parameter_count());
      const detail::row_reader<Weight> reader(table);
      detail::for_ranges(rows.rank(), 1, tasks, [&](index_t j, index_t) {
        float* const row = difference + j * rows.d_in;
        reader.read(rows.target->indices()[static_cast<std::size_t>(j)], 0, rows.d_in, row);
        for (index_t k = 0; k < rows.d_in; ++k) row[k] = rows.parameters[j * rows.d_in + k] - row[k];
      });
      weight_delta<float> change = rows;
      change.parameters = difference;
      detail::add_delta(change, false, out, result, frame, tasks);
    });
  }
}

}  // namespace sbora::inline SBORA_ABI
