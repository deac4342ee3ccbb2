#pragma once

#include <array>
#include <bit>

#include <sbora/weights/four_bit_view.hpp>

namespace sbora::inline SBORA_ABI {

/// What one scale of an fp8 weight is for.
enum class fp8_scaling {
  tensor,    ///< all of it: one scale
  row,       ///< an output: d_out scales
  block_128  ///< 128 × 128: ⌈d_out/128⌉ × ⌈d_in/128⌉ scales, row-major; the last ones may be for less
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// The floats of E4M3 codes (float8_e4m3fn): sign, 4 bits of exponent with bias 7, 3 of mantissa; no infinity, and
/// S.1111.111 is NaN.
inline constexpr std::array<float, 256> e4m3_values = [] {
  std::array<float, 256> values{};
  for (std::uint32_t code = 0; code < 256; ++code) {
    const std::uint32_t sign = code >> 7 << 31, exponent = code >> 3 & 15U, mantissa = code & 7U;
    if (exponent == 0) values[code] = (sign != 0 ? -0x1p-9F : 0x1p-9F) * static_cast<float>(mantissa);
    else values[code] = std::bit_cast<float>(sign | (exponent + 127 - 7) << 23 | mantissa << 20);
    if ((code & 0x7FU) == 0x7FU) values[code] = std::bit_cast<float>(sign | 0x7FF00000U);  // PyTorch's
  }
  return values;
}();

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// A frozen d_out × d_in weight of 8-bit floats (E4M3, torch.float8_e4m3fn) with scales, in memory that somebody else
/// owns.
///
/// Effect      element (o, i) is float(codes[o·d_in + i])·scale of (o, i), rounded once to float.
/// Requires    as many codes and scales as shape and scaling say, finite scales: checked at construction. A code of NaN
///             is a weight of NaN.
/// Lifetime    keeps pointers; the memory has to outlive the view.
/// Cost        no copy, no allocation; construction reads the scales once.
/// Thread      a value; its memory is only read.
/// Errors      quantization_error, shape_error.
/// Source      FP8 Formats for Deep Learning, arXiv 2209.05433; blocks as in DeepSeek-V3, arXiv 2412.19437.
class fp8_view {
 public:
  using storage_scalar = detail::fp8;
  using compute_scalar = float;
  static constexpr bool writable = false;

  fp8_view(lasting_span<std::uint8_t> codes, lasting_span<float> scales, index_t d_out, index_t d_in,
           fp8_scaling scaling)
      : codes_(codes),
        scales_(scales),
        d_out_(d_out),
        d_in_(d_in),
        stride_(d_in),
        scale_stride_(scaling == fp8_scaling::block_128 ? detail::ceil_div(d_in, block) : 1),
        scaling_(scaling) {
    constexpr const char* who = "sbora::fp8_view";
    detail::check_count(who, "codes", codes.size(), detail::checked_element_count(who, d_out, d_in));
    const index_t rows = scaling == fp8_scaling::block_128 ? detail::ceil_div(d_out, block) : d_out;
    detail::check_count(who, "scales", scales.size(), scaling == fp8_scaling::tensor ? 1 : rows * scale_stride_);
    detail::check_scales_finite(who, "scales", scales);
  }

  index_t d_out() const noexcept { return d_out_; }
  index_t d_in() const noexcept { return d_in_; }
  storage order() const noexcept { return storage::out_by_in; }
  /// Elements from row to row, more than d_in in a part of another weight's columns.
  index_t stride() const noexcept { return stride_; }
  std::span<const std::uint8_t> codes() const noexcept { return codes_; }
  std::span<const float> scales() const noexcept { return scales_; }
  fp8_scaling scaling() const noexcept { return scaling_; }
  std::size_t bytes() const noexcept {
    return static_cast<std::size_t>(d_out_ * d_in_) + sizeof(float) * scales_.size();
  }

  /// Requires a part inside: see rows_of (part.hpp). Errors: quantization_error.
  fp8_view part(const weight_part& p) const {
    fp8_view made = *this;
    made.d_out_ = p.rows.size();
    made.d_in_ = p.columns.size();
    made.codes_ = codes_.subspan(static_cast<std::size_t>(p.rows.begin * stride_ + p.columns.begin),
                                 static_cast<std::size_t>((made.d_out_ - 1) * stride_ + made.d_in_));
    if (scaling_ == fp8_scaling::row) {
      made.scales_ = scales_.subspan(static_cast<std::size_t>(p.rows.begin), static_cast<std::size_t>(made.d_out_));
    } else if (scaling_ == fp8_scaling::block_128) {
      if (p.rows.begin % block != 0 || p.columns.begin % block != 0) {
        throw quantization_error(detail::message(
            {"sbora::fp8_view: a part that begins with row ", p.rows.begin, ", column ", p.columns.begin,
             " begins within a block of 128 x 128, whose scales are shared; begin at multiples of "
             "128, or dequantize the weight (sbora::dequantize) and take a part of that"}));
      }
      const index_t rows = detail::ceil_div(made.d_out_, block), columns = detail::ceil_div(made.d_in_, block);
      made.scales_ =
          scales_.subspan(static_cast<std::size_t>(p.rows.begin / block * scale_stride_ + p.columns.begin / block),
                          static_cast<std::size_t>((rows - 1) * scale_stride_ + columns));
    }
    return made;
  }

  detail::fp8_source source() const noexcept {
    constexpr int all = 62, one = 0, seven = 7;  // log2 of what shares a scale
    const int lines = scaling_ == fp8_scaling::tensor ? all : scaling_ == fp8_scaling::row ? one : seven;
    return {.data = codes_.data(),
            .stride = stride_,
            .table = detail::e4m3_values.data(),
            .scale = scales_.data(),
            .scale_stride = scale_stride_,
            .line_shift = lines,
            .at_shift = scaling_ == fp8_scaling::block_128 ? seven : all};
  }

 private:
  static constexpr index_t block = 128;

  std::span<const std::uint8_t> codes_;
  std::span<const float> scales_;
  index_t d_out_;
  index_t d_in_;
  index_t stride_;
  index_t scale_stride_;
  fp8_scaling scaling_;
};

}  // namespace sbora::inline SBORA_ABI
