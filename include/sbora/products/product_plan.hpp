#pragma once

#include <algorithm>

#include <sbora/products/operands.hpp>

/// How a product is computed: decided here and nowhere else, from its shapes, the storage of its right operand and the
/// instruction-set level.
namespace sbora::inline SBORA_ABI::detail {

enum class product_method : unsigned char {
  stream,        ///< few rows; the right operand is read once, as it lies
  stream_codes,  ///< the same over 4-bit codes, which are taken in groups
  stream_cut,    ///< as stream, more rows; the results have the bits of packed
  few,     ///< up to few_tokens rows are packed as vectors; the lines of the right operand are multiplied as they come
  packed,  ///< both operands are packed, in the computed type
  packed_pairs,  ///< both are packed, as pairs of bf16
  stream_bytes,  ///< as stream, of rows as bytes with codes as integers
  packed_bytes   ///< as packed, of the same; the results have the same bits
};

/// What is asked.
struct product_shape {
  index_t rows, depth, columns;
  bool depth_along_lines;     ///< of the right operand
  bool plain_rows;            ///< the left operand's rows are contiguous and in their own order
  bool bf16_rows;             ///< it isn't of the computed type
  bool updated, rounded;      ///< what is added on pack
  bool in_any_batch = false;  ///< a row's bits must not depend on the number of rows, so neither may the method
  bool as_bytes = false;      ///< of the left operand, whose rows are contiguous
};

/// What an answer depends on besides: the tiles of the level, and which kernels it has for the right operand.
struct product_means {
  index_t tile_rows, tile_columns, lanes;
  index_t vector_bytes;
  bool pairs;                              ///< bf16 by bf16 in pairs
  bool codes;                              ///< 4-bit codes in groups
  bool converted;                          ///< its elements are dense and not of the computed type
  index_t pair_rows = 1, pair_depth = 2;   ///< of a tile of pairs, where there are any
  bool bytes = false, byte_tiles = false;  ///< rows as bytes can be multiplied with its codes; many of them too
};

struct product_plan {
  product_method method;
  bool adds_updates;      ///< packs the right operand in the computed type, so that updates can be added exactly
  bool shares;            ///< other threads are asked to help
  index_t scratch;        ///< elements of the left operand's copy: of the computed type, or pairs where those are more
  index_t strips;         ///< of tile_rows rows (packed), or blocks of tile_columns rows (few)
  index_t block_strips;   ///< of a task
  index_t block_columns;  ///< of a task
  index_t row_blocks, column_blocks;
  index_t tile_rows;

  index_t tasks() const noexcept { return column_blocks * row_blocks; }
};

/// Rows up to which a right operand without updates is read as it lies instead of being packed, which then takes longer
/// than the multiplications.
struct stream_limits {
  index_t vector_bytes;      ///< of the level, at least
  index_t along;             ///< the depth
  index_t along_converted;   ///< where dense elements have to become the computed type
  index_t along_pairs;       ///< where pairs of bf16 are the other method
  index_t across;            ///< the depth; codes too, so that they keep the bits of a product with their values
  index_t across_converted;  ///< as above
  index_t across_cut;        ///< the depth, with the bits of packed
};

/// From sweeps (benchmarks/ratios, monotone and narrow) of 4096 x 4096 on Granite Rapids; the last level's isn't
/// measured. In milliseconds, streamed and by the other method:
///     AVX-512  along 8 rows 5.5, 6.2, 12 rows 6.1, 5.8; bf16 12 rows 4.1, 6.0 and in pairs 16 rows 5.5, 8.5
///              across 17 rows 9, 21, NF4 8, 12, 32 rows 14, 21, NF4 11, 14 (576 x 576 0.23, 0.21); bf16 48 rows
///              17, 24, 64 rows 23, 31 (576 x 576 0.37, 0.37, 0.45, 0.36)
///     AVX2     along 8 rows 5.3, 6.2, 12 rows 7.5, 6.8; bf16 12 rows 5.9, 8.1, 14 rows 7.0, 8.2
///              across 17 rows 12, 26, NF4 11, 18; 48 rows 24, 25, NF4 22, 22; 64 rows 32, 33, NF4 30, 27, bf16
///              29, 26, 1024 x 4096 8.1, 7.0
/// Of Zen 3 at AVX2, with stream_panels, streamed and packed: across 64 rows 28, 42, 128 rows 55, 72, 256 rows 110,
/// 115, 3072 x 768 14.5, 15.1.
inline constexpr stream_limits stream_table[] = {{.vector_bytes = 64,
                                                  .along = 8,
                                                  .along_converted = 12,
                                                  .along_pairs = 16,
                                                  .across = 32,
                                                  .across_converted = 48,
                                                  .across_cut = 0},
                                                 {.vector_bytes = 32,
                                                  .along = 8,
                                                  .along_converted = 12,
                                                  .along_pairs = 12,
                                                  .across = 48,
                                                  .across_converted = 48,
                                                  .across_cut = most_stream_tokens},
                                                 {.vector_bytes = 0,
                                                  .along = 8,
                                                  .along_converted = 8,
                                                  .along_pairs = 8,
                                                  .across = 16,
                                                  .across_converted = 16,
                                                  .across_cut = 0}};
/// Where pairs are multiplied in tiles of more than one k. (Granite Rapids, bf16, 4096 x 4096, streamed and in tiles:
/// along 8 rows 2.4, 3.0 ms, 12 rows 3.3, 3.0; across 8 rows 2.9, 5.7, 16 rows 5.2, 6.0; 576 x 576 either way 6 rows
/// 0.04, 0.03, 12 rows 0.08, 0.04.)
inline constexpr index_t tile_stream_along = 6, tile_stream_across = 8;
/// Rows up to which 4-bit codes are taken in groups. (Zen 5, NF4, 4096 x 4096: 195 GFLOP/s for 12 rows and 208 for 16;
/// as floats 109 and 145.)
inline constexpr index_t stream_codes_rows = 16;

/// Rows as bytes up to which codes aren't packed; and most that become bytes where there are no tiles of those.
inline constexpr index_t stream_bytes_rows = 8, most_stream_bytes_rows = 16;

/// Columns of a task that streams: a mebibyte of a 4096 wide f32 weight along the depth; across it so many that every
/// row's part is two pages, less where more rows are work for more threads, or, where there is no other thread to share
/// with, whole rows: see stream_axpy.
inline constexpr index_t stream_dot_columns = 64;
inline constexpr index_t stream_axpy_columns = 2048, stream_axpy_columns_of_many = 512, stream_cut_columns = 256;
/// Columns from which on more rows are streamed: fewer are too few tasks, of which packed has some for the rows too.
inline constexpr index_t stream_cut_least_columns = 2 * stream_cut_columns;

inline const stream_limits& stream_limits_of(const product_means& means) {
  const stream_limits* limits = stream_table;
  while (limits->vector_bytes > means.vector_bytes) ++limits;
  return *limits;
}

/// Most rows that are streamed.
inline index_t stream_rows(const product_shape& s, const product_means& means) {
  if (s.depth_along_lines && means.codes) return stream_codes_rows;
  const stream_limits* const limits = &stream_limits_of(means);
  if (s.bf16_rows && means.pair_depth > 2) return s.depth_along_lines ? tile_stream_along : tile_stream_across;
  if (!s.depth_along_lines) return means.converted ? limits->across_converted : limits->across;
  if (means.pairs && s.bf16_rows) return limits->along_pairs;
  return means.converted ? limits->along_converted : limits->along;
}

inline product_method product_method_for(const product_shape& s, const product_means& means) {
  if (s.as_bytes && means.bytes && s.depth_along_lines && !s.updated) {
    const bool few = s.rows <= (means.byte_tiles ? stream_bytes_rows : most_stream_bytes_rows);
    if (few && (means.byte_tiles || !s.in_any_batch)) return product_method::stream_bytes;
    if (means.byte_tiles) return product_method::packed_bytes;
  }
  if (s.plain_rows && !s.updated && s.depth > 0 && !s.in_any_batch && s.rows <= stream_rows(s, means)) {
    return s.depth_along_lines && means.codes ? product_method::stream_codes : product_method::stream;
  }
  if (s.plain_rows && !s.updated && !s.depth_along_lines && !(means.pairs && s.bf16_rows) &&
      s.columns >= stream_cut_least_columns && s.rows <= stream_limits_of(means).across_cut) {
    return product_method::stream_cut;
  }
  // What is added has to leave the panel bf16, so that it can be one of pairs.
  if (means.pairs && s.bf16_rows && (!s.updated || s.rounded)) return product_method::packed_pairs;
  const bool few = s.rows <= few_tokens && s.depth_along_lines && s.plain_rows && !s.in_any_batch;
  return few ? product_method::few : product_method::packed;
}

/// Of a packed product: tasks for each of several threads, so that they end together; fewer where the rows would be cut
/// into less than least_strips, whose packing is 1/(8·tile_rows) of a task's multiplications.
inline constexpr index_t tasks_a_thread = 8, least_strips = 8;

/// For an executor of so many threads.
inline product_plan plan_product(const product_shape& s, const product_means& means, index_t threads) {
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
    case product_method::stream_cut:
      plan.block_columns = s.depth_along_lines                         ? stream_dot_columns
                           : plan.method == product_method::stream_cut ? stream_cut_columns
                           : s.rows <= 16                              ? stream_axpy_columns
                                                                       : stream_axpy_columns_of_many;
      if (threads == 1 && !s.depth_along_lines) plan.block_columns = std::max(plan.block_columns, s.columns);
      plan.scratch = s.rows * s.depth;  // widened or rearranged; for f32 rows it may not be needed
      break;
    case product_method::stream_bytes:
    case product_method::packed_bytes:
      plan.block_columns = plan.method == product_method::stream_bytes ? stream_dot_columns : means.tile_columns;
      plan.block_strips = plan.strips = s.rows;
      plan.scratch = ceil_div(s.rows * byte_row_bytes(s.depth), index_t{sizeof(float)});
      break;
    case product_method::few:
      plan.block_columns = few_columns;
      plan.strips = ceil_div(s.rows, means.tile_columns);
      plan.scratch = plan.strips * means.tile_columns * s.depth;
      break;
    case product_method::packed:
    case product_method::packed_pairs: {
      if (plan.method == product_method::packed_pairs) plan.tile_rows = means.pair_rows;
      // Four panels a task: below a millisecond for hundreds of tokens, and 32 to 64 tasks at 4096 columns.
      plan.block_columns = 4 * means.tile_columns;
      plan.strips = ceil_div(s.rows, plan.tile_rows);
      // A narrow result has too few of them to share out, so its rows are cut too, into no more tasks than threads
      // need: each packs its panels again. (Zen 3, one thread, 1024 rows, of the peak: dX of 576 x 1536 0.93, with 8
      // strips a task 0.50; y of 192 columns 0.93, 0.72.)
      const index_t blocks = std::max<index_t>(1, ceil_div(s.columns, plan.block_columns));
      const bool narrow = threads > 1 && blocks < 16;
      const index_t cuts = narrow ? ceil_div(tasks_a_thread * threads, blocks) : 1;
      plan.block_strips = std::max(ceil_div(plan.strips, cuts), least_strips);
      plan.row_blocks = ceil_div(plan.strips, plan.block_strips);
      plan.scratch = plan.strips * means.tile_rows * s.depth;
      break;
    }
  }
  // Whatever the rows' type: what is counted with one does for the other.
  if (means.pairs) {
    const index_t pairs = ceil_div(s.depth, means.pair_depth) * means.pair_depth / 2;
    plan.scratch = std::max(plan.scratch, ceil_div(s.rows, means.pair_rows) * means.pair_rows * pairs);
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

/// The kernels that take rows as bytes with such a weight's codes: where scales are of whole groups of a line.
template <class Storage>
const byte_kernels<Storage>* byte_kernels_for(const right_operand<Storage>& right, index_t depth) {
  bool fits = depth > 0 && depth % byte_group == 0;
  if constexpr (std::is_same_v<Storage, four_bit>) {
    fits = fits && right.source.line_length % byte_group == 0 && index_t{1} << right.source.block_shift >= byte_group;
  }
  return fits ? find_kernels<byte_kernels<Storage>>(active_isa()) : nullptr;
}

template <class Storage>
product_means means_for(const right_operand<Storage>& right, index_t depth) {
  const auto& packing = get_kernels<packing_kernels<compute_of<Storage>>>();
  product_means means = {.tile_rows = packing.tile_rows,
                         .tile_columns = packing.tile_columns,
                         .lanes = packing.lanes,
                         .vector_bytes = packing.lanes * static_cast<index_t>(sizeof(compute_of<Storage>)),
                         .pairs = false,
                         .codes = false,
                         .converted = false};
  means.converted = std::is_same_v<source_of<Storage>, dense_source<Storage>> && sizeof(Storage) < sizeof(float);
  if constexpr (has_pairs<Storage>) {
    if (const auto* pairs = find_kernels<pair_kernels<Storage>>(active_isa()); pairs != nullptr) {
      means.pairs = true;
      means.pair_rows = pairs->tile_rows;
      means.pair_depth = pairs->tile_depth;
    }
  }
  if constexpr (std::is_same_v<Storage, four_bit>) means.codes = code_kernels_for(right, depth) != nullptr;
  if constexpr (has_bytes<Storage>) {
    const byte_kernels<Storage>* const bytes = byte_kernels_for(right, depth);
    means.bytes = bytes != nullptr;
    means.byte_tiles = bytes != nullptr && bytes->product != nullptr;
  }
  return means;
}

/// The plan of left·right.
template <class Left, class Storage>
product_plan plan_of(const left_operand<Left>& left, const right_operand<Storage>& right, index_t threads) {
  const product_shape shape = {.rows = left.rows,
                               .depth = left.depth,
                               .columns = right.columns,
                               .depth_along_lines = right.depth_along_lines,
                               .plain_rows = left.depth_stride == 1 && left.row_index == nullptr,
                               .bf16_rows = !std::is_same_v<Left, compute_of<Storage>>,
                               .updated = right.updates.count > 0,
                               .rounded = right.updates.rounded,
                               .in_any_batch = left.in_any_batch,
                               .as_bytes = left.as_bytes && left.depth_stride == 1};
  return plan_product(shape, means_for(right, left.depth), threads);
}

}  // namespace sbora::inline SBORA_ABI::detail
