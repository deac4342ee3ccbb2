#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <sbora/core/checked_size.hpp>
#include <sbora/io/dtype.hpp>
#include <sbora/io/errors.hpp>
#include <sbora/weights/weight_view.hpp>

namespace sbora::inline SBORA_ABI::detail {

static_assert(std::endian::native == std::endian::little, "sbora/io: files are little-endian and read in place");

inline std::string shape_text(std::span<const index_t> shape) {
  std::string text = "[";
  for (const index_t size : shape) text += (text.size() == 1 ? "" : ", ") + std::to_string(size);
  return text + "]";
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// A named tensor in memory that somebody else owns, row-major without gaps.
///
/// Requires    shape × bits_of(type) is the size of data: what readers return is so, what writers are given is
///             checked by them.
/// Lifetime    data belongs to the file or the memory it was read from; name and shape are copies.
/// Thread      a value; its memory is only read.
/// Errors      format_error (wrong_type, unaligned_data), shape_error; each names the tensor.
struct tensor_view {
  std::string name;
  dtype type = dtype::f32;
  std::vector<index_t> shape;  ///< empty for a scalar
  std::span<const std::byte> data;

  /// Errors: shape_error for a shape that no tensor of a file has.
  index_t elements() const {
    if (const std::optional<index_t> count = detail::size_product(shape)) return *count;
    throw shape_error("sbora::tensor_view: tensor '" + name + "' has shape " + detail::shape_text(shape) +
                      ", which no memory can have");
  }

  /// Whether values() can show the elements in place.
  template <class Scalar>
  bool is_aligned() const noexcept {
    return reinterpret_cast<std::uintptr_t>(data.data()) % alignof(Scalar) == 0;
  }

  /// All elements in place. Old files have tensors at any byte, which copy() reads.
  /// Cost: none; for bool a pass over all, since another byte than 0 or 1 is no bool.
  template <class Scalar>
  std::span<const Scalar> values() const {
    require_type<Scalar>();
    if (!is_aligned<Scalar>()) {
      throw format_error(format_fault::unaligned_data, {},
                         "tensor '" + name + "' does not lie at a multiple of " + std::to_string(alignof(Scalar)) +
                             " bytes in memory; copy() reads it");
    }
    if constexpr (std::is_same_v<Scalar, bool>) {
      for (const std::byte byte : data) {
        if (byte > std::byte{1}) {
          throw format_error(format_fault::wrong_type, {},
                             "tensor '" + name + "' is BOOL and has bytes other than 0 and 1");
        }
      }
    }
    return {static_cast<const Scalar*>(static_cast<const void*>(data.data())), data.size() / sizeof(Scalar)};
  }

  /// All elements, wherever they lie.
  template <class Scalar>
  std::vector<Scalar> copy() const {
    static_assert(!std::is_same_v<Scalar, bool>, "sbora::tensor_view: std::vector<bool> keeps bits; take values()");
    require_type<Scalar>();
    std::vector<Scalar> copied(data.size() / sizeof(Scalar));
    if (!copied.empty()) std::memcpy(static_cast<void*>(copied.data()), data.data(), copied.size() * sizeof(Scalar));
    return copied;
  }

  /// Number i along the first dimension, in place: a weight of a stack of three dimensions. Errors: shape_error.
  tensor_view slice(index_t i) const {
    if (shape.empty() || i < 0 || i >= shape[0]) {
      throw shape_error("sbora::tensor_view: tensor '" + name + "' has shape " + detail::shape_text(shape) +
                        " and no slice " + std::to_string(i));
    }
    const std::size_t size = data.size() / static_cast<std::size_t>(shape[0]);
    return {name + "[" + std::to_string(i) + "]",
            type,
            {shape.begin() + 1, shape.end()},
            data.subspan(static_cast<std::size_t>(i) * size, size)};
  }

  /// A weight in place, d_out × d_in as the tensor's shape, or its transpose in_by_out; of a stack slice(i).as_weight()
  template <class Scalar>
  weight_view<const Scalar> as_weight(storage order = storage::out_by_in) const {
    require_matrix();
    const bool straight = order == storage::out_by_in;
    return {values<Scalar>().data(), shape[straight ? 0 : 1], shape[straight ? 1 : 0], 0, order};
  }

  /// A row-major matrix in place.
  template <class Scalar>
  Eigen::Map<const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> as_matrix() const {
    require_matrix();
    return {values<Scalar>().data(), eigen_size(shape[0]), eigen_size(shape[1])};
  }

 private:
  /// With EIGEN_DEFAULT_DENSE_INDEX_TYPE=int a file's sizes may not fit. A template, where a cast to the same type is
  /// no warning.
  template <class Index = Eigen::Index>
  Index eigen_size(index_t size) const {
    if (size <= std::numeric_limits<Index>::max()) return static_cast<Index>(size);
    throw shape_error("sbora::tensor_view: tensor '" + name + "' has shape " + detail::shape_text(shape) +
                      ", more than Eigen::Index holds; as_weight() takes it");
  }

  template <class Scalar>
  void require_type() const {
    if (type == dtype_of<Scalar>) return;
    throw format_error(format_fault::wrong_type, {},
                       "tensor '" + name + "' is " + to_string(type) + ", expected " + to_string(dtype_of<Scalar>));
  }

  void require_matrix() const {
    if (shape.size() == 2) return;
    throw shape_error("sbora::tensor_view: tensor '" + name + "' has shape " + detail::shape_text(shape) +
                      ", expected two dimensions");
  }
};

}  // namespace sbora::inline SBORA_ABI
