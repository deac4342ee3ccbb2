#pragma once

#include <sbora/kernels/ggml_types.hpp>
#include <sbora/weights/four_bit_view.hpp>

namespace sbora::inline SBORA_ABI {

/// A frozen d_out × d_in weight in the blocks of one of ggml's types, in memory that somebody else owns: Q4_0, Q4_1,
/// Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, IQ4_NL or MXFP4.
///
/// Effect      an element is its block's scale times its code, less the block's minimum where the type has them, each
///             rounded once to float: gguf-py's bits. A scale that isn't finite makes weights that aren't.
/// Requires    whole blocks in each row, and as many bytes as type and shape say: checked at construction.
/// Lifetime    keeps a pointer; the memory has to outlive the view.
/// Cost        no copy, no allocation; construction reads nothing.
/// Thread      a value; its memory is only read.
/// Errors      quantization_error, shape_error.
/// Source      ggml's ggml-common.h; gguf-py's quants.py.
class ggml_view {
 public:
  using storage_scalar = detail::ggml;
  using compute_scalar = float;
  static constexpr bool writable = false;

  ggml_view(lasting_span<std::uint8_t> blocks, ggml_type type, index_t d_out, index_t d_in)
      : blocks_(blocks), type_(type), d_out_(d_out), d_in_(d_in) {
    constexpr const char* who = "sbora::ggml_view";
    detail::checked_element_count(who, d_out, d_in);
    if (!can_be_read(type)) {
      const char* const name = to_string(type);
      throw quantization_error(
          detail::message({who, ": type ", (name != nullptr ? name : "without a name"),
                           ", expected Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, IQ4_NL or MXFP4; quantise "
                           "the model to one of those, or to F16"}));
    }
    const detail::ggml_layout& layout = detail::layout_of(type);
    if (d_in % layout.elements != 0) {
      throw quantization_error(
          detail::message({who, ": rows of ", d_in, " elements, ", layout.name, " has blocks of ", layout.elements}));
    }
    stride_ = d_in / layout.elements * layout.bytes;
    detail::check_count(who, "blocks", blocks.size(), detail::require_product(who, {d_out, stride_}));
  }

  static constexpr bool can_be_read(ggml_type type) noexcept {
    using enum ggml_type;
    for (const ggml_type each : {q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k, iq4_nl, mxfp4}) {
      if (type == each) return true;
    }
    return false;
  }

  index_t d_out() const noexcept { return d_out_; }
  index_t d_in() const noexcept { return d_in_; }
  storage order() const noexcept { return storage::out_by_in; }
  ggml_type type() const noexcept { return type_; }
  /// Bytes from row to row, more than d_in takes in a part of another weight's columns.
  index_t stride() const noexcept { return stride_; }
  std::span<const std::uint8_t> blocks() const noexcept { return blocks_; }
  std::size_t bytes() const noexcept {
    const detail::ggml_layout& layout = detail::layout_of(type_);
    return static_cast<std::size_t>(d_out_ * detail::ceil_div(d_in_, layout.elements) * layout.bytes);
  }

  /// Requires a part inside: see rows_of (part.hpp). Errors: quantization_error.
  ggml_view part(const weight_part& p) const {
    const detail::ggml_layout& layout = detail::layout_of(type_);
    if (p.columns.begin % layout.elements != 0) {
      throw quantization_error(
          detail::message({"sbora::ggml_view: a part that begins with column ", p.columns.begin,
                           " begins within a block of ", layout.elements,
                           "; begin at a multiple of that, or dequantize the weight (sbora::dequantize) and take a "
                           "part of that"}));
    }
    ggml_view made = *this;
    made.d_out_ = p.rows.size();
    made.d_in_ = p.columns.size();
    const index_t first = p.rows.begin * stride_ + p.columns.begin / layout.elements * layout.bytes;
    const index_t row = detail::ceil_div(made.d_in_, layout.elements) * layout.bytes;
    made.blocks_ =
        blocks_.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>((made.d_out_ - 1) * stride_ + row));
    return made;
  }

  detail::ggml_source source() const noexcept { return {blocks_.data(), stride_, type_}; }

 private:
  std::span<const std::uint8_t> blocks_;
  ggml_type type_;
  index_t d_out_;
  index_t d_in_;
  index_t stride_ = 0;
};

}  // namespace sbora::inline SBORA_ABI
