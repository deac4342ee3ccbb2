#pragma once

#include <span>
#include <type_traits>
#include <utility>

#include <sbora/core/executor.hpp>

/// What is wrong with the types of a call's arguments. Public calls come twice: as what they are, for arguments that
/// fit, and as a function of any others whose body says what doesn't (misuse.inl): so that is the first and only error.
/// Where an argument is usually in braces, which fit no such function, the call itself looks at its executor. Layers,
/// which have more to say, do the same by layers/call_arguments.hpp.
namespace sbora::inline SBORA_ABI::detail {

enum class misuse {
  none,
  executor,
  adapter_scalar,
  merge_call,
  merged_step_call,
  weight,
  weight_scalar,
  read_only,
  export_call,
  quantise_call,
  convert_call,
  step_call
};

template <class Argument>
concept executor_argument = executor<std::remove_reference_t<Argument>>;

/// Of the arguments after those that a call must have.
template <class... Rest>
constexpr misuse misuse_of_rest(misuse call) {
  if constexpr (sizeof...(Rest) == 1) return (executor_argument<Rest> && ...) ? misuse::none : misuse::executor;
  else return sizeof...(Rest) == 0 ? misuse::none : call;
}

/// What the elements of a std::span of Range are; void where it has none.
template <class Range>
constexpr auto element_of_span() {
  if constexpr (requires(Range& range) { std::span(range); }) {
    return std::type_identity<typename decltype(std::span(std::declval<Range&>()))::element_type>{};
  } else {
    return std::type_identity<void>{};
  }
}
template <class Range>
using span_element = typename decltype(element_of_span<std::remove_reference_t<Range>>())::type;

}  // namespace sbora::inline SBORA_ABI::detail
