#pragma once

#include <cstddef>
#include <cstdint>

#include <sbora/core/index.hpp>
#include <sbora/kernels/sources.hpp>

/// What kernels take: plain pointers, sizes and strides (in elements), no ownership, nothing checked.
/// T is the type that is computed in, float or double; Storage is how a weight is stored.
namespace sbora::SBORA_KERNELS_ABI {

/// out[t, j] = source[t, index[j]] for tokens t in [begin, end).
template <class T, class Source = T>
struct gather_args {
  const Source* source;
  index_t source_stride;
  const index_t* index;
  index_t rank;
  T* out;
  index_t out_stride;
  index_t begin, end;
};

/// out[t, index[j]] += scale·source[t, j]; with index null, out[t, j] += scale·source[t, j].
template <class T>
struct scatter_args {
  const T* source;
  index_t source_stride;
  const index_t* index;
  index_t rank;
  T scale;
  T* out;
  index_t out_stride;
  index_t begin, end;
};

/// A feature k of token t is dropped when word k % 4 of philox4x32({k / 4, t, step}, seed) is below
/// `threshold` = dropout·2^32: a function of position alone, so the mask needs no memory and does not
/// depend on threads or on which features are looked at.
struct dropout_mask {
  std::uint64_t seed;
  std::uint64_t step;
  std::uint32_t threshold;
};

/// out[t, j] = dropped(t, k) ? 0 : kept_scale·source[t, j], with feature k = index[j], or j where index
/// is null. out may be source.
template <class T>
struct dropout_args {
  const T* source;
  index_t source_stride;
  const index_t* index;
  index_t features;
  T* out;
  index_t out_stride;
  dropout_mask mask;
  T kept_scale;
  index_t begin, end;
};

/// Where a region lies in a weight's memory. Its elements (line, j), line in [0, lines), are at
///   columns:  weight[line·stride + index[j]]     an indexed element of every line
///   rows:     weight[index[j]·stride + line]     r contiguous runs
/// so FA over out_by_in and FB over in_by_out are `columns`, the other two are `rows`.
enum class region_form { columns, rows };

/// A region of a weight, its originals, and the trained half that is merged into it.
/// originals: columns [line·rank + j], rows [j·lines + line].
/// trained:   [line·trained_line_stride + j·trained_index_stride].
/// Kernels do lines [line_begin, line_end), and of rows positions [position_begin, position_end).
template <class Storage, class T>
struct region_args {
  Storage* weight;
  index_t stride;
  const index_t* index;
  index_t rank;
  index_t lines;
  Storage* originals;
  const T* trained;
  index_t trained_line_stride;
  index_t trained_index_stride;
  T scale;
  index_t line_begin = 0, line_end = 0;  ///< of a task
  index_t position_begin = 0, position_end = 0;
};

/// The first element that isn't finite (by line for columns, by position for rows), or line < 0.
struct region_fault {
  index_t line;
  index_t position;
};

/// The left operand, rows × depth with any strides, copied into strips of tile_rows rows for a right operand whose
/// depth runs along its lines or across them. k is cut into blocks of panel_depth(depth_along_lines). Within a block
/// the strips are consecutive, so the part that multiplies one panel is contiguous:
/// for k in the block that begins at k0 and is `block` deep,
///   packed[(strips·k0 + strip·block + k - k0)·tile_rows + i], missing rows zero.
/// Row i is row row_index[i] of the source, or row i where row_index is null. Elements of a Source that
/// isn't T are widened.
template <class T, class Source = T>
struct pack_args {
  const Source* source;
  index_t row_stride;
  index_t depth_stride;
  const index_t* row_index;
  index_t rows;
  index_t depth;
  bool depth_along_lines;
  T* packed;
  index_t strip_begin, strip_end;
};

/// An adapter's ΔW, added to the panels of a right operand while they are packed: where index[i] is k (if
/// along_depth) or n (otherwise) of rhs[k, n], and `line` is the other of the two,
///   rhs[k, n] becomes rhs[k, n] + round(scale·trained[line·trained_line_stride +
///                                                    position[i]·trained_index_stride]),
/// with `rounded` rounded to the storage of rhs: the bits that a merge leaves.
template <class T>
struct panel_update {
  const index_t* index;     ///< ascending
  const index_t* position;  ///< of each in the trained half
  index_t rank;
  bool along_depth;
  const T* trained;
  index_t trained_line_stride;
  index_t trained_index_stride;
  T scale;
  bool rounded;
};

/// out[m, n] = (accumulate ? out[m, n] : bias[n] or 0) + alpha·Σ_k lhs[m, k]·rhs'[k, n] for a block of
/// whole strips and columns, rhs' being rhs with the updates in their order. rhs[k, n] is element k of line n
/// where the depth runs along the lines, and otherwise element n of line k. out is not read unless accumulate.
template <class Storage, class T, class Packed = T>
struct product_args {
  const Packed* packed;
  index_t rows;
  index_t depth;
  source_of<Storage> rhs;
  bool depth_along_lines;
  T* out;
  index_t out_stride;
  T alpha;
  const T* bias;
  bool accumulate;
  const panel_update<T>* updates;
  index_t update_count;
  index_t strip_begin, strip_end;
  index_t column_begin, column_end;
};

/// Two bf16 of one row and neighbouring k, the even one in the low half: what bf16 products take. A strip then has
/// pair_kernels' tile_rows pairs for every two k, in the order of its level; where the depth isn't a multiple of its
/// tile_depth, the rest is zero.
using bf16_pair = std::uint32_t;

/// The same product, without updates and for few tokens: out[t, n] = (accumulate ? out[t, n] :
/// bias[n] or 0) + alpha·Σ_k left[t, k]·rhs[k, n] for columns [column_begin, column_end). Nothing is packed.
template <class Storage, class T>
struct stream_args {
  const T* left;
  index_t left_stride;
  index_t tokens;
  index_t depth;
  source_of<Storage> rhs;
  bool depth_along_lines;
  T* out;
  index_t out_stride;
  T alpha;
  const T* bias;
  bool accumulate;
  index_t column_begin, column_end;
  index_t cut = 0;  ///< see stream_panels, the only one that may be asked to; 0: sums aren't cut
};

/// sums[j] += Σ_t weights[t]·a[t, j]·b[t, j] over tokens in their order, each addition rounded by itself; weights null:
/// all 1. For features j in [0, features).
template <class T>
struct feature_sum_args {
  const T* a;
  index_t a_stride;
  const T* b;
  index_t b_stride;
  const double* weights;
  index_t tokens, features;
  double* sums;
};

/// sums[t] += Σ_j a[t, j]².
template <class T>
struct token_sum_args {
  const T* a;
  index_t stride;
  index_t tokens, features;
  double* sums;
};

/// Rows of activations as bytes: see byte_rows. Row i is row row_index[i] of the source, or row i where that is null.
template <class Source>
struct byte_rows_args {
  const Source* source;
  index_t row_stride;
  const index_t* row_index;
  index_t depth;
  std::byte* rows;
  index_t begin, end;
};

/// out[t, n] = (accumulate ? out[t, n] : bias[n] or 0) + alpha·Σ of rows[t] by line n of rhs for columns [column_begin,
/// column_end) and rows [row_begin, row_end), the sum being that of byte_product.inl. What a code is a multiple of is
/// in alpha.
template <class Storage>
struct byte_product_args {
  const std::byte* rows;
  index_t depth;
  source_of<Storage> rhs;
  float code_steps;  ///< codes in [-1, 1]
  float* out;
  index_t out_stride;
  float alpha;
  const float* bias;
  bool accumulate;
  index_t row_begin, row_end;
  index_t column_begin, column_end;
};

/// A block of values becomes 4-bit codes: x / absmax is code[number of boundaries below it], two to a byte, the
/// high nibble first. values and codes have room for a multiple of 16 elements, values zero beyond count, so that
/// the last nibble of an odd count is the code of zero. Where `ragged` (a last block that isn't full), x is
/// divided by absmax, kept above 0, and otherwise multiplied by its reciprocal: as bitsandbytes does.
struct quantise_args {
  const float* values;
  index_t count;
  const float* boundary;     ///< 15
  const std::uint8_t* code;  ///< 16
  bool ragged;
  std::uint8_t* codes;
  float* absmax;
};

/// out[l·out_stride + i] = element begin + i of line lines[l], up to end, for `count` lines.
template <class Storage>
struct decode_args {
  source_of<Storage> source;
  const index_t* lines;
  index_t count;
  index_t begin, end;
  float* out;
  index_t out_stride;
};

}  // namespace sbora::SBORA_KERNELS_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Depth of one packed panel of a right operand. Constants, so that sums are cut at the same places on every machine,
/// for any thread count. Where lines run along the depth, a panel stays in the L2 cache (256 KiB at AVX-512) and out is
/// seldom read again. Where they cross it, a block this deep would evict itself, so it is a quarter as deep. (Zen 5,
/// 512 tokens, 4096 x 4096, of the peak: forward 0.976 in f32 and 0.966 in bf16, 0.964 and 0.954 with two panels of a
/// quarter of the depth at a time; backward in bf16 0.945, 0.930 with the depth of the forward.)
constexpr index_t panel_depth(bool depth_along_lines) noexcept { return depth_along_lines ? 2048 : 512; }
/// The same for products of pairs, whose panels are half as large.
constexpr index_t pair_panel_depth(bool depth_along_lines) noexcept { return 2 * panel_depth(depth_along_lines); }

/// Activations as bytes, in blocks of byte_block, two of which are what one scale of a weight is for. A row's codes, in
/// the level's own order and zero up to a multiple of byte_padding; a float for each block, its scale; an int for each,
/// what the weight's codes have in excess times the sum of the block's codes, negative. Rows are an odd number of cache
/// lines apart, so that they don't share sets.
inline constexpr index_t byte_block = 32, byte_group = 64, byte_padding = 128;
constexpr index_t byte_row_codes(index_t depth) noexcept { return ceil_div(depth, byte_padding) * byte_padding; }
constexpr index_t byte_row_bytes(index_t depth) noexcept {
  return ceil_div(byte_row_codes(depth) / 4 * 5, index_t{128}) * 128 + 64;
}
/// Where its sums are cut, as at panel_depth.
inline constexpr index_t byte_panel_depth = 4096;

/// Most rows that are streamed.
inline constexpr index_t most_stream_tokens = 256;
/// Most rows of product_few, and most columns of one call.
inline constexpr index_t few_tokens = 64, few_columns = 96;

}  // namespace sbora::inline SBORA_ABI::detail
