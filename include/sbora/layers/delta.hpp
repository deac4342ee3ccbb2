#pragma once

#include <sbora/layers/saved.hpp>
#include <sbora/layers/token_tasks.hpp>
#include <sbora/weights/product.hpp>

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
std::size_t delta_backward_bytes(const fa_view<T>& a, index_t tokens) {
  return frame_bytes<T>(tokens * a.rank()) +
         std::max(multiply_bytes<T>(a.d_out, tokens, a.rank()),
                  multiply_bytes<T>(tokens, a.d_out, a.rank()));
}
template <class T>
std::size_t delta_backward_bytes(const fb_view<T>& a, index_t tokens) {
  return frame_bytes<T>(tokens * a.rank()) +
         std::max(multiply_bytes<T>(a.rank(), tokens, a.d_in),
                  multiply_bytes<T>(tokens, a.rank(), a.d_in)) +
         (a.dropout > 0 ? frame_bytes<T>(tokens * a.d_in) : 0);
}

// ---- forward ---------------------------------------------------------------------------------------

/// y += s·B·g, with g = x[idx] in `gathered` (tokens × rank), made here, dropped out where `step` says.
template <class T, class Executor>
void add_delta(const fa_view<T>& a, activation_view<const T> x, activation_view<T> y, T* gathered,
               const std::uint64_t* step, workspace_frame& frame, Executor& pool) {
  gather(x, *a.target, gathered, pool);
  if (step != nullptr && a.dropout > 0) {
    apply_dropout(a, *step, activation_view<const T>(gathered, x.tokens, a.rank()), a.target, gathered,
                  pool);
  }
  multiply<T, T>({gathered, x.tokens, a.rank(), a.rank(), 1}, {a.parameters, a.d_out, 1, a.rank()},
                 {y.data, y.stride, a.scale, nullptr, true}, frame, pool);
}

/// y[idx] += s·A·x, x dropped out where `step` says.
template <class T, class Executor>
void add_delta(const fb_view<T>& a, activation_view<const T> x, activation_view<T> y,
               const std::uint64_t* step, workspace_frame& frame, Executor& pool) {
  T* const product = frame.take<T>(x.tokens * a.rank());
  if (step != nullptr && a.dropout > 0) {
    T* const dropped = frame.take<T>(x.tokens * a.d_in);
    apply_dropout(a, *step, x, nullptr, dropped, pool);
    x = {dropped, x.tokens, a.d_in};
  }
  multiply<T, T>({x.data, x.tokens, a.d_in, x.stride, 1}, {a.parameters, a.rank(), 1, a.d_in},
                 {product, a.rank()}, frame, pool);
  scatter_add(product, a.rank(), a.target, a.scale, y, pool);
}

// ---- backward --------------------------------------------------------------------------------------

/// gradient += s·dyᵀ·gathered; dx[idx] += mask of (s·dy·B) where dx is given.
template <class T, class Executor>
void add_gradients(const fa_view<T>& a, activation_view<const T> dy, const fa_saved<T>& saved,
                   const activation_view<T>* dx, workspace_frame& frame, Executor& pool) {
  T* const product = frame.take<T>(dy.tokens * a.rank());
  std::byte* const scratch = frame.mark();
  multiply<T, T>({dy.data, a.d_out, dy.tokens, 1, dy.stride},
                 {saved.gathered().data(), a.rank(), a.rank(), 1},
                 {a.gradient, a.rank(), a.scale, nullptr, true}, frame, pool);
  if (dx == nullptr) return;
  frame.rewind(scratch);
  multiply<T, T>({dy.data, dy.tokens, a.d_out, dy.stride, 1}, {a.parameters, a.rank(), a.rank(), 1},
                 {product, a.rank()}, frame, pool);
  if (a.dropout > 0) {
    apply_dropout(a, saved.dropout_step(), activation_view<const T>(product, dy.tokens, a.rank()),
                  a.target, product, pool);
  }
  scatter_add(product, a.rank(), a.target, a.scale, *dx, pool);
}

/// gradient += s·dy[idx]ᵀ·x; dx += mask of (s·dy[idx]·A) where dx is given.
template <class T, class Executor>
void add_gradients(const fb_view<T>& a, activation_view<const T> dy, const fb_saved<T>& saved,
                   const activation_view<T>* dx, workspace_frame& frame, Executor& pool) {
  const index_t tokens = dy.tokens;
  T* const gathered = frame.take<T>(tokens * a.rank());
  T* const masked = a.dropout > 0 ? frame.take<T>(tokens * a.d_in) : nullptr;
  std::byte* const scratch = frame.mark();
  gather(dy, *a.target, gathered, pool);
  activation_view<const T> x = saved.input();
  if (masked != nullptr) {
    apply_dropout(a, saved.dropout_step(), x, nullptr, masked, pool);
    x = {masked, tokens, a.d_in};
  }
  multiply<T, T>({gathered, a.rank(), tokens, 1, a.rank()}, {x.data, a.d_in, x.stride, 1},
                 {a.gradient, a.d_in, a.scale, nullptr, true}, frame, pool);
  if (dx == nullptr) return;
  frame.rewind(scratch);
  const left_operand<T> left = {gathered, tokens, a.rank(), a.rank(), 1};
  const right_operand<T> right = {a.parameters, a.d_in, a.d_in, 1};
  if (masked == nullptr) {
    multiply<T, T>(left, right, {dx->data, dx->stride, a.scale, nullptr, true}, frame, pool);
    return;
  }
  multiply<T, T>(left, right, {masked, a.d_in}, frame, pool);
  apply_dropout(a, saved.dropout_step(), activation_view<const T>(masked, tokens, a.d_in), nullptr,
                masked, pool);
  scatter_add(masked, a.d_in, nullptr, a.scale, *dx, pool);
}

}  // namespace sbora::inline SBORA_ABI::detail
