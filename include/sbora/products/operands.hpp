#pragma once

#include <sbora/kernels/dispatch.hpp>

/// What a product multiplies, and what becomes of it.
namespace sbora::inline SBORA_ABI::detail {

/// A rows × depth left operand with any strides, of the computed type or bf16; row i is row row_index[i]
/// of the data where that is given.
template <class Left>
struct left_operand {
  const Left* data;
  index_t rows, depth;
  index_t row_stride, depth_stride;
  const index_t* row_index = nullptr;
  bool in_any_batch = false;  ///< a row of the result has the same bits, however many rows there are
  bool as_bytes = false;      ///< rounded to them, where the right operand is codes that bytes can be multiplied with
};

/// What is added to a right operand on pack, in this order; `rounded`: each sum to the operand's storage.
template <class T>
struct panel_updates {
  const panel_update<T>* data = nullptr;
  index_t count = 0;
  bool rounded = false;
};

/// A depth × columns right operand, its depth along the lines of its source or across them.
template <class Storage>
struct right_operand {
  source_of<Storage> source;
  index_t columns;
  bool depth_along_lines;
  panel_updates<compute_of<Storage>> updates = {};
};

/// depth × columns in rows `stride` apart.
template <class Storage>
right_operand<std::remove_const_t<Storage>> plain_operand(Storage* data, index_t columns, index_t stride) {
  return {{data, stride}, columns, false};
}

/// The transpose of columns × depth in rows `stride` apart.
template <class Storage>
right_operand<std::remove_const_t<Storage>> transposed_operand(Storage* data, index_t columns, index_t stride) {
  return {{data, stride}, columns, true};
}

/// Row-major result, and what happens to it: out = (accumulate ? out : bias or 0) + alpha·product, and where
/// `narrowed` is given, narrowed = bf16(out).
template <class T>
struct product_result {
  T* data;
  index_t stride;
  T alpha = T{1};
  const T* bias = nullptr;
  bool accumulate = false;
  bf16* narrowed = nullptr;
  index_t narrowed_stride = 0;

  /// Rounds a finished block, while it is in the cache.
  void narrow(index_t row_begin, index_t row_end, index_t column_begin, index_t column_end) const {
    if constexpr (std::is_same_v<T, float>) {
      if (narrowed == nullptr) return;
      const auto kernel = get_kernels<conversion_kernels<float>>().narrow_bf16;
      for (index_t row = row_begin; row < row_end; ++row) {
        kernel(data + row * stride + column_begin, narrowed + row * narrowed_stride + column_begin,
               column_end - column_begin);
      }
    }
  }
};

}  // namespace sbora::inline SBORA_ABI::detail
