#pragma once

#include <cmath>

#include <sbora/core/workspace.hpp>
#include <sbora/products/product_plan.hpp>

/// The one place where matrices are multiplied, as their plan says. No sum is cut between tasks.
namespace sbora::inline SBORA_ABI::detail {

/// The rows as the streaming kernels take them: widened into `room` where they are bf16.
template <class T, class Left>
left_operand<T> widened_rows(const left_operand<Left>& left, T* room) {
  if constexpr (std::is_same_v<Left, T>) {
    return left;
  } else {
    const auto kernel = get_kernels<conversion_kernels<float>>().widen_bf16;
    for (index_t row = 0; row < left.rows; ++row) {
      kernel(left.data + row * left.row_stride, room + row * left.depth, left.depth);
    }
    return {room, left.rows, left.depth, left.depth, 1};
  }
}

/// The same in the order of the kernels that take codes in groups.
template <class Left>
left_operand<float> arranged_rows(const left_operand<Left>& left, const code_kernels<float>& kernels, float* room) {
  if constexpr (std::is_same_v<Left, float>) {
    for (index_t row = 0; row < left.rows; ++row) {
      std::copy_n(left.data + row * left.row_stride, left.depth, room + row * left.depth);
    }
  } else {
    widened_rows(left, room);
  }
  kernels.arrange(room, left.rows * left.depth);
  return {room, left.rows, left.depth, left.depth, 1};
}

/// Reads right once, for few rows.
template <class Storage, class T, class Left>
void multiply_streamed(const left_operand<Left>& left, const right_operand<Storage>& right,
                       const product_result<T>& result, const product_plan& plan, T* room, any_executor pool) {
  auto stream = get_kernels<product_kernels<Storage>>().stream;
  left_operand<T> rows = {};
  if constexpr (std::is_same_v<Storage, four_bit>) {
    if (plan.method == product_method::stream_codes) {
      const code_kernels<float>& codes = *code_kernels_for(right, left.depth);
      rows = arranged_rows(left, codes, room);
      stream = codes.stream;
    }
  }
  if (plan.method != product_method::stream_codes) rows = widened_rows(left, room);
  for_ranges(
      right.columns, plan.block_columns, pool,
      [&](index_t begin, index_t end) {
        stream({.left = rows.data,
                .left_stride = rows.row_stride,
                .tokens = left.rows,
                .depth = left.depth,
                .rhs = right.source,
                .depth_along_lines = right.depth_along_lines,
                .out = result.data,
                .out_stride = result.stride,
                .alpha = result.alpha,
                .bias = result.bias,
                .accumulate = result.accumulate,
                .column_begin = begin,
                .column_end = end,
                .cut = plan.method == product_method::stream_cut ? panel_depth(false) : 0});
        result.narrow(0, left.rows, begin, end);
      },
      plan.shares);
}

/// Packs left, then multiplies in tasks. Packed: how left is packed.
template <class Packed, class Storage, class T, class Left>
void multiply_packed(const left_operand<Left>& left, const right_operand<Storage>& right,
                     const product_result<T>& result, const product_plan& plan,
                     void (*pack)(const pack_args<Packed, Left>&) noexcept,
                     void (*product)(const product_args<Storage, T, Packed>&) noexcept, Packed* packed,
                     any_executor pool) {
  const bool few = plan.method == product_method::few;
  for_ranges(
      plan.strips, few ? 1 : 8, pool,
      [&](index_t begin, index_t end) {
        pack({.source = left.data,
              .row_stride = left.row_stride,
              .depth_stride = left.depth_stride,
              .row_index = left.row_index,
              .rows = left.rows,
              .depth = left.depth,
              .depth_along_lines = right.depth_along_lines,
              .packed = packed,
              .strip_begin = begin,
              .strip_end = end});
      },
      plan.shares);
  for_tasks(plan.tasks(), plan.shares, pool, [&](index_t task) {
    const index_t columns_from = task % plan.column_blocks * plan.block_columns;
    const index_t columns_to = std::min(right.columns, columns_from + plan.block_columns);
    const index_t strips_from = task / plan.column_blocks * plan.block_strips;
    const index_t strips_to = std::min(plan.strips, strips_from + plan.block_strips);
    product({.packed = packed,
             .rows = left.rows,
             .depth = left.depth,
             .rhs = right.source,
             .depth_along_lines = right.depth_along_lines,
             .out = result.data,
             .out_stride = result.stride,
             .alpha = result.alpha,
             .bias = result.bias,
             .accumulate = result.accumulate,
             .updates = right.updates.data,
             .update_count = right.updates.count,
             .strip_begin = strips_from,
             .strip_end = strips_to,
             .column_begin = columns_from,
             .column_end = columns_to});
    if (few) result.narrow(0, left.rows, columns_from, columns_to);
    else
      result.narrow(strips_from * plan.tile_rows, std::min(left.rows, strips_to * plan.tile_rows), columns_from,
                    columns_to);
  });
}

/// What 4-bit codes in [-1, 1] are multiplied by to become integers in [-64, 64]: one that suits their table. 64 for
/// NF4's, whose values become 0.0096 of their root mean square wrong; 60 for FP4's, which are twelfths but for two.
inline float byte_steps(const right_operand<four_bit>& right) {
  const auto error = [&](float steps) {
    float sum = 0;
    for (int i = 0; i < 16; ++i) {
      const float value = right.source.table[i];
      sum += std::fabs(std::nearbyint(value * steps) / steps - value);
    }
    return sum;
  };
  return error(60) < error(64) ? 60.0F : 64.0F;
}

/// Rounds rows to bytes, then multiplies those with the codes.
template <class Storage, class T, class Left>
void multiply_bytes(const left_operand<Left>& left, const right_operand<Storage>& right,
                    const product_result<T>& result, const product_plan& plan, T* room, any_executor pool) {
  const byte_kernels<Storage>& kernels = *byte_kernels_for(right, left.depth);
  auto* const rows = static_cast<std::byte*>(static_cast<void*>(room));
  const auto to_bytes = [&] {
    if constexpr (std::is_same_v<Left, bf16>) return kernels.rows_of_bf16;
    else return kernels.rows_of_f32;
  }();
  for_ranges(
      left.rows, 4, pool,
      [&](index_t begin, index_t end) {
        to_bytes({.source = left.data,
                  .row_stride = left.row_stride,
                  .row_index = left.row_index,
                  .depth = left.depth,
                  .rows = rows,
                  .begin = begin,
                  .end = end});
      },
      plan.shares);
  float steps = 1, unit = int8_unit;
  if constexpr (std::is_same_v<Storage, four_bit>) steps = byte_steps(right), unit = 1 / steps;
  const auto multiply_block = plan.method == product_method::stream_bytes ? kernels.stream : kernels.product;
  for_ranges(
      right.columns, plan.block_columns, pool,
      [&](index_t begin, index_t end) {
        multiply_block({.rows = rows,
                        .depth = left.depth,
                        .rhs = right.source,
                        .code_steps = steps,
                        .out = result.data,
                        .out_stride = result.stride,
                        .alpha = result.alpha * unit,
                        .bias = result.bias,
                        .accumulate = result.accumulate,
                        .row_begin = 0,
                        .row_end = left.rows,
                        .column_begin = begin,
                        .column_end = end});
        result.narrow(0, left.rows, begin, end);
      },
      plan.shares);
}

/// result = … + alpha·left·right.
///
/// Cost        2·rows·depth·columns flops; packs left once and right once per row block, or streams right
///             once; scratch from `frame`.
/// Numerics    accumulates in T, over depth in ascending order; independent of the executor. bf16 by bf16 by
///             pairs where the level has them, which flushes denormals.
template <class Storage, class T, class Left>
void multiply(const left_operand<Left>& left, const right_operand<Storage>& right, const product_result<T>& result,
              workspace_frame frame, any_executor pool) {
  const product_plan plan = plan_of(left, right, pool.threads());
  const product_kernels<Storage>& kernels = get_kernels<product_kernels<Storage>>();
  T* const room = frame.take<T>(plan.scratch);
  if (frame.counts()) return;
  const auto& packing = []() -> const auto& {
    if constexpr (std::is_same_v<Left, T>) return get_kernels<packing_kernels<T>>();
    else return get_kernels<bf16_activation_kernels<T>>();
  }();
  switch (plan.method) {
    case product_method::stream_bytes:
    case product_method::packed_bytes:
      if constexpr (has_bytes<Storage>) multiply_bytes(left, right, result, plan, room, pool);
      return;
    case product_method::stream:
    case product_method::stream_codes:
    case product_method::stream_cut: return multiply_streamed(left, right, result, plan, room, pool);
    case product_method::few:
      return multiply_packed<T>(left, right, result, plan, packing.pack_few, kernels.product_few, room, pool);
    case product_method::packed:
      return multiply_packed<T>(left, right, result, plan, packing.pack, kernels.product, room, pool);
    case product_method::packed_pairs:
      if constexpr (has_pairs<Storage> && std::is_same_v<Left, bf16>) {
        const pair_kernels<Storage>& pairs = *find_kernels<pair_kernels<Storage>>(active_isa());
        auto* const packed = static_cast<bf16_pair*>(static_cast<void*>(room));
        multiply_packed<bf16_pair>(left, right, result, plan, pairs.pack, pairs.product, packed, pool);
      }
  }
}

}  // namespace sbora::inline SBORA_ABI::detail
