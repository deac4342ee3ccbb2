#pragma once

#include <algorithm>
#include <span>

#include <sbora/core/workspace.hpp>
#include <sbora/layers/token_tasks.hpp>

/// Some tokens of an activation as an activation of their own.
namespace sbora::inline SBORA_ABI::detail {

/// Tokens [first, first + count).
template <class X>
activation_view<X> tokens_of(activation_view<X> a, index_t first, index_t count) {
  return {a.data == nullptr ? nullptr : a.data + first * a.stride, count, a.features, a.stride};
}

/// A copy of these.
template <class X>
activation_view<X> collected(activation_view<X> a, std::span<const index_t> tokens, workspace_frame& frame,
                             any_executor pool) {
  const auto count = std::ssize(tokens);
  auto* const copy = frame.take<std::remove_const_t<X>>(count * a.features);
  for_ranges(count, task_tokens, pool, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      std::copy_n(a.data + tokens[static_cast<std::size_t>(i)] * a.stride, a.features, copy + i * a.features);
    }
  });
  return {copy, count, a.features};
}

/// Puts a copy that was worked on back.
template <class X>
void put_back(activation_view<X> copy, activation_view<X> a, std::span<const index_t> tokens, any_executor pool) {
  for_ranges(std::ssize(tokens), task_tokens, pool, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      std::copy_n(copy.data + i * copy.features, a.features, a.data + tokens[static_cast<std::size_t>(i)] * a.stride);
    }
  });
}

}  // namespace sbora::inline SBORA_ABI::detail
