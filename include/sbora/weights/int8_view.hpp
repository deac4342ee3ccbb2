#pragma once

#include <sbora/weights/four_bit_view.hpp>

namespace sbora::inline SBORA_ABI {

/// A frozen d_out × d_in weight in LLM.int8's row-wise codes, in memory that somebody else owns.
///
/// Effect      element (o, i) is (codes[o·d_in + i]·absmax[o])·(1/127), rounded after each product; absmax is
///             what checkpoints call SCB.
/// Requires    as many codes and scales as the shape says, finite scales: checked at construction.
/// Lifetime    keeps pointers; the memory has to outlive the view.
/// Cost        no copy, no allocation; construction reads the scales once.
/// Thread      a value; its memory is only read.
/// Errors      quantization_error, shape_error.
/// Source      bitsandbytes, int8_vectorwise_dequant; LLM.int8, arXiv 2208.07339.
class int8_view {
 public:
  using storage_scalar = detail::int8;
  using compute_scalar = float;
  static constexpr bool writable = false;

  int8_view(lasting_span<std::int8_t> codes, lasting_span<float> absmax, index_t d_out, index_t d_in)
      : codes_(codes), absmax_(absmax), d_out_(d_out), d_in_(d_in), stride_(d_in) {
    constexpr const char* who = "sbora::int8_view";
    detail::check_count(who, "codes", codes.size(), detail::checked_element_count(who, d_out, d_in));
    detail::check_count(who, "absmax", absmax.size(), d_out);
    detail::check_scales_finite(who, "absmax", absmax);
  }

  index_t d_out() const noexcept { return d_out_; }
  index_t d_in() const noexcept { return d_in_; }
  storage order() const noexcept { return storage::out_by_in; }
  /// Elements from row to row, more than d_in in a part of another weight's columns.
  index_t stride() const noexcept { return stride_; }
  std::span<const std::int8_t> codes() const noexcept { return codes_; }
  std::span<const float> absmax() const noexcept { return absmax_; }
  std::size_t bytes() const noexcept {
    return static_cast<std::size_t>(d_out_ * d_in_) + sizeof(float) * absmax_.size();
  }

  /// Requires a part inside: see rows_of (part.hpp).
  int8_view part(const weight_part& p) const noexcept {
    int8_view made = *this;
    made.d_out_ = p.rows.size();
    made.d_in_ = p.columns.size();
    made.codes_ = codes_.subspan(static_cast<std::size_t>(p.rows.begin * stride_ + p.columns.begin),
                                 static_cast<std::size_t>((made.d_out_ - 1) * stride_ + made.d_in_));
    made.absmax_ = absmax_.subspan(static_cast<std::size_t>(p.rows.begin), static_cast<std::size_t>(made.d_out_));
    return made;
  }

  detail::int8_source source() const noexcept { return {codes_.data(), stride_, absmax_.data()}; }

 private:
  std::span<const std::int8_t> codes_;
  std::span<const float> absmax_;
  index_t d_out_;
  index_t d_in_;
  index_t stride_;
};

}  // namespace sbora::inline SBORA_ABI
