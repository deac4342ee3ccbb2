#pragma once

#include <span>
#include <type_traits>

#include <sbora/core/abi.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A container that dies at the end of the call that it is passed to; a span or another view owns nothing.
template <class Range>
inline constexpr bool is_temporary_container =
    !std::is_lvalue_reference_v<Range> && !std::ranges::enable_borrowed_range<std::remove_cv_t<Range>>;

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// A std::span<const T> of memory that is kept and read later: the parameter and member type of whatever refers to
/// memory of the caller's. Of a temporary container, which std::span<const T> takes, it doesn't compile.
template <class T>
class lasting_span : public std::span<const T> {
 public:
  constexpr lasting_span() noexcept = default;
  constexpr lasting_span(const T* data, std::size_t size) noexcept : std::span<const T>(data, size) {}

  template <class Range>
    requires std::is_convertible_v<Range, std::span<const T>>
  constexpr lasting_span(Range&& range) noexcept : std::span<const T>(range) {
    static_assert(!detail::is_temporary_container<Range>,
                  "sbora: this memory is referred to, not copied, and a temporary's would be gone; name it first");
  }
};

}  // namespace sbora::inline SBORA_ABI
