#pragma once

#include <string>
#include <type_traits>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <sbora/products/activation.hpp>
#include <sbora/weights/weight_view.hpp>

namespace python {

namespace nb = nanobind;
using sbora::index_t;

/// Arrays of others where they lie: torch's and JAX's by DLPack, numpy's and memoryviews by the buffer protocol.
using readable = nb::ndarray<nb::ro>;
using writable = nb::ndarray<>;

/// Errors: TypeError for what is no array on the CPU, or may not be written.
template <class Array>
Array take(const std::string& name, nb::handle value) {
  Array array;
  if (!nb::try_cast<Array>(value, array, /*convert=*/false) || array.device_type() != nb::device::cpu::value) {
    throw nb::type_error(("sbora: " + name + " has to be an array on the CPU, by DLPack or the buffer protocol" +
                          (Array::ReadOnly ? "" : ", that may be written") + ", got " +
                          nb::cast<std::string>(nb::str(value.type())))
                             .c_str());
  }
  return array;
}

/// Of an array's elements. Errors: TypeError for anything but float32 and bfloat16.
template <class Array>
bool is_bf16(const std::string& name, const Array& array) {
  constexpr nb::dlpack::dtype bf16 = {static_cast<std::uint8_t>(nb::dlpack::dtype_code::Bfloat), 16, 1};
  if (array.dtype() == bf16) return true;
  if (array.dtype() == nb::dtype<float>()) return false;
  throw nb::type_error(("sbora: " + name + " has to be float32 or bfloat16").c_str());
}

template <class Array>
void require_matrix(const std::string& name, const Array& array) {
  if (array.ndim() == 2) return;
  throw sbora::shape_error("sbora: " + name + " has to have 2 dimensions, got " + std::to_string(array.ndim()));
}

template <class Array>
index_t size(const Array& array, std::size_t axis) {
  return static_cast<index_t>(array.shape(axis));
}

/// From one line of `axis` to the next; where there is only one, as if there were no gap.
template <class Array>
index_t stride(const Array& array, std::size_t axis) {
  const std::size_t other = 1 - axis;
  return array.shape(axis) > 1 ? array.stride(axis) : size(array, other);
}
template <class Array>
bool side_by_side(const Array& array, std::size_t axis) {
  return array.shape(axis) <= 1 || array.stride(axis) == 1;
}

/// tokens × features; const where the array is only read. Requires float32 or bfloat16 as T says.
template <class T, class Array>
auto activation(const std::string& name, const Array& array) {
  require_matrix(name, array);
  if (!side_by_side(array, 1)) {
    throw sbora::shape_error("sbora: the features of a token of " + name +
                             " have to lie side by side; give contiguous()");
  }
  using element = std::conditional_t<Array::ReadOnly, const T, T>;
  return sbora::activation_view<element>(static_cast<element*>(array.data()), size(array, 0), size(array, 1),
                                         stride(array, 0));
}

/// d_out × d_in, as torch's nn.Linear has it, or the transpose of such memory.
template <class Scalar, class Array>
sbora::weight_view<Scalar> weight(const Array& array) {
  require_matrix("weight", array);
  Scalar* const data = static_cast<Scalar*>(array.data());
  if (side_by_side(array, 1)) return {data, size(array, 0), size(array, 1), stride(array, 0)};
  if (side_by_side(array, 0)) {
    return {data, size(array, 0), size(array, 1), stride(array, 1), sbora::storage::in_by_out};
  }
  throw sbora::shape_error(
      "sbora: weight has gaps between the elements of its rows and of its columns, and isn't "
      "copied; give contiguous()");
}

/// Numbers of the trained half's size. Errors: as take; shape_error.
inline std::span<float> numbers(const std::string& name, const writable& array, index_t count) {
  if (is_bf16(name, array)) throw nb::type_error(("sbora: " + name + " has to be float32").c_str());
  index_t expected_stride = 1;
  for (std::size_t axis = array.ndim(); axis-- > 0;) {
    if (array.shape(axis) > 1 && array.stride(axis) != expected_stride) {
      throw sbora::shape_error("sbora: " + name + " has to be contiguous");
    }
    expected_stride *= size(array, axis);
  }
  if (static_cast<index_t>(array.size()) != count) {
    throw sbora::shape_error("sbora: " + name + " has " + std::to_string(array.size()) + " numbers, " +
                             std::to_string(count) + " are needed");
  }
  return {static_cast<float*>(array.data()), array.size()};
}

}  // namespace python
