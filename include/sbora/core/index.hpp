#pragma once

#include <cstddef>

#include <sbora/core/abi.hpp>

namespace sbora::inline SBORA_ABI {

/// Every size, index and stride, in elements. Signed, as Eigen::Index, so that differences are safe.
using index_t = std::ptrdiff_t;

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

constexpr index_t ceil_div(index_t a, index_t b) { return (a + b - 1) / b; }

/// T[Count]. Array bounds are std::size_t, and GCC's -Wsign-conversion blames those that a signed template parameter
/// makes.
template <class T, index_t Count>
using array_of = T[static_cast<std::size_t>(Count)];

}  // namespace sbora::inline SBORA_ABI::detail
