#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <sbora/adapters/parameter_block.hpp>
#include <sbora/core/aligned_memory.hpp>
#include <sbora/layers/call_arguments.hpp>
#include <sbora/layers/delta_product.hpp>
#include <sbora/layers/shapes.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI {

/// Rows of a table that are trained whole, in the place of the table's own: new or changed tokens. One object serves
/// an embedding (embedding.hpp) and the head that is tied to it (the functions below), with one gradient and one merge
/// (token_merger.hpp).
///
/// Effect      row target()[j] of the table counts as row j of parameters(), which starts as a copy of it.
/// Shapes      parameters() and gradient(): flat, row-major rank × features.
/// Requires    a region over the vocabulary: shape_error.
/// Lifetime    owns its memory; keeps nothing of the table. Movable.
/// Cost        2·rank·features floats.
/// Numerics    no sum with the table's rows anywhere: what was trained is what is read, to the bit. (An FB adapter is
///             added instead, so that it can be scaled, switched off and mixed.)
/// Thread      const members are safe concurrently; backwards write the gradient, one call at a time.
/// Source      PEFT's TrainableTokensLayer.
class trainable_tokens {
 public:
  template <float_weight Weight>
  trainable_tokens(const Weight& table, region tokens)
      : target_(std::move(tokens)), vocabulary_(table.d_out()), features_(table.d_in()) {
    if (target_.dim() != vocabulary_) {
      throw shape_error("sbora::trainable_tokens: the region is of [0, " + std::to_string(target_.dim()) +
                        "), the table has " + std::to_string(vocabulary_) + " rows");
    }
    const index_t count = detail::require_product("sbora::trainable_tokens", {2, target_.rank(), features_}) / 2;
    owned_ = detail::make_aligned_array<float>(2 * count);
    parameters_.value = {owned_.get(), static_cast<std::size_t>(count)};
    gradient_.value = {owned_.get() + count, static_cast<std::size_t>(count)};
    zero_gradient();
    const detail::row_reader<Weight> reader(table);
    for (index_t j = 0; j < target_.rank(); ++j) {
      reader.read(target_.indices()[static_cast<std::size_t>(j)], 0, features_, owned_.get() + j * features_);
    }
  }

  const region& target() const& noexcept { return target_; }
  const region& target() const&& = delete;  // would dangle: name the tokens
  index_t vocabulary() const noexcept { return vocabulary_; }
  index_t features() const noexcept { return features_; }
  index_t parameter_count() const noexcept { return std::ssize(parameters_.value); }
  /// The trained rows as optimisers of matrices take them.
  std::array<parameter_block, 1> blocks() const noexcept { return {{{0, target_.rank(), features_}}}; }

  /// These and delta() refer to the object's memory: of a temporary they don't compile.
  std::span<float> parameters() & noexcept { return parameters_.value; }
  std::span<const float> parameters() const& noexcept { return parameters_.value; }
  std::span<const float> parameters() const&& = delete;  // would dangle: name the tokens
  std::span<float> gradient() & noexcept { return gradient_.value; }
  std::span<const float> gradient() const& noexcept { return gradient_.value; }
  std::span<const float> gradient() const&& = delete;  // would dangle: name the tokens
  void zero_gradient() noexcept { std::fill(gradient_.value.begin(), gradient_.value.end(), 0.0F); }

  /// The rows as an FB adapter's delta with a scale of 1: what seen_rows (sparse_step.hpp) takes. What adds it to the
  /// table adds instead of replacing.
  weight_delta<float> delta() const& {
    SBORA_ASSERT(target_.rank() > 0, "the tokens were moved from, and have no rows any more");
    return {detail::row_kind,
            &target_,
            parameters_.value.data(),
            gradient_.value.data(),
            vocabulary_,
            features_,
            1.0F,
            true,
            0,
            0};
  }
  weight_delta<float> delta() const&& = delete;  // would dangle: name the tokens

 private:
  region target_;
  index_t vocabulary_;
  index_t features_;
  detail::aligned_array<float> owned_;
  detail::reset_on_move<std::span<float>> parameters_;
  detail::reset_on_move<std::span<float>> gradient_;
};

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
