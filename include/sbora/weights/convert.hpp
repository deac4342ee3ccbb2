#pragma once

#include <algorithm>
#include <span>
#include <string>

#include <sbora/core/executor.hpp>
#include <sbora/kernels/dispatch.hpp>
#include <sbora/weights/scalar_types.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// to[i] = from[i] for `count` elements of a storage of 32 or 16 bits; narrowing rounds to nearest even.
template <class Storage>
void widen_run(const conversion_kernels<float>& kernels, const Storage* from, float* to, index_t count) {
  if constexpr (std::is_same_v<Storage, bf16>) kernels.widen_bf16(from, to, count);
  else if constexpr (std::is_same_v<Storage, f16>) kernels.widen_f16(from, to, count);
  else std::copy_n(from, count, to);
}
template <class Storage>
void narrow_run(const conversion_kernels<float>& kernels, const float* from, Storage* to, index_t count) {
  if constexpr (std::is_same_v<Storage, bf16>) kernels.narrow_bf16(from, to, count);
  else if constexpr (std::is_same_v<Storage, f16>) kernels.narrow_f16(from, to, count);
  else std::copy_n(from, count, to);
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// out[i] = source[i] in another precision: Eigen::bfloat16 or Eigen::half to float, or back.
///
/// Requires    equal sizes: checked.
/// Aliasing    no overlap.
/// Cost        one pass, no allocation.
/// Numerics    widening is exact; narrowing rounds to nearest even, keeps denormals, overflows to
///             infinity and keeps NaN a NaN: the same bits on every instruction set.
/// Thread      cut into tasks of 65536 elements.
/// Errors      shape_error.
template <class From, class To, class Executor = serial_executor>
  requires((std::is_same_v<From, float> != std::is_same_v<To, float>) && detail::storage_type<From>::supported &&
           detail::storage_type<To>::supported && sizeof(From) + sizeof(To) == 6)
void convert(std::span<const From> source, std::span<To> out, Executor&& pool = Executor{}) {
  detail::check_executor<Executor>();
  if (source.size() != out.size()) {
    throw shape_error("sbora::convert: " + std::to_string(source.size()) + " elements into " +
                      std::to_string(out.size()));
  }
  using from_storage = typename detail::storage_type<From>::type;
  using to_storage = typename detail::storage_type<To>::type;
  const auto* const from = reinterpret_cast<const from_storage*>(source.data());
  auto* const to = reinterpret_cast<to_storage*>(out.data());
  const detail::conversion_kernels<float>& kernels = detail::get_kernels<detail::conversion_kernels<float>>();
  constexpr index_t task_size = 65536;
  const auto size = static_cast<index_t>(source.size());
  detail::for_ranges(size, task_size, pool, [&](index_t begin, index_t end) {
    const index_t count = end - begin;
    if constexpr (std::is_same_v<to_storage, float>) detail::widen_run(kernels, from + begin, to + begin, count);
    else detail::narrow_run(kernels, from + begin, to + begin, count);
  });
}

}  // namespace sbora::inline SBORA_ABI
