#pragma once

#include <algorithm>

#include <sbora/products/operands.hpp>

/// How a product is computed: decided here and nowhere else, from its shapes, the storage of its right operand and the
/// instruction-set level.
namespace sbora::inline SBORA_ABI::detail {

enum class product_method : unsigned char {
  stream,        ///< few rows; the right operand is read once, as it lies
  stream_codes,  ///< the same over 4-bit codes, which are taken in groups
  few,     ///< up to few_tokens rows are packed as vectors; the lines of the right operand are multiplied as they come
  packed,  ///< both operands are packed, in the computed type
  packed_pairs  ///< both are packed, as pairs of bf16
};

/// What is asked.
struct product_shape {
  index_t rows, depth, columns;
  bool depth_along_lines;     ///< of the right operand
  bool plain_rows;            ///< the left operand's rows are contiguous and in their own order
  bool bf16_rows;             ///< it isn't of the computed type
  bool updated, rounded;      ///< what is added on pack
  bool in_any_batch = false;  ///< a row's bits must not depend on the number of rows, so neither may the method
};

/// What an answer depends on besides: the tiles of the level, and which kernels it has for the right operand.
struct product_means {
  index_t tile_rows, tile_columns, lanes;
  bool pairs;  ///< bf16 by bf16 in pairs
  bool codes;  ///< 4-bit codes in groups
};

struct product_plan {
  product_method method;
  bool adds_updates;      ///< packs the right operand in the computed type, so that updates can be added exactly
  bool shares;            ///< other threads are asked to help
  index_t scratch;        ///< elements of the left operand's copy: of the computed type, or pairs
  index_t strips;         ///< of tile_rows rows (packed), or blocks of tile_columns rows (few)
  index_t block_strips;   ///< of a task
  index_t block_columns;  ///< of a task
  index_t row_blocks, column_blocks;
  index_t tile_rows;

  index_t tasks() const noexcept { return column_blocks * row_blocks; }
};

/// Rows up to which a right operand without updates is read as it lies instead of being packed, which
/// then takes longer than the multiplications. (Zen 5, 4096 x 4096: along the depth as fast as packed at 8 rows; across
/// it, f32 12 GB/s at 16 rows and 19 at 8, packed 8 and 9; bf16 10 and 19, packed 6.5.)
inline constexpr index_t stream_dot_rows = 8;
inline constexpr index_t stream_axpy_rows = 16;
/// Rows up to which 4-bit codes are taken in groups. (Zen 5, NF4, 4096 x 4096: 195 GFLOP/s for 12 rows and 208 for 16;
/// as floats 109 and 145.)
inline constexpr index_t stream_codes_rows = 16;

/// Columns of a task that streams: a mebibyte of a 4096 wide f32 weight along the depth; across it so many that every
/// row's part is two pages, or, where there is no other thread to share with, whole rows: see stream_axpy.
inline constexpr index_t stream_dot_columns = 64;
inline constexpr index_t stream_axpy_columns = 2048;

inline product_method product_method_for(const product_shape& s, const product_means& means) {
  if (s.plain_rows && !s.updated && s.depth > 0 && !s.in_any_batch) {
    if (!s.depth_along_lines) {
      if (s.rows <= stream_axpy_rows) return product_method::stream;
    } else if (means.codes) {
      if (s.rows <= stream_codes_rows) return product_method::stream_codes;
    } else if (s.rows <= stream_dot_rows) {
      return product_method::stream;
    }
  }
  // What is added has to leave the panel bf16, so that it can be one of pairs.
  if (means.pairs && s.bf16_rows && (!s.updated || s.rounded)) return product_method::packed_pairs;
  const bool few = s.rows <= few_tokens && s.depth_along_lines && s.plain_rows && !s.in_any_batch;
  return few ? product_method::few : product_method::packed;
}

/// For an executor that runs everything on the calling thread, or another.
inline product_plan plan_product(const product_shape& s, const product_means& means, bool serial) {
  product_plan plan = {};
  plan.method = product_method_for(s, means);
  plan.adds_updates = plan.method == product_method::few || plan.method == product_method::packed;
  plan.tile_rows = means.tile_rows;
  // Waking another thread takes 1 to 12 µs, and it comes 20 to 50 later: it pays from some 6 µs of work on. (Zen 5, two
  // threads, 8 x 512 x 512: 17 instead of 28 µs where they are awake.)
  plan.shares = static_cast<double>(s.rows) * static_cast<double>(s.depth) * static_cast<double>(s.columns) >=
                16384.0 * static_cast<double>(means.lanes);
  plan.row_blocks = 1;
  switch (plan.method) {
    case product_method::stream:
    case product_method::stream_codes:
      plan.block_columns = s.depth_along_lines ? stream_dot_columns : stream_axpy_columns;
      if (serial && !s.depth_along_lines) plan.block_columns = std::max(plan.block_columns, s.columns);
      plan.scratch = s.rows * s.depth;  // widened or rearranged; for f32 rows it may not be needed
      break;
    case product_method::few:
      plan.block_columns = few_columns;
      plan.strips = ceil_div(s.rows, means.tile_columns);
      plan.scratch = plan.strips * means.tile_columns * s.depth;
      break;
    case product_method::packed:
    case product_method::packed_pairs: {
      // Four panels a task: below a millisecond for hundreds of tokens, and 32 to 64 tasks at 4096 columns.
      plan.block_columns = 4 * means.tile_columns;
      plan.strips = ceil_div(s.rows, means.tile_rows);
      // A narrow result (rank columns) has too few of them to share out, so its rows are cut too, each
      // task packing its panels again: 1/(8·tile_rows) of its multiplications.
      const bool wide = ceil_div(s.columns, plan.block_columns) >= 16;
      plan.block_strips = std::max<index_t>(1, wide ? plan.strips : std::min<index_t>(plan.strips, 8));  // 0: no rows
      plan.row_blocks = ceil_div(plan.strips, plan.block_strips);
      plan.scratch = plan.strips * means.tile_rows * s.depth;  // pairs need half of it
      break;
    }
  }
  plan.column_blocks = ceil_div(s.columns, plan.block_columns);
  return plan;
}

/// The kernels that take such a weight's codes in groups, where this machine has them.
inline const code_kernels<float>* code_kernels_for(const right_operand<four_bit>& right, index_t depth) {
  const code_kernels<float>* const kernels = find_kernels<code_kernels<float>>(active_isa());
  const bool fits = kernels != nullptr && right.depth_along_lines && depth % kernels->group == 0 &&
                    right.source.line_length % kernels->group == 0;
  return fits ? kernels : nullptr;
}

template <class Storage>
product_means means_for(const right_operand<Storage>& right, index_t depth) {
  const auto& packing = get_kernels<packing_kernels<compute_of<Storage>>>();
  product_means means = {packing.tile_rows, packing.tile_columns, packing.lanes, false, false};
  if constexpr (has_pairs<Storage>) means.pairs = find_kernels<pair_kernels<Storage>>(active_isa()) != nullptr;
  if constexpr (std::is_same_v<Storage, four_bit>) means.codes = code_kernels_for(right, depth) != nullptr;
  return means;
}

/// The plan of left·right.
template <class Left, class Storage>
product_plan plan_of(const left_operand<Left>& left, const right_operand<Storage>& right, bool serial) {
  const product_shape shape = {.rows = left.rows,
                               .depth = left.depth,
                               .columns = right.columns,
                               .depth_along_lines = right.depth_along_lines,
                               .plain_rows = left.depth_stride == 1 && left.row_index == nullptr,
                               .bf16_rows = !std::is_same_v<Left, compute_of<Storage>>,
                               .updated = right.updates.count > 0,
                               .rounded = right.updates.rounded,
                               .in_any_batch = left.in_any_batch};
  return plan_product(shape, means_for(right, left.depth), serial);
}

}  // namespace sbora::inline SBORA_ABI::detail
