#pragma once

#include <sbora/adapters/saved.hpp>
#include <sbora/layers/token_tasks.hpp>
#include <sbora/products/product.hpp>

/// The adapter's own part of a linear layer, on views. linear.hpp and delta_only.hpp wrap it.
///
///   FA   y += s·B·x[idx]          gradient += s·dyᵀ·x[idx]     dx[idx] += s·dy·B
///   FB   y[idx] += s·A·x          gradient += s·dy[idx]ᵀ·x     dx += s·dy[idx]·A
namespace sbora::inline SBORA_ABI::detail {

template <class T>
using fa_view = adapter_view<adapter_kind::fa, T>;
template <class T>
using fb_view = adapter_view<adapter_kind::fb, T>;

// ---- scratch ---------------------------------------------------------------------------------------

template <class T>
std::size_t delta_forward_bytes(const fa_view<T>& a, index_t tokens) {
  return frame_bytes<T>(tokens * a.rank()) + multiply_bytes<T>(tokens, a.rank(), a.d_out);
}
template <class T>
std::size_t delta_forward_bytes(const fb_view<T>& a, index_t tokens) {
  return frame_bytes<T>(tokens * a.rank()) + multiply_bytes<T>(tokens, a.d_in, a.rank()) +
         (a.dropout > 0 ? frame_bytes<T>(tokens * a.d_in) : 0);
}
template <class T>
std::size_t delta_input_bytes(const fa_view<T>& a, index_t tokens) {
  return frame_bytes<T>(tokens * a.rank()) + multiply_bytes<T>(tokens, a.d_out, a.rank());
}
template <class T>
std::size_t delta_input_bytes(const fb_view<T>& a, index_t tokens) {
  return frame_bytes<T>(tokens * a.rank()) + multiply_bytes<T>(tokens, a.rank(), a.d_in) +
         (a.dropout > 0 ? frame_bytes<T>(tokens * a.d_in) : 0);
}
template <class T>
std::size_t delta_backward_bytes(const fa_view<T>& a, index_t tokens) {
  return std::max(multiply_bytes<T>(a.d_out, tokens, a.rank()), delta_input_bytes(a, tokens));
}
template <class T>
std::size_t delta_backward_bytes(const fb_view<T>& a, index_t tokens) {
  return std::max(multiply_bytes<T>(a.rank(), tokens, a.d_in) + (a.dropout > 0 ? frame_bytes<T>(tokens * a.d_in) : 0),
                  delta_input_bytes(a, tokens));
}

// ---- forward ---------------------------------------------------------------------------------------

/// y += s·B·g, with g = x[idx] gathered before (tokens × rank).
template <class T, class Executor>
void add_gathered(const fa_view<T>& a, const T* gathered, activation_view<T> y, workspace_frame frame, Executor& pool) {
  multiply<T, T>(left_operand<T>{gathered, y.tokens, a.rank(), a.rank(), 1},
                 transposed_operand(a.parameters, a.d_out, a.rank()), {y.data, y.stride, a.scale, nullptr, true}, frame,
                 pool);
}

/// y[idx] += s·A·x, x dropped out where `step` says.
template <class T, class X, class Executor>
void add_product(const fb_view<T>& a, activation_view<const X> x, activation_view<T> y, const std::uint64_t* step,
                 workspace_frame frame, Executor& pool) {
  T* const product = frame.take<T>(x.tokens * a.rank());
  const auto right = transposed_operand(a.parameters, a.rank(), a.d_in);
  if (step != nullptr && a.dropout > 0) {
    T* const dropped = frame.take<T>(x.tokens * a.d_in);
    apply_dropout_to_input(a, *step, x, dropped, pool);
    multiply<T, T>(left_operand<T>{dropped, x.tokens, a.d_in, a.d_in, 1}, right, {product, a.rank()}, frame, pool);
  } else {
    multiply<T, T>(left_operand<X>{x.data, x.tokens, a.d_in, x.stride, 1}, right, {product, a.rank()}, frame, pool);
  }
  scatter_add(product, a.rank(), a.target, a.scale, y, pool);
}

// ---- backward --------------------------------------------------------------------------------------

/// gradient += s·dyᵀ·gathered.
template <class T, class Y, class Executor>
void add_gradient(const fa_view<T>& a, activation_view<const Y> dy, const fa_saved<T>& saved, workspace_frame frame,
                  Executor& pool) {
  multiply<T, T>(left_operand<Y>{dy.data, a.d_out, dy.tokens, 1, dy.stride},
                 plain_operand(saved.gathered().data(), a.rank(), a.rank()),
                 {a.gradient, a.rank(), a.scale, nullptr, true}, frame, pool);
}

/// gradient += s·dy[idx]ᵀ·x, the gather being part of packing dy.
template <class T, class Y, class Input, class Executor>
void add_gradient(const fb_view<T>& a, activation_view<const Y> dy, const fb_saved<T, Input>& saved,
                  workspace_frame frame, Executor& pool) {
  const auto x = saved.input();
  const left_operand<Y> left = {dy.data, a.rank(), dy.tokens, 1, dy.stride, a.target->indices().data()};
  const product_result<T> result = {a.gradient, a.d_in, a.scale, nullptr, true};
  if (a.dropout > 0) {
    T* const masked = frame.take<T>(dy.tokens * a.d_in);
    apply_dropout_to_input(a, saved.dropout_step(), x, masked, pool);
    multiply<T, T>(left, plain_operand<T>(masked, a.d_in, a.d_in), result, frame, pool);
  } else {
    multiply<stored_as<Input>, T>(left, plain_operand(x.data, a.d_in, x.stride), result, frame, pool);
  }
}

/// dx[idx] += mask of (s·dy·B); the mask is that of `step`, or none.
template <class T, class Y, class Executor>
void add_input_gradient(const fa_view<T>& a, activation_view<const Y> dy, activation_view<T> dx,
                        const std::uint64_t* step, workspace_frame frame, Executor& pool) {
  T* const product = frame.take<T>(dy.tokens * a.rank());
  multiply<T, T>(left_operand<Y>{dy.data, dy.tokens, a.d_out, dy.stride, 1},
                 plain_operand(a.parameters, a.rank(), a.rank()), {product, a.rank()}, frame, pool);
  if (step != nullptr && a.dropout > 0) {
    apply_dropout(a, *step, activation_view<const T>(product, dy.tokens, a.rank()), a.target, product, pool);
  }
  scatter_add(product, a.rank(), a.target, a.scale, dx, pool);
}

/// dx += mask of (s·dy[idx]·A).
template <class T, class Y, class Executor>
void add_input_gradient(const fb_view<T>& a, activation_view<const Y> dy, activation_view<T> dx,
                        const std::uint64_t* step, workspace_frame frame, Executor& pool) {
  T* const gathered = frame.take<T>(dy.tokens * a.rank());
  gather(dy, *a.target, gathered, pool);
  const left_operand<T> left = {gathered, dy.tokens, a.rank(), a.rank(), 1};
  const auto right = plain_operand(a.parameters, a.d_in, a.d_in);
  if (step == nullptr || a.dropout == 0) {
    multiply<T, T>(left, right, {dx.data, dx.stride, a.scale, nullptr, true}, frame, pool);
    return;
  }
  T* const masked = frame.take<T>(dy.tokens * a.d_in);
  multiply<T, T>(left, right, {masked, a.d_in}, frame, pool);
  apply_dropout(a, *step, activation_view<const T>(masked, dy.tokens, a.d_in), nullptr, masked, pool);
  scatter_add(masked, a.d_in, nullptr, a.scale, dx, pool);
}

}  // namespace sbora::inline SBORA_ABI::detail
