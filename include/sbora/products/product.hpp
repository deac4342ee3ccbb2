#pragma once

#include <algorithm>
#include <span>
#include <type_traits>

#include <sbora/core/executor.hpp>
#include <sbora/core/workspace.hpp>
#include <sbora/kernels/dispatch.hpp>

/// The one place where matrices are multiplied. Everything above says what to multiply; tiles, panels
/// and tasks are decided here, from the shapes and the instruction-set level; no sum is cut between tasks.
namespace sbora::inline SBORA_ABI::detail {

/// A rows × depth left operand with any strides, of the computed type or bf16; row i is row row_index[i]
/// of the data where that is given.
template <class Left>
struct left_operand {
  const Left* data;
  index_t rows, depth;
  index_t row_stride, depth_stride;
  const index_t* row_index = nullptr;
};

/// A depth × columns right operand, its depth along the lines of its source or across them, with what is added
/// to it on pack.
template <class Storage>
struct right_operand {
  source_of<Storage> source;
  index_t columns;
  bool depth_along_lines;
  std::span<const panel_update<compute_of<Storage>>> updates = {};
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

/// How a product of these sizes is cut into tasks.
template <class T>
struct product_plan {
  index_t strips, column_blocks, block_columns, row_blocks, block_strips;
  index_t packed_size;

  product_plan(const packing_kernels<T>& kernels, index_t rows, index_t depth, index_t columns)
      : strips(ceil_div(rows, kernels.tile_rows)) {
    // Four panels a task: below a millisecond for hundreds of tokens, and 32 to 64 tasks at 4096 columns.
    block_columns = 4 * kernels.tile_columns;
    column_blocks = ceil_div(columns, block_columns);
    // A narrow result (rank columns) has too few of them to share out, so its rows are cut too, each
    // task packing its panels again: 1/(8·tile_rows) of its multiplications.
    const index_t most_strips = column_blocks >= 16 ? strips : std::min<index_t>(strips, 8);
    block_strips = std::max<index_t>(1, most_strips);  // 0 for an empty batch
    row_blocks = ceil_div(strips, block_strips);
    packed_size = strips * kernels.tile_rows * depth;
  }

  index_t tasks() const { return column_blocks * row_blocks; }
};

/// Whether other threads are asked to help, for waking one takes 1 to 12 µs, and it comes 20 to 50 later: from some
/// 6 µs of work on. (Zen 5, two threads, 8 x 512 x 512: 17 instead of 28 µs where they are awake.)
template <class T>
bool pays_to_share(index_t rows, index_t depth, index_t columns) {
  const double least = 16384.0 * static_cast<double>(get_kernels<packing_kernels<T>>().lanes);
  return static_cast<double>(rows) * static_cast<double>(depth) * static_cast<double>(columns) >= least;
}

/// Rows up to which a right operand without updates is read as it lies instead of being packed, which
/// then takes longer than the multiplications. (Zen 5, 4096 x 4096: along the depth as fast as packed at 8 rows; across it,
/// f32 12 GB/s at 16 rows and 19 at 8, packed 8 and 9; bf16 10 and 19, packed 6.5.)
inline constexpr index_t stream_dot_rows = 8;
inline constexpr index_t stream_axpy_rows = 16;

/// The kernels that take such a weight's codes in groups, where this machine has them.
inline const code_kernels<float>* code_kernels_for(const right_operand<four_bit>& right, index_t depth) {
  const code_kernels<float>* const kernels = find_kernels<code_kernels<float>>(active_isa());
  const bool fits = kernels != nullptr && right.depth_along_lines && depth % kernels->group == 0 &&
                    right.source.line_length % kernels->group == 0;
  return fits ? kernels : nullptr;
}

/// Rows up to which those do. (Zen 5, NF4, 4096 x 4096: 195 GFLOP/s for 12 rows and 208 for 16; as floats 109 and 145.)
inline constexpr index_t stream_codes_rows = 16;

template <class Storage>
bool is_streamed(index_t rows, index_t depth, const right_operand<Storage>& right) {
  if (!right.depth_along_lines) return rows <= stream_axpy_rows;
  if constexpr (std::is_same_v<Storage, four_bit>) {
    if (code_kernels_for(right, depth) != nullptr) return rows <= stream_codes_rows;
  }
  return rows <= stream_dot_rows;
}

/// Columns of a task that streams: a mebibyte of a 4096 wide f32 weight along the depth; across it so many that every
/// row's part is two pages, or, where there is no other thread to share with, whole rows: see stream_axpy.
inline constexpr index_t stream_dot_columns = 64;
inline constexpr index_t stream_axpy_columns = 2048;

/// The rows as the streaming kernels take them: widened into scratch where they are bf16.
template <class T, class Left>
left_operand<T> widened_rows(const left_operand<Left>& left, workspace_frame& frame) {
  if constexpr (std::is_same_v<Left, T>) {
    return left;
  } else {
    T* const out = frame.take<T>(left.rows * left.depth);
    const auto kernel = get_kernels<conversion_kernels<float>>().widen_bf16;
    for (index_t row = 0; row < left.rows; ++row) {
      kernel(left.data + row * left.row_stride, out + row * left.depth, left.depth);
    }
    return {out, left.rows, left.depth, left.depth, 1};
  }
}

/// The rows in the order of those kernels: widened rows in place, the caller's as a copy.
inline left_operand<float> arranged_rows(const left_operand<float>& rows, const code_kernels<float>& kernels,
                                         workspace_frame& frame, bool own) {
  left_operand<float> arranged = rows;
  if (!own) {
    float* const copy = frame.take<float>(rows.rows * rows.depth);
    for (index_t row = 0; row < rows.rows; ++row) {
      std::copy_n(rows.data + row * rows.row_stride, rows.depth, copy + row * rows.depth);
    }
    arranged = {copy, rows.rows, rows.depth, rows.depth, 1};
  }
  kernels.arrange(const_cast<float*>(arranged.data), rows.rows * rows.depth);
  return arranged;
}

/// Whether what is added on pack leaves the panel bf16, so that it can be one of pairs.
template <class Storage>
bool takes_pairs(const right_operand<Storage>& right) {
  return std::all_of(right.updates.begin(), right.updates.end(), [](const auto& update) { return update.rounded; });
}

/// Packs left, then multiplies in tasks. Packed: how left is packed.
template <class Packed, class Storage, class T, class Left, class Pack, class Product, class Executor>
void multiply_packed(const left_operand<Left>& left, const right_operand<Storage>& right,
                     const product_result<T>& result, Pack pack, Product product, workspace_frame& frame,
                     Executor& pool) {
  const index_t tile_rows = get_kernels<packing_kernels<T>>().tile_rows;
  const product_plan<T> plan(get_kernels<packing_kernels<T>>(), left.rows, left.depth, right.columns);
  Packed* const packed = frame.take<Packed>(plan.packed_size);
  const bool pays = pays_to_share<T>(left.rows, left.depth, right.columns);
  constexpr index_t pack_strips = 8;
  for_ranges(
      plan.strips, pack_strips, pool,
      [&](index_t begin, index_t end) {
        pack({left.data, left.row_stride, left.depth_stride, left.row_index, left.rows, left.depth,
              right.depth_along_lines, packed, begin, end});
      },
      pays);
  for_tasks(plan.tasks(), pays, pool, [&](index_t task) {
    const index_t columns_from = task % plan.column_blocks * plan.block_columns;
    const index_t columns_to = std::min(right.columns, columns_from + plan.block_columns);
    const index_t strips_from = task / plan.column_blocks * plan.block_strips;
    const index_t strips_to = std::min(plan.strips, strips_from + plan.block_strips);
    product({packed, left.rows, left.depth, right.source, right.depth_along_lines, result.data, result.stride,
             result.alpha, result.bias, result.accumulate, right.updates.data(),
             static_cast<index_t>(right.updates.size()), strips_from, strips_to, columns_from, columns_to});
    result.narrow(strips_from * tile_rows, std::min(left.rows, strips_to * tile_rows), columns_from, columns_to);
  });
}

/// Elements that a packed left operand of few rows has.
template <class T>
index_t few_size(index_t rows, index_t depth) {
  const index_t block = get_kernels<packing_kernels<T>>().tile_columns;
  return ceil_div(rows, block) * block * depth;
}

/// Packs left as the vectors, then multiplies with right's lines as they come.
template <class Storage, class T, class Left, class Pack, class Executor>
void multiply_few(const left_operand<Left>& left, const right_operand<Storage>& right, const product_result<T>& result,
                  Pack pack, workspace_frame& frame, Executor& pool) {
  T* const packed = frame.take<T>(few_size<T>(left.rows, left.depth));
  const bool pays = pays_to_share<T>(left.rows, left.depth, right.columns);
  for_ranges(
      ceil_div(left.rows, get_kernels<packing_kernels<T>>().tile_columns), 1, pool,
      [&](index_t begin, index_t end) {
        pack({left.data, left.row_stride, 1, nullptr, left.rows, left.depth, true, packed, begin, end});
      },
      pays);
  const auto product = get_kernels<product_kernels<Storage>>().product_few;
  for_ranges(
      right.columns, few_columns, pool,
      [&](index_t begin, index_t end) {
        product({packed, left.rows, left.depth, right.source, true, result.data, result.stride, result.alpha,
                 result.bias, result.accumulate, right.updates.data(), static_cast<index_t>(right.updates.size()), 0, 0,
                 begin, end});
        result.narrow(0, left.rows, begin, end);
      },
      pays);
}

/// result = … + alpha·left·right.
///
/// Cost        2·rows·depth·columns flops; packs left once and right once per row block, or streams right
///             once; scratch of at most multiply_bytes() from `frame`.
/// Numerics    accumulates in T, over depth in ascending order; independent of the executor. bf16 by bf16 at
///             avx512_bf16 by pairs, which flushes denormals.
template <class Storage, class T, class Left, class Executor>
void multiply(const left_operand<Left>& left, const right_operand<Storage>& right, const product_result<T>& result,
              workspace_frame frame, Executor& pool) {
  const product_kernels<Storage>& kernels = get_kernels<product_kernels<Storage>>();
  if (is_streamed(left.rows, left.depth, right) && right.updates.empty() && left.depth_stride == 1 &&
      left.row_index == nullptr && left.depth > 0) {
    auto rows = widened_rows<T>(left, frame);
    auto stream = kernels.stream;
    if constexpr (std::is_same_v<Storage, four_bit>) {
      if (const code_kernels<float>* codes = code_kernels_for(right, left.depth); codes != nullptr) {
        rows = arranged_rows(rows, *codes, frame, !std::is_same_v<Left, T>);
        stream = codes->stream;
      }
    }
    index_t step = right.depth_along_lines ? stream_dot_columns : stream_axpy_columns;
    if (std::is_same_v<std::remove_cv_t<Executor>, serial_executor> && !right.depth_along_lines) {
      step = std::max(step, right.columns);
    }
    for_ranges(
        right.columns, step, pool,
        [&](index_t begin, index_t end) {
          stream({rows.data, rows.row_stride, left.rows, left.depth, right.source, right.depth_along_lines, result.data,
                  result.stride, result.alpha, result.bias, result.accumulate, begin, end});
          result.narrow(0, left.rows, begin, end);
        },
        pays_to_share<T>(left.rows, left.depth, right.columns));
    return;
  }
  if constexpr (has_pairs<Storage> && std::is_same_v<Left, bf16>) {
    if (const auto* pairs = find_kernels<pair_kernels<Storage>>(active_isa()); pairs != nullptr && takes_pairs(right)) {
      multiply_packed<bf16_pair>(left, right, result, pairs->pack, pairs->product, frame, pool);
      return;
    }
  }
  const packing_kernels<T>& dense = get_kernels<packing_kernels<T>>();
  if (left.rows <= few_tokens && right.depth_along_lines && left.depth_stride == 1 && left.row_index == nullptr) {
    if constexpr (std::is_same_v<Left, T>) multiply_few(left, right, result, dense.pack_few, frame, pool);
    else multiply_few(left, right, result, dense.pack_few_bf16, frame, pool);
    return;
  }
  if constexpr (std::is_same_v<Left, T>) {
    multiply_packed<T>(left, right, result, dense.pack, kernels.product, frame, pool);
  } else {
    multiply_packed<T>(left, right, result, dense.pack_bf16, kernels.product, frame, pool);
  }
}

/// Scratch that one multiply with these sizes takes at most.
template <class T>
std::size_t multiply_bytes(index_t rows, index_t depth, index_t columns) {
  const index_t packed = product_plan<T>(get_kernels<packing_kernels<T>>(), rows, depth, columns).packed_size;
  return frame_bytes<T>(rows <= few_tokens ? std::max(packed, few_size<T>(rows, depth)) : packed);
}

}  // namespace sbora::inline SBORA_ABI::detail
