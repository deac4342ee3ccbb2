#pragma once

#include <cmath>
#include <span>

#include <sbora/core/executor.hpp>
#include <sbora/kernels/dispatch.hpp>
#include <sbora/products/activation.hpp>
#include <sbora/adapters/weight_delta.hpp>

/// The small passes around an adapter's product, each cut into tasks of whole tokens.
namespace sbora::inline SBORA_ABI::detail {

/// Tokens per task: tens of microseconds at rank 64.
inline constexpr index_t task_tokens = 64;

template <class T, class X>
auto gather_kernel() {
  if constexpr (std::is_same_v<X, T>) return get_kernels<dense_kernels<T>>().gather;
  else return get_kernels<bf16_activation_kernels<T>>().gather;
}

/// out[t, j] = source[t, target[j]], contiguous.
template <class T, class X>
void gather(activation_view<const X> source, const region& target, T* out, any_executor pool) {
  const auto kernel = gather_kernel<T, X>();
  for_ranges(source.tokens, task_tokens, pool, [&](index_t begin, index_t end) {
    kernel({source.data, source.stride, target.indices().data(), target.rank(), out, target.rank(), begin, end});
  });
}

/// out[i, j] = source[tokens[i], target[j]], contiguous.
template <class T, class X>
void gather(activation_view<const X> source, std::span<const index_t> tokens, const region& target, T* out,
            any_executor pool) {
  const auto kernel = gather_kernel<T, X>();
  const index_t rank = target.rank();
  for_ranges(std::ssize(tokens), task_tokens, pool, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      const X* const token = source.data + tokens[static_cast<std::size_t>(i)] * source.stride;
      kernel({token, source.stride, target.indices().data(), rank, out + i * rank, rank, 0, 1});
    }
  });
}

/// out[t, target[j]] += scale·source[t, j]; with no target, out += scale·source.
template <class T>
void scatter_add(const T* source, index_t features, const region* target, T scale, activation_view<T> out,
                 any_executor pool) {
  const auto kernel = get_kernels<dense_kernels<T>>().scatter_add;
  const index_t* index = target != nullptr ? target->indices().data() : nullptr;
  for_ranges(out.tokens, task_tokens, pool, [&](index_t begin, index_t end) {
    kernel({source, features, index, features, scale, out.data, out.stride, begin, end});
  });
}

/// out[tokens[i], target[j]] += scale·source[i, j]. No token comes twice.
template <class T>
void scatter_add(const T* source, const region& target, T scale, activation_view<T> out,
                 std::span<const index_t> tokens, any_executor pool) {
  const auto kernel = get_kernels<dense_kernels<T>>().scatter_add;
  const index_t rank = target.rank();
  for_ranges(std::ssize(tokens), task_tokens, pool, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      T* const token = out.data + tokens[static_cast<std::size_t>(i)] * out.stride;
      kernel({source + i * rank, rank, target.indices().data(), rank, scale, token, out.stride, 0, 1});
    }
  });
}

/// out = the adapter's dropout mask of `step` over source; features of the region, or all where
/// `target` is null.
template <class T>
void apply_dropout(const weight_delta<T>& adapter, std::uint64_t step, activation_view<const T> source,
                   const region* target, T* out, any_executor pool) {
  const auto kernel = get_kernels<dense_kernels<T>>().dropout;
  // The probability is a multiple of 2^-32 here, and what is kept is scaled by it: right in the mean near 1, too.
  const double dropped = std::floor(adapter.dropout * 0x1p32);
  const dropout_mask mask = {adapter.dropout_seed, step, static_cast<std::uint32_t>(dropped)};
  const T kept_scale = static_cast<T>(0x1p32 / (0x1p32 - dropped));
  const index_t* index = target != nullptr ? target->indices().data() : nullptr;
  for_ranges(source.tokens, task_tokens, pool, [&](index_t begin, index_t end) {
    kernel({source.data, source.stride, index, source.features, out, source.features, mask, kept_scale, begin, end});
  });
}

/// The same of a source that may be bf16: all features of it.
template <class T, class X>
void apply_dropout_to_input(const weight_delta<T>& adapter, std::uint64_t step, activation_view<const X> source, T* out,
                            any_executor pool) {
  if constexpr (std::is_same_v<X, T>) {
    apply_dropout(adapter, step, source, nullptr, out, pool);
  } else {
    const auto kernel = get_kernels<conversion_kernels<float>>().widen_bf16;
    for_ranges(source.tokens, task_tokens, pool, [&](index_t begin, index_t end) {
      for (index_t t = begin; t < end; ++t) {
        kernel(source.data + t * source.stride, out + t * source.features, source.features);
      }
    });
    apply_dropout(adapter, step, activation_view<const T>(out, source.tokens, source.features), nullptr, out, pool);
  }
}

/// out = bf16(source).
inline void narrow(activation_view<const float> source, activation_view<bf16> out, any_executor pool) {
  const auto kernel = get_kernels<conversion_kernels<float>>().narrow_bf16;
  for_ranges(source.tokens, task_tokens, pool, [&](index_t begin, index_t end) {
    for (index_t t = begin; t < end; ++t) {
      kernel(source.data + t * source.stride, out.data + t * out.stride, source.features);
    }
  });
}

}  // namespace sbora::inline SBORA_ABI::detail
