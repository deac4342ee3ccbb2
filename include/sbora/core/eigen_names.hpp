#pragma once

#include <type_traits>
#include <utility>

#include <sbora/core/index.hpp>

/// The names of Eigen that sbora's interface speaks of, declared and not included: a unit that has no Eigen matrices (a
/// binding to another framework's tensors) doesn't pay for <Eigen/Core>, which is half of what sbora costs to include.
/// Whoever passes or asks for Eigen's types includes Eigen, before sbora or after.
/// Source: Eigen/src/Core/util/ForwardDeclarations.h, alike in 3.4 and 5.

namespace Eigen {

struct bfloat16;
struct half;

template <class Derived>
class DenseBase;
template <class Derived>
class PlainObjectBase;
template <class Scalar, int Rows, int Cols, int Options, int MaxRows, int MaxCols>
class Matrix;
template <int Outer, int Inner>
class Stride;
template <class Object, int Options, class StrideType>
class Map;
template <class Object, int Options, class StrideType>
class Ref;
template <class Object>
class Transpose;
template <class Object, int Rows, int Cols, bool InnerPanel>
class Block;

namespace internal {
template <class Object>
struct has_direct_access;
template <class Object>
struct is_lvalue;
}  // namespace internal

}  // namespace Eigen

namespace sbora::inline SBORA_ABI::detail {

/// rows × columns of T without gaps, row after row, as Eigen sees them.
template <class T, class Plain = Eigen::Matrix<std::remove_const_t<T>, -1, -1, 1, -1, -1>>
using row_major_map = Eigen::Map<std::conditional_t<std::is_const_v<T>, const Plain, Plain>, 0, Eigen::Stride<0, 0>>;

/// Requires <Eigen/Core>.
template <class T>
row_major_map<T> map_rows(T* data, index_t rows, index_t cols) noexcept {
  using map = row_major_map<T>;
  using size = decltype(std::declval<const map&>().rows());
  return map(data, size(rows), size(cols));
}

}  // namespace sbora::inline SBORA_ABI::detail
