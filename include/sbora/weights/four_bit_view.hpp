#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>

#include <sbora/core/errors.hpp>
#include <sbora/core/executor.hpp>
#include <sbora/core/finite.hpp>
#include <sbora/core/lasting_span.hpp>
#include <sbora/kernels/sources.hpp>
#include <sbora/weights/codebooks.hpp>
#include <sbora/weights/weight_view.hpp>

namespace sbora::inline SBORA_ABI {

/// The 4-bit formats of bitsandbytes.
enum class four_bit_type { nf4, fp4 };

constexpr const char* to_string(four_bit_type type) noexcept { return type == four_bit_type::nf4 ? "nf4" : "fp4"; }

/// The scales of a 4-bit weight's blocks: plain, `absmax`, one float a block; or nested (double quantisation),
/// absmax of block b being nested_table[absmax_codes[b]]·nested_absmax[b / 256] + nested_offset. Spans of
/// memory that somebody else owns.
struct four_bit_scales {
  index_t blocksize = 64;
  lasting_span<float> absmax = {};
  lasting_span<std::uint8_t> absmax_codes = {};
  lasting_span<float> nested_absmax = {};
  lasting_span<float> nested_table = {};  ///< 256
  float nested_offset = 0;

  bool nested() const noexcept { return !absmax_codes.empty(); }
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

inline constexpr index_t nested_blocksize = 256;

constexpr const four_bit_codebook& codebook_of(four_bit_type type) noexcept {
  return type == four_bit_type::nf4 ? nf4_codebook : fp4_codebook;
}

constexpr bool is_blocksize(index_t blocksize) noexcept {
  return blocksize >= 32 && blocksize <= 4096 && (blocksize & (blocksize - 1)) == 0;
}

inline void check_blocksize(const char* who, index_t blocksize) {
  if (is_blocksize(blocksize)) return;
  throw quantization_error(
      message({who, ": blocksize = ", blocksize, ", expected 32, 64, 128, 256, 512, 1024, 2048 or 4096"}));
}

inline void check_count(const char* who, const char* what, std::size_t got, index_t expected) {
  if (static_cast<index_t>(got) == expected) return;
  throw quantization_error(message({who, ": ", what, " has ", got, " elements, expected ", expected}));
}

inline void check_scales_finite(const char* who, const char* what, std::span<const float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!is_finite(values[i])) {
      throw quantization_error(
          message({who, ": ", what, "[", i, "] = ", number_text(static_cast<double>(values[i])), " isn't finite"}));
    }
  }
}

inline float greatest_magnitude(std::span<const float> values) {
  float greatest = 0;
  for (const float value : values) greatest = std::max(greatest, std::fabs(value));
  return greatest;
}

/// d_out·d_in of a quantised weight.
inline index_t checked_element_count(const char* who, index_t d_out, index_t d_in) {
  if (d_out < 1 || d_in < 1 || !size_product({64, d_out, d_in})) {  // room for what is reckoned with it
    throw shape_error(message(
        {who, ": a weight of ", shape_text(d_out, d_in), ", both must be at least 1 and their product must fit"}));
  }
  return d_out * d_in;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// A frozen d_out × d_in weight in 4-bit codes that somebody else owns: the bytes of a bitsandbytes checkpoint,
/// in place.
///
/// Effect      element (o, i), e = o·d_in + i, is value[code e]·absmax[e / blocksize] rounded to float; code e is
///             the high nibble of byte e / 2 where e is even, and the low one otherwise.
/// Shapes      codes: ⌈d_out·d_in / 2⌉ bytes; scales for ⌈d_out·d_in / blocksize⌉ blocks.
/// Requires    sizes and a blocksize that fit, finite scales: checked at construction. Always out_by_in: HF
///             Conv1D weights are transposed before they are quantised.
/// Lifetime    keeps pointers; the memory has to outlive the view.
/// Cost        no copy, no allocation; construction reads all scales once.
/// Thread      a value; its memory is only read.
/// Errors      quantization_error, shape_error.
/// Source      bitsandbytes functional.py and csrc/cpu_ops.cpp; QLoRA, arXiv 2305.14314.
class four_bit_view {
 public:
  using storage_scalar = detail::four_bit;
  using compute_scalar = float;
  static constexpr bool writable = false;

  four_bit_view(four_bit_type type, lasting_span<std::uint8_t> codes, index_t d_out, index_t d_in,
                const four_bit_scales& scales)
      : type_(type), codes_(codes), d_out_(d_out), d_in_(d_in), stride_(d_in), scales_(scales) {
    constexpr const char* who = "sbora::four_bit_view";
    const index_t elements = detail::checked_element_count(who, d_out, d_in);
    detail::check_blocksize(who, scales.blocksize);
    const index_t blocks = detail::ceil_div(elements, scales.blocksize);
    detail::check_count(who, "codes", codes.size(), detail::ceil_div(elements, 2));
    if (scales.nested()) {
      detail::check_count(who, "absmax_codes", scales.absmax_codes.size(), blocks);
      detail::check_count(who, "nested_absmax", scales.nested_absmax.size(),
                          detail::ceil_div(blocks, detail::nested_blocksize));
      detail::check_count(who, "nested_table", scales.nested_table.size(), 256);
      detail::check_count(who, "absmax beside nested scales", scales.absmax.size(), 0);
      detail::check_scales_finite(who, "nested_absmax", scales.nested_absmax);
      detail::check_scales_finite(who, "nested_table", scales.nested_table);
      detail::check_scales_finite(who, "nested_offset", {&scales.nested_offset, 1});
      const float greatest =
          detail::greatest_magnitude(scales.nested_table) * detail::greatest_magnitude(scales.nested_absmax) +
          std::fabs(scales.nested_offset);
      detail::check_scales_finite(who, "the greatest scale that these can say, which", {&greatest, 1});
    } else {
      detail::check_count(who, "absmax", scales.absmax.size(), blocks);
      detail::check_scales_finite(who, "absmax", scales.absmax);
    }
  }

  four_bit_type type() const noexcept { return type_; }
  index_t d_out() const noexcept { return d_out_; }
  index_t d_in() const noexcept { return d_in_; }
  /// Elements from row to row, more than d_in in a part of another weight's columns.
  index_t stride() const noexcept { return stride_; }
  index_t blocksize() const noexcept { return scales_.blocksize; }
  storage order() const noexcept { return storage::out_by_in; }
  std::span<const std::uint8_t> codes() const noexcept { return codes_; }
  const four_bit_scales& scales() const& noexcept { return scales_; }
  four_bit_scales scales() && noexcept { return scales_; }

  /// Bytes of codes and scales, the nested table included.
  std::size_t bytes() const noexcept {
    return codes_.size() + scales_.absmax_codes.size() +
           sizeof(float) * (scales_.absmax.size() + scales_.nested_absmax.size() + scales_.nested_table.size());
  }

  /// Requires a part inside: see rows_of (part.hpp). Errors: quantization_error.
  four_bit_view part(const weight_part& p) const {
    four_bit_view made = *this;
    made.d_out_ = p.rows.size();
    made.d_in_ = p.columns.size();
    const index_t first = p.rows.begin * stride_ + p.columns.begin;
    const index_t elements = (made.d_out_ - 1) * stride_ + made.d_in_;
    const index_t together = scales_.blocksize * (scales_.nested() ? detail::nested_blocksize : 1);
    if (first % together != 0) {
      throw quantization_error(detail::message(
          {"sbora::four_bit_view: a part that begins with row ", p.rows.begin, ", column ", p.columns.begin,
           " begins within the ", together, " elements that share a scale; begin at a multiple of ",
           together / std::gcd(together, stride_),
           " rows, or dequantize the weight (sbora::dequantize) and take a part of that"}));
    }
    const auto some = [](auto span, index_t begin, index_t count) {
      return decltype(span)(span.data() + begin, static_cast<std::size_t>(count));
    };
    const index_t block = first / scales_.blocksize, blocks = detail::ceil_div(elements, scales_.blocksize);
    made.codes_ = some(codes_, first / 2, detail::ceil_div(elements, 2));
    if (scales_.nested()) {
      made.scales_.absmax_codes = some(scales_.absmax_codes, block, blocks);
      made.scales_.nested_absmax = some(scales_.nested_absmax, block / detail::nested_blocksize,
                                        detail::ceil_div(blocks, detail::nested_blocksize));
    } else {
      made.scales_.absmax = some(scales_.absmax, block, blocks);
    }
    return made;
  }

  detail::four_bit_source source() const noexcept {
    int shift = 5;
    while ((index_t{1} << shift) < scales_.blocksize) ++shift;
    return {codes_.data(),
            detail::codebook_of(type_).value.data(),
            stride_,
            shift,
            scales_.nested() ? scales_.nested_absmax.data() : scales_.absmax.data(),
            scales_.nested() ? scales_.absmax_codes.data() : nullptr,
            scales_.nested_table.data(),
            scales_.nested_offset};
  }

 private:
  four_bit_type type_;
  std::span<const std::uint8_t> codes_;
  index_t d_out_;
  index_t d_in_;
  index_t stride_;
  four_bit_scales scales_;
};

}  // namespace sbora::inline SBORA_ABI
