#pragma once

#include <sbora/adapters/saved.hpp>
#include <sbora/layers/delta_path.hpp>
#include <sbora/layers/token_tasks.hpp>

/// The adapter's own part of a linear layer, on views. linear.hpp and delta.hpp wrap it.
///
///   FA   y += s·B·x[idx]          gradient += s·dyᵀ·x[idx]     dx[idx] += s·dy·B
///   FB   y[idx] += s·A·x          gradient += s·dy[idx]ᵀ·x     dx += s·dy[idx]·A
///
/// So FA's forward and FB's dx gather the region's features and multiply; FB's forward and FA's dx multiply and
/// scatter.
namespace sbora::inline SBORA_ABI::detail {

/// The trained half as a right operand whose depth is the region's indices, or else the lines.
template <class T>
right_operand<T> trained_half(const weight_delta<T>& a, bool depth_is_region) {
  const region_geometry g = a.geometry();
  return {{a.parameters, g.cols()}, depth_is_region ? g.lines : g.rank, g.rows_along_region == depth_is_region};
}

/// out += s·gathered·half, with gathered the region's features, tokens × rank.
template <class T>
void add_gathered(const weight_delta<T>& a, const T* gathered, activation_view<T> out, workspace_frame frame,
                  any_executor pool) {
  multiply<T, T>(left_operand<T>{gathered, out.tokens, a.rank(), a.rank(), 1, nullptr, a.batch_invariant},
                 trained_half(a, true), {.data = out.data, .stride = out.stride, .alpha = a.scale, .accumulate = true},
                 frame, pool);
}

/// mask(source·half), tokens × rank; the mask is that of `step`, or none.
template <class T, class X>
T* region_product(const weight_delta<T>& a, activation_view<const X> source, const std::uint64_t* step,
                  workspace_frame& frame, any_executor pool) {
  T* const product = frame.take<T>(source.tokens * a.rank());
  multiply<T, T>(
      left_operand<X>{source.data, source.tokens, source.features, source.stride, 1, nullptr, a.batch_invariant},
      trained_half(a, false), {.data = product, .stride = a.rank()}, frame, pool);
  if (step != nullptr && a.dropout > 0) {
    apply_dropout(a, *step, activation_view<const T>(product, source.tokens, a.rank()), a.target, product, pool);
  }
  return product;
}

/// out[region] += s·mask(source·half).
template <class T, class X>
void add_scattered(const weight_delta<T>& a, activation_view<const X> source, activation_view<T> out,
                   const std::uint64_t* step, workspace_frame frame, any_executor pool) {
  const T* const product = region_product(a, source, step, frame, pool);
  scatter_add(product, a.rank(), a.target, a.scale, out, pool);
}

/// y += s·B·A·x (forward) or dx += s·dy·B·A, without dropout.
template <class T, class X>
void add_delta(const weight_delta<T>& a, bool forward, activation_view<const X> source, activation_view<T> out,
               workspace_frame frame, any_executor pool) {
  if (!a.geometry().is_of_input(forward)) return add_scattered(a, source, out, nullptr, frame, pool);
  T* const gathered = frame.take<T>(source.tokens * a.rank());
  gather(source, *a.target, gathered, pool);
  add_gathered(a, gathered, out, frame, pool);
}

// ---- training --------------------------------------------------------------------------------------

/// The dropout of `step` on x[idx].
template <class T>
void drop_kept_input(const weight_delta<T>& a, std::uint64_t step, T* gathered, index_t tokens, any_executor pool) {
  if (a.dropout == 0) return;
  apply_dropout(a, step, activation_view<const T>(gathered, tokens, a.rank()), a.target, gathered, pool);
}

/// gathered = x[idx] with the dropout of `step`: what an FA's backward needs of x.
template <class T, class X>
void keep_input(const weight_delta<T>& a, activation_view<const X> x, std::uint64_t step, T* gathered,
                any_executor pool) {
  gather(x, *a.target, gathered, pool);
  drop_kept_input(a, step, gathered, x.tokens, pool);
}

/// dropout(x)·half, tokens × rank.
template <class T, class X>
T* region_product_of_dropped(const weight_delta<T>& a, activation_view<const X> x, std::uint64_t step,
                             workspace_frame& frame, any_executor pool) {
  if (a.dropout == 0) return region_product(a, x, nullptr, frame, pool);
  T* const dropped = frame.take<T>(x.tokens * x.features);
  apply_dropout_to_input(a, step, x, dropped, pool);
  return region_product(a, activation_view<const T>(dropped, x.tokens, x.features), nullptr, frame, pool);
}

/// y += s·B·A·dropout(x); an FA's kept input is used.
template <class T, class X>
void add_training_delta(const weight_delta<T>& a, activation_view<const X> x, std::uint64_t step, const T* gathered,
                        activation_view<T> y, workspace_frame frame, any_executor pool) {
  if (a.geometry().is_of_input(true)) return add_gathered(a, gathered, y, frame, pool);
  const T* const product = region_product_of_dropped(a, x, step, frame, pool);
  scatter_add(product, a.rank(), a.target, a.scale, y, pool);
}

/// gradient += s·leftᵀ·right over the tokens.
template <class T, class Right, class Left>
void add_gradient_product(const weight_delta<T>& a, const left_operand<Left>& left, const Right* right, index_t stride,
                          workspace_frame frame, any_executor pool) {
  const index_t cols = a.geometry().cols();
  multiply<Right, T>(left, plain_operand(right, cols, stride),
                     {.data = a.gradient, .stride = cols, .alpha = a.scale, .accumulate = true}, frame, pool);
}

/// FA's gradient += s·dyᵀ·gathered, or transposed s·gatheredᵀ·dy.
template <class T, class Y>
void add_gradient_of_gathered(const weight_delta<T>& a, activation_view<const Y> dy, const T* gathered,
                              workspace_frame frame, any_executor pool) {
  if (a.transposed) {
    const left_operand<T> left = {gathered, a.rank(), dy.tokens, 1, a.rank()};
    return add_gradient_product(a, left, dy.data, dy.stride, frame, pool);
  }
  const left_operand<Y> left = {dy.data, a.d_out, dy.tokens, 1, dy.stride};
  add_gradient_product(a, left, gathered, a.rank(), frame, pool);
}

/// FB's gradient += s·dy[idx]ᵀ·x with the dropout of `step`, or transposed s·xᵀ·dy[idx]. The gather is part of packing
/// dy where that is the left operand.
template <class T, class Y, class X>
void add_gradient_of_kept(const weight_delta<T>& a, activation_view<const Y> dy, activation_view<const X> x,
                          workspace_frame frame, any_executor pool) {
  if (a.transposed) {
    T* const gathered = frame.take<T>(dy.tokens * a.rank());
    gather(dy, *a.target, gathered, pool);
    const left_operand<X> left = {x.data, a.d_in, x.tokens, 1, x.stride};
    return add_gradient_product(a, left, static_cast<const T*>(gathered), a.rank(), frame, pool);
  }
  const left_operand<Y> left = {dy.data, a.rank(), dy.tokens, 1, dy.stride, a.target->indices().data()};
  add_gradient_product(a, left, x.data, x.stride, frame, pool);
}
template <class T, class Y, class X>
void add_gradient_of_input(const weight_delta<T>& a, activation_view<const Y> dy, activation_view<const X> x,
                           std::uint64_t step, workspace_frame frame, any_executor pool) {
  if (a.dropout == 0) return add_gradient_of_kept(a, dy, x, frame, pool);
  T* const masked = frame.take<T>(dy.tokens * a.d_in);
  apply_dropout_to_input(a, step, x, masked, pool);
  add_gradient_of_kept(a, dy, activation_view<const T>(masked, dy.tokens, a.d_in), frame, pool);
}

/// The gradient where x is given again and nothing was saved.
template <class T, class Y, class X>
void add_gradient_again(const weight_delta<T>& a, activation_view<const Y> dy, activation_view<const X> x,
                        std::uint64_t step, workspace_frame frame, any_executor pool) {
  if (!a.geometry().is_of_input(true)) return add_gradient_of_input(a, dy, x, step, frame, pool);
  T* const gathered = frame.take<T>(x.tokens * a.rank());
  keep_input(a, x, step, gathered, pool);
  add_gradient_of_gathered(a, dy, static_cast<const T*>(gathered), frame, pool);
}

template <class T, class Y>
void add_gradient(const weight_delta<T>& a, activation_view<const Y> dy, const fa_saved<T>& saved,
                  workspace_frame frame, any_executor pool) {
  add_gradient_of_gathered(a, dy, saved.data(), frame, pool);
}
template <class T, class Y, class Input>
void add_gradient(const weight_delta<T>& a, activation_view<const Y> dy, const fb_saved<T, Input>& saved,
                  workspace_frame frame, any_executor pool) {
  add_gradient_of_input(a, dy, saved.input(), saved.dropout_step(), frame, pool);
}

/// dx += mask of (s·dy·B·A); the mask is that of `step`.
template <class T, class Y>
void add_training_gradient(const weight_delta<T>& a, activation_view<const Y> dy, std::uint64_t step,
                           activation_view<T> dx, workspace_frame frame, any_executor pool) {
  if (a.dropout == 0) return add_delta(a, false, dy, dx, frame, pool);
  if (a.geometry().is_of_input(true)) return add_scattered(a, dy, dx, &step, frame, pool);
  T* const gathered = frame.take<T>(dy.tokens * a.rank());
  gather(dy, *a.target, gathered, pool);
  T* const masked = frame.take<T>(dy.tokens * a.d_in);
  multiply<T, T>(left_operand<T>{gathered, dy.tokens, a.rank(), a.rank(), 1}, trained_half(a, true),
                 {.data = masked, .stride = a.d_in}, frame, pool);
  apply_dropout(a, step, activation_view<const T>(masked, dy.tokens, a.d_in), nullptr, masked, pool);
  scatter_add(masked, a.d_in, nullptr, a.scale, dx, pool);
}

/// All of this on no memory, for a frame that counts: the most of it that a call takes, whatever its activations' type.
template <class T>
void count_delta(const weight_delta<T>& a, index_t tokens, workspace_frame frame) {
  const any_executor pool = any_executor::idle();
  const activation_view<T> x(nullptr, tokens, a.d_in), y(nullptr, tokens, a.d_out);
  const activation_view<const T> in = x, dy = y;
  add_delta(a, true, in, y, frame, pool);
  add_delta(a, false, dy, x, frame, pool);
  add_training_delta<T>(a, in, 0, nullptr, y, frame, pool);
  add_training_gradient(a, dy, 0, x, frame, pool);
  if (a.geometry().is_of_input(true)) add_gradient_of_gathered<T>(a, dy, nullptr, frame, pool);
  else add_gradient_of_input(a, dy, in, 0, frame, pool);
}

}  // namespace sbora::inline SBORA_ABI::detail
