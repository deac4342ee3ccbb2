#pragma once

#include <algorithm>
#include <span>
#include <string>

#include <sbora/core/misuse.hpp>
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

template <class From, class To>
inline constexpr bool converts = false;
template <class From, class To>
  requires((std::is_same_v<From, float> != std::is_same_v<To, float>) && storage_type<From>::supported &&
           storage_type<To>::supported && sizeof(From) + sizeof(To) == 6)
inline constexpr bool converts<From, To> = true;

template <class... Arguments>
inline constexpr misuse misuse_of_convert = misuse::convert_call;
template <class Source, class Out, class... Rest>
  requires converts<std::remove_const_t<span_element<Source>>, span_element<Out>>
inline constexpr misuse misuse_of_convert<Source, Out, Rest...> = misuse_of_rest<Rest...>(misuse::convert_call);

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// out[i] = source[i] in another precision: Eigen::bfloat16 or Eigen::half to float, or back.
///
/// Requires    spans or containers of equal sizes: checked.
/// Aliasing    no overlap.
/// Cost        one pass, no allocation.
/// Numerics    widening is exact; narrowing rounds to nearest even, keeps denormals, overflows to
///             infinity and keeps NaN a NaN: the same bits on every instruction set.
/// Thread      cut into tasks of 65536 elements.
/// Errors      shape_error.
template <class Source, class Out, class Executor = serial_executor>
  requires(detail::misuse_of_convert<Source, Out, Executor> == detail::misuse::none)
void convert(const Source& source, Out&& out, Executor&& pool = Executor{}) {
  const std::span read(source);
  const std::span written(out);
  if (read.size() != written.size()) {
    throw shape_error(detail::message({"sbora::convert: ", read.size(), " elements into ", written.size()}));
  }
  using from_storage = typename detail::storage_type<std::remove_const_t<detail::span_element<Source>>>::type;
  using to_storage = typename detail::storage_type<detail::span_element<Out>>::type;
  const auto* const from = reinterpret_cast<const from_storage*>(read.data());
  auto* const to = reinterpret_cast<to_storage*>(written.data());
  const detail::conversion_kernels<float>& kernels = detail::get_kernels<detail::conversion_kernels<float>>();
  constexpr index_t task_size = 65536;
  const auto size = static_cast<index_t>(read.size());
  detail::for_ranges(size, task_size, pool, [&](index_t begin, index_t end) {
    const index_t count = end - begin;
    if constexpr (std::is_same_v<to_storage, float>) detail::widen_run(kernels, from + begin, to + begin, count);
    else detail::narrow_run(kernels, from + begin, to + begin, count);
  });
}

/// Any other arguments don't compile, and this says why.
template <class... Arguments>
  requires(detail::misuse_of_convert<Arguments...> != detail::misuse::none)
void convert(Arguments&&...) {
  constexpr auto found = detail::misuse_of_convert<Arguments...>;
#include <sbora/core/misuse.inl>
}

}  // namespace sbora::inline SBORA_ABI
