#pragma once

#include <algorithm>

#include <sbora/config/executor.hpp>
#include <sbora/config/workspace.hpp>
#include <sbora/kernels/dispatch.hpp>

/// The one place where matrices are multiplied. Everything above says what to multiply; tiles, panels
/// and tasks are decided here, from the shapes and the instruction-set level alone.
namespace sbora::inline SBORA_ABI::detail {

/// A rows × depth left operand with any strides.
template <class T>
struct left_operand {
  const T* data;
  index_t rows, depth;
  index_t row_stride, depth_stride;
};

/// A depth × columns right operand, one stride of which is 1.
template <class Storage>
struct right_operand {
  const Storage* data;
  index_t columns;
  index_t depth_stride, column_stride;
};

/// Row-major result, and what happens to it: out = (accumulate ? out : bias or 0) + alpha·product.
template <class T>
struct product_result {
  T* data;
  index_t stride;
  T alpha = T{1};
  const T* bias = nullptr;
  bool accumulate = false;
};

/// How a product of these sizes is cut into tasks.
template <class T>
struct product_plan {
  index_t strips, column_blocks, block_columns, row_blocks, block_strips;
  index_t packed_size, panel_size;

  product_plan(const dense_kernels<T>& kernels, index_t rows, index_t depth, index_t columns)
      : strips(ceil_div(rows, kernels.tile_rows)) {
    // Four panels a task: below a millisecond for hundreds of tokens, and 64 tasks at 4096 columns.
    block_columns = 4 * kernels.tile_columns;
    column_blocks = ceil_div(columns, block_columns);
    // A narrow result (rank columns) has too few of them to share out, so its rows are cut too, each
    // task packing its panels again: 1/(8·tile_rows) of its multiplications.
    const index_t most_strips = column_blocks >= 16 ? strips : std::min<index_t>(strips, 8);
    block_strips = std::max<index_t>(1, most_strips);  // 0 for an empty batch
    row_blocks = ceil_div(strips, block_strips);
    packed_size = strips * kernels.tile_rows * depth;
    panel_size = panel_depth * kernels.tile_columns;
  }

  index_t tasks() const { return column_blocks * row_blocks; }
  std::size_t bytes() const {
    return frame_bytes<T>(packed_size) + static_cast<std::size_t>(tasks()) * frame_bytes<T>(panel_size);
  }
};

/// result = … + alpha·left·right.
///
/// Cost        2·rows·depth·columns flops; packs left once and right once per row block; scratch of
///             product_plan::bytes() from `frame`.
/// Numerics    accumulates in T, over depth in ascending order; independent of the executor.
template <class Storage, class T, class Executor>
void multiply(const left_operand<T>& left, const right_operand<Storage>& right,
              const product_result<T>& result, workspace_frame& frame, Executor& pool) {
  const dense_kernels<T>& dense = dense_kernels_now<T>();
  const auto product = weight_kernels_now<Storage>().product;
  const product_plan<T> plan(dense, left.rows, left.depth, right.columns);
  T* const packed = frame.take<T>(plan.packed_size);
  const index_t panel_step =
      static_cast<index_t>(frame_bytes<T>(plan.panel_size) / sizeof(T));
  T* const panels = frame.take<T>(plan.tasks() * panel_step);

  constexpr index_t pack_strips = 8;
  for_ranges(plan.strips, pack_strips, pool, [&](index_t begin, index_t end) {
    dense.pack({left.data, left.row_stride, left.depth_stride, left.rows, left.depth, packed, begin, end});
  });
  pool.parallel_for(plan.tasks(), [&](index_t task) {
    const index_t columns_from = task % plan.column_blocks * plan.block_columns;
    const index_t strips_from = task / plan.column_blocks * plan.block_strips;
    product({packed, left.rows, left.depth, right.data, right.depth_stride, right.column_stride,
             result.data, result.stride, result.alpha, result.bias, result.accumulate,
             panels + task * panel_step, strips_from,
             std::min(plan.strips, strips_from + plan.block_strips), columns_from,
             std::min(right.columns, columns_from + plan.block_columns)});
  });
}

/// Scratch of one multiply with these sizes.
template <class T>
std::size_t multiply_bytes(index_t rows, index_t depth, index_t columns) {
  return product_plan<T>(dense_kernels_now<T>(), rows, depth, columns).bytes();
}

}  // namespace sbora::inline SBORA_ABI::detail
