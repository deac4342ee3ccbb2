#pragma once

#include <string>
#include <type_traits>

#include <sbora/core/checked_size.hpp>
#include <sbora/kernels/sources.hpp>
#include <sbora/weights/part.hpp>
#include <sbora/weights/scalar_types.hpp>

namespace sbora::inline SBORA_ABI {

/// How a weight lies in memory.
enum class storage {
  out_by_in,  ///< row-major d_out × d_in, as torch.nn.Linear keeps it
  in_by_out   ///< row-major d_in × d_out, its transpose: Conv1D, fan_in_fan_out, Eigen's column-major
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

template <class T>
struct is_eigen_map : std::false_type {};
template <class Plain, int Options, class Stride>
struct is_eigen_map<Eigen::Map<Plain, Options, Stride>> : std::true_type {};

template <class Derived>
concept eigen_dense = std::is_base_of_v<Eigen::DenseBase<std::remove_cvref_t<Derived>>, std::remove_cvref_t<Derived>>;

/// Eigen objects whose elements are in memory with inner stride 1. Whether they may be written.
template <class Derived>
inline constexpr bool is_direct =
    bool(Eigen::internal::has_direct_access<Derived>::ret) && int(Derived::InnerStrideAtCompileTime) == 1;

template <class Derived>
inline constexpr bool is_lvalue = bool(Eigen::internal::is_lvalue<Derived>::value);

/// Eigen objects that may have memory of their own, as rvalues: what is kept of one would dangle. (A Ref of const
/// copies what it can't refer to.)
template <class Argument>
inline constexpr bool is_owning_temporary = false;
template <class Object>
  requires std::is_base_of_v<Eigen::PlainObjectBase<std::remove_const_t<Object>>, std::remove_const_t<Object>>
inline constexpr bool is_owning_temporary<Object&&> = true;
template <class Plain, int Options, class Stride>
inline constexpr bool is_owning_temporary<Eigen::Ref<const Plain, Options, Stride>&&> = true;
template <class Plain, int Options, class Stride>
inline constexpr bool is_owning_temporary<const Eigen::Ref<const Plain, Options, Stride>&&> = true;

/// const Scalar where the Eigen object (Derived as deduced: maybe const) is read-only.
template <class Derived, class Object = std::remove_reference_t<Derived>>
using element_of = std::conditional_t<std::is_const_v<Object> || !is_lvalue<std::remove_const_t<Object>>,
                                      const typename Object::Scalar, typename Object::Scalar>;

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// A d_out × d_in weight that somebody else owns: a pointer, sizes, an outer stride and the storage
/// order. Scalar is float, double, Eigen::bfloat16 or Eigen::half; const Scalar makes it read-only, so
/// that merging into it doesn't compile.
///
/// Shapes      element (o, i) is data[o·stride + i] out_by_in, data[i·stride + o] in_by_out.
/// Requires    stride >= the contiguous size, data aligned to its element: checked at construction.
/// Lifetime    keeps the pointer; the memory has to outlive the view. A view of a temporary matrix
///             doesn't compile; of a Map it does, since a Map owns nothing.
/// Cost        no copy, no allocation, ever.
/// Thread      a value; what it points to is read by all operations and written by merges only.
/// Errors      shape_error that names expected and given sizes.
template <class Scalar>
class weight_view {
  using value_type = std::remove_const_t<Scalar>;
  static_assert(detail::storage_type<value_type>::supported,
                "sbora::weight_view: the scalar has to be float, double, Eigen::bfloat16 or "
                "Eigen::half (or const of one)");

 public:
  using scalar = Scalar;
  using storage_scalar = typename detail::storage_type<value_type>::type;
  /// What products and trained halves are computed in: float, or double for double.
  using compute_scalar = typename detail::storage_type<value_type>::compute;
  static constexpr bool writable = !std::is_const_v<Scalar>;

  /// stride 0: without gaps.
  weight_view(Scalar* data, index_t d_out, index_t d_in, index_t stride = 0, storage order = storage::out_by_in)
      : weight_view(exact{}, data, d_out, d_in,
                    stride != 0                   ? stride
                    : order == storage::out_by_in ? d_in
                                                  : d_out,
                    order) {}

  /// Of an Eigen matrix, Map, Ref or Block, taken as d_out × d_in in its own storage order.
  template <class Derived>
    requires(detail::eigen_dense<Derived> && detail::is_direct<std::remove_const_t<Derived>>)
  explicit weight_view(Derived& weight)
      : weight_view(exact{}, weight.data(), weight.rows(), weight.cols(),
                    weight.outerSize() == 1 ? weight.innerSize() : weight.outerStride(),
                    bool(Derived::IsRowMajor) ? storage::out_by_in : storage::in_by_out) {}
  template <class Derived>
    requires(detail::eigen_dense<Derived> && !detail::is_direct<std::remove_const_t<Derived>>)
  explicit weight_view(Derived&) {
    static_assert(sizeof(Derived) == 0, "sbora::weight_view: the weight must lie in memory with an inner stride of 1");
  }

  /// A temporary Map is fine; any other temporary would dangle.
  template <class Derived>
    requires(detail::is_eigen_map<std::remove_const_t<Derived>>::value && std::is_rvalue_reference_v<Derived &&>)
  explicit weight_view(Derived&& weight) : weight_view(static_cast<Derived&>(weight)) {}
  template <class Derived>
    requires(detail::eigen_dense<Derived> && !detail::is_eigen_map<std::remove_const_t<Derived>>::value &&
             std::is_rvalue_reference_v<Derived &&>)
  explicit weight_view(Derived&&) {
    static_assert(sizeof(Derived) == 0,
                  "sbora::weight_view: a view of a temporary would dangle; name the matrix first, or "
                  "pass an Eigen::Map of memory that stays");
  }

  /// A writable view is a read-only one too.
  operator weight_view<const Scalar>() const
    requires writable
  {
    return weight_view<const Scalar>(data_, d_out_, d_in_, stride_, order_);
  }

  index_t d_out() const noexcept { return d_out_; }
  index_t d_in() const noexcept { return d_in_; }
  Scalar* data() const noexcept { return data_; }
  index_t stride() const noexcept { return stride_; }
  storage order() const noexcept { return order_; }
  /// Of its elements, without gaps.
  std::size_t bytes() const noexcept { return static_cast<std::size_t>(d_out_ * d_in_) * sizeof(storage_scalar); }

  /// Requires a part inside: see rows_of (part.hpp).
  weight_view part(const weight_part& p) const {
    const bool rows_are_lines = order_ == storage::out_by_in;
    const index_t line = rows_are_lines ? p.rows.begin : p.columns.begin;
    const index_t at = rows_are_lines ? p.columns.begin : p.rows.begin;
    // By the storage type: Eigen's own needn't be complete here.
    Scalar* const first = reinterpret_cast<Scalar*>(storage_data() + line * stride_ + at);
    return {exact{}, first, p.rows.size(), p.columns.size(), stride_, order_};
  }

  /// The same memory as the kernels take it.
  auto storage_data() const noexcept {
    using pointer = std::conditional_t<writable, storage_scalar*, const storage_scalar*>;
    return reinterpret_cast<pointer>(data_);
  }
  detail::dense_source<storage_scalar> source() const noexcept { return {storage_data(), stride_}; }

 private:
  /// That stride, where 0 says that all lines are one: Eigen's Map can say so, a weight can't be that.
  struct exact {};
  weight_view(exact, Scalar* data, index_t d_out, index_t d_in, index_t stride, storage order)
      : data_(data), d_out_(d_out), d_in_(d_in), stride_(stride), order_(order) {
    const index_t contiguous = order == storage::out_by_in ? d_in : d_out;
    if (d_out < 1 || d_in < 1) {
      throw shape_error(detail::message(
          {"sbora::weight_view: a weight of ", detail::shape_text(d_out, d_in), ", both must be at least 1"}));
    }
    if (data == nullptr) throw shape_error("sbora::weight_view: data is null");
    if (reinterpret_cast<std::uintptr_t>(data) % alignof(storage_scalar) != 0) {
      throw shape_error(detail::message(
          {"sbora::weight_view: data is not aligned to its element of ", alignof(storage_scalar), " bytes"}));
    }
    if (stride_ < contiguous) {
      throw shape_error(
          detail::message({"sbora::weight_view: stride = ", stride_, " is below the contiguous size ", contiguous}));
    }
    const index_t lines = order == storage::out_by_in ? d_out : d_in;
    detail::require_product("sbora::weight_view", {lines, stride_, sizeof(storage_scalar)});
  }

  Scalar* data_;
  index_t d_out_;
  index_t d_in_;
  index_t stride_;
  storage order_;
};

namespace detail {
template <class Weight>
inline constexpr bool is_weight_view = false;
template <class Scalar>
inline constexpr bool is_weight_view<weight_view<Scalar>> = true;
}  // namespace detail

template <class Derived>
  requires detail::eigen_dense<Derived>
weight_view(Derived&) -> weight_view<detail::element_of<Derived>>;
template <class Derived>
  requires(detail::eigen_dense<Derived> && std::is_rvalue_reference_v<Derived &&>)
weight_view(Derived&&) -> weight_view<detail::element_of<Derived>>;

/// A view of a weight kept as d_in × d_out (Hugging Face Conv1D, fan_in_fan_out): rows() is d_in.
/// Otherwise as weight_view(weight).
template <class Derived>
  requires detail::eigen_dense<Derived>
auto fan_in_fan_out(Derived& weight) {
  const weight_view<detail::element_of<Derived>> rows(weight);
  return weight_view<detail::element_of<Derived>>(rows.data(), rows.d_in(), rows.d_out(), rows.stride(),
                                                  bool(Derived::IsRowMajor) ? storage::in_by_out : storage::out_by_in);
}
template <class Derived>
  requires(detail::eigen_dense<Derived> && std::is_rvalue_reference_v<Derived &&>)
auto fan_in_fan_out(Derived&& weight) {
  static_assert(detail::is_eigen_map<std::remove_const_t<Derived>>::value,
                "sbora::fan_in_fan_out: a view of a temporary would dangle; name the matrix first, or "
                "pass an Eigen::Map of memory that stays");
  return fan_in_fan_out(static_cast<Derived&>(weight));
}

}  // namespace sbora::inline SBORA_ABI
