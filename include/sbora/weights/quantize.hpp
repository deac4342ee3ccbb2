#pragma once

#include <cstring>

#include <sbora/core/executor.hpp>
#include <sbora/core/finite.hpp>
#include <sbora/simd/opaque.hpp>
#include <sbora/weights/int8_view.hpp>
#include <sbora/weights/nested_scales.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI {

struct four_bit_options {
  four_bit_type type = four_bit_type::nf4;
  index_t blocksize = 64;  ///< 32, 64, ... 4096
  bool nested = false;     ///< quantise the scales too ("double quantisation")
  /// What nested scales are relative to; their mean, by default.
  std::optional<float> nested_offset = std::nullopt;
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Elements that one task quantises: whole blocks of any size.
inline constexpr index_t quantise_task = 65536;

/// Of what is quantised.
template <class Source>
constexpr misuse misuse_of_source() {
  if constexpr (is_weight_view<Source>) return misuse_of_weight<Source>();
  else return eigen_dense<Source> || frozen_weight<Source> ? misuse::weight : misuse::quantise_call;
}

template <class Source, class... Rest>
inline constexpr misuse misuse_of_int8 =
    misuse_of_source<Source>() != misuse::none ? misuse_of_source<Source>()
                                               : misuse_of_rest<Rest...>(misuse::quantise_call);

/// But for the executor.
template <class Source, class... Rest>
inline constexpr misuse misuse_of_four_bit = misuse::quantise_call;
template <class Source>
inline constexpr misuse misuse_of_four_bit<Source> = misuse_of_source<Source>();
template <class Source, class Options, class... Rest>
  requires(std::is_convertible_v<Options, four_bit_options> && sizeof...(Rest) <= 1)
inline constexpr misuse misuse_of_four_bit<Source, Options, Rest...> = misuse_of_source<Source>();

/// The first element of all tasks' that isn't finite, as an exception.
inline void throw_first_not_finite(const char* who, const std::vector<index_t>& first, index_t d_in) {
  for (const index_t element : first) {
    if (element < 0) continue;
    throw not_finite_error(
        message({who, ": row ", element / d_in, ", column ", element % d_in, " of the weight isn't finite"}),
        element / d_in, element % d_in);
  }
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// A weight quantised to 4 bits, owning its codes and scales.
///
/// Effect      codes and scales of `source`, flattened by rows whatever its order, as bitsandbytes' CPU path has
///             them bit for bit: blocks scaled by 1/absmax (the last one, where it isn't full, divided by absmax);
///             a value on the boundary of two codes gets the lower. Nested scales as its CPU library rounds
///             them, given the same offset.
/// Shapes      any d_out × d_in; neither needs to be a multiple of blocksize.
/// Requires    a supported blocksize, finite elements: checked.
/// Cost        two passes over the source in tasks of 65536 elements; 0.5 bytes an element for codes and 4 (nested:
///             1.02) a block for scales, the only allocations.
/// Numerics    independent of executor and instruction set.
/// Thread      the executor's; afterwards a value.
/// Errors      quantization_error; not_finite_error with row and column of the first such element.
/// Source      bitsandbytes backends/default/ops.py quantize_4bit, csrc/cpu_ops.cpp; QLoRA, arXiv 2305.14314.
class four_bit_weight {
 public:
  template <class Scalar, class Executor = serial_executor>
    requires(detail::misuse_of_four_bit<weight_view<Scalar>> == detail::misuse::none)
  explicit four_bit_weight(const weight_view<Scalar>& source, const four_bit_options& options = {},
                           Executor&& pool = Executor{})
      : type_(options.type), d_out_(source.d_out()), d_in_(source.d_in()), blocksize_(options.blocksize) {
    constexpr auto found = detail::misuse_of_rest<Executor>(detail::misuse::quantise_call);
#include <sbora/core/misuse.inl>
    if constexpr (found == misuse::none) quantise(source, options, pool);
  }

  /// Any other arguments don't compile, and this says why.
  template <class Source, class... Rest>
    requires(!std::is_same_v<std::remove_cvref_t<Source>, four_bit_weight> &&
             detail::misuse_of_four_bit<std::remove_cvref_t<Source>, Rest...> != detail::misuse::none)
  explicit four_bit_weight(Source&&, Rest&&...) {
    constexpr auto found = detail::misuse_of_four_bit<std::remove_cvref_t<Source>, Rest...>;
#include <sbora/core/misuse.inl>
  }

  four_bit_type type() const noexcept { return type_; }
  index_t d_out() const noexcept { return d_out_; }
  index_t d_in() const noexcept { return d_in_; }
  index_t blocksize() const noexcept { return blocksize_; }

  /// What layers take. Lifetime: this object's, where it is; of a temporary it doesn't compile.
  four_bit_view view() const&& = delete;  // would dangle: name the weight
  four_bit_view view() const& {
    four_bit_scales scales = {blocksize_, absmax_};
    if (!nested_.codes.empty()) {
      scales.absmax_codes = nested_.codes;
      scales.nested_absmax = nested_.absmax;
      scales.nested_table = detail::signed_dynamic_map;
      scales.nested_offset = nested_.offset;
    }
    return {type_, codes_, d_out_, d_in_, scales};
  }

  /// Quantises one block anew, from as many values as it has. Plain scales: as at construction. Nested: the
  /// block's scale is rounded to what its 256 neighbours' absmax can say, and the codes are those for that
  /// scale. Cost: the block. Errors: not_finite_error, and the block is as it was; shape_error.
  void requantize_block(index_t block, std::span<const float> block_values) {
    const bool exists = !codes_.empty() && block >= 0 && block < detail::ceil_div(d_out_ * d_in_, blocksize_);
    const index_t begin = exists ? block * blocksize_ : 0;
    const index_t count = std::min(blocksize_, d_out_ * d_in_ - begin);
    if (!exists || static_cast<index_t>(block_values.size()) != count) {
      throw shape_error(detail::message(
          {"sbora::four_bit_weight: block ", block, " doesn't have ", block_values.size(), " elements"}));
    }
    float values[4096];
    std::copy(block_values.begin(), block_values.end(), values);
    const index_t fault =
        nested_.codes.empty() ? quantise_block(block, values, count) : requantise_nested(block, values, count);
    if (fault < 0) return;
    const index_t element = begin + fault;
    throw not_finite_error(detail::message({"sbora::four_bit_weight: row ", element / d_in_, ", column ",
                                            element % d_in_, " isn't finite"}),
                           element / d_in_, element % d_in_);
  }

 private:
  template <class Scalar>
  void quantise(const weight_view<Scalar>& source, const four_bit_options& options, any_executor pool) {
    constexpr const char* who = "sbora::four_bit_weight";
    detail::check_blocksize(who, blocksize_);
    if (options.nested_offset) detail::check_scales_finite(who, "nested_offset", {&*options.nested_offset, 1});
    const index_t elements = d_out_ * d_in_;
    codes_.resize(static_cast<std::size_t>(detail::ceil_div(elements, 2)));
    absmax_.resize(static_cast<std::size_t>(detail::ceil_div(elements, blocksize_)));
    const detail::row_reader<weight_view<Scalar>> reader(source);
    const index_t tasks = detail::ceil_div(elements, detail::quantise_task);
    std::vector<index_t> faults(static_cast<std::size_t>(tasks), -1);
    pool.parallel_for(tasks, [&](index_t task) {
      const index_t begin = task * detail::quantise_task;
      const index_t end = std::min(elements, begin + detail::quantise_task);
      for (index_t at = begin; at < end && faults[static_cast<std::size_t>(task)] < 0; at += blocksize_) {
        float values[4096];
        const index_t count = std::min(blocksize_, end - at);
        reader.read_flat(at, count, values);
        const index_t fault = quantise_block(at / blocksize_, values, count);
        if (fault >= 0) faults[static_cast<std::size_t>(task)] = at + fault;
      }
    });
    detail::throw_first_not_finite(who, faults, d_in_);
    if (options.nested) {
      nested_ = detail::nest(absmax_, options.nested_offset);
      absmax_ = {};
    }
  }

  /// values: with room for a multiple of 16. Returns the first that isn't finite, or -1.
  index_t quantise_block(index_t block, float* values, index_t count) {
    float* const scale = &absmax_[static_cast<std::size_t>(block)];
    return to_codes(block, values, count, count < blocksize_, scale);
  }

  index_t to_codes(index_t block, float* values, index_t count, bool ragged, float* scale) {
    const detail::four_bit_codebook& book = detail::codebook_of(type_);
    for (index_t i = count; i % 16 != 0; ++i) values[i] = 0;
    std::uint8_t bytes[4096 / 2];
    float found = 0;
    const index_t fault = detail::get_kernels<detail::quantise_kernels<float>>().four_bit(
        {values, count, book.boundary.data(), book.code.data(), ragged, bytes, &found});
    if (fault >= 0) return fault;
    *scale = found;
    std::memcpy(&codes_[static_cast<std::size_t>(block * blocksize_ / 2)], bytes,
                static_cast<std::size_t>(detail::ceil_div(count, 2)));
    return -1;
  }

  index_t requantise_nested(index_t block, float* values, index_t count) {
    float greatest = 0;
    for (index_t i = 0; i < count; ++i) {
      if (!detail::is_finite(values[i])) return i;
      greatest = std::max(greatest, std::fabs(values[i]));
    }
    const auto at = static_cast<std::size_t>(block);
    const float unit = nested_.absmax[at / detail::nested_blocksize];
    const float wanted = unit > 0 ? (greatest - nested_.offset) / unit : 0.0F;
    nested_.codes[at] = detail::nearest_by_steps(detail::midpoints_of(detail::signed_dynamic_map), wanted);
    const float scale = detail::opaque(detail::signed_dynamic_map[nested_.codes[at]] * unit) + nested_.offset;
    const detail::four_bit_codebook& book = detail::codebook_of(type_);
    std::uint8_t* const bytes = &codes_[static_cast<std::size_t>(block * blocksize_ / 2)];
    for (index_t i = 0; i < count; ++i) {
      const float scaled = scale != 0 ? values[i] / scale : 0.0F;
      const auto below = std::lower_bound(book.boundary.begin(), book.boundary.end(), scaled);
      const unsigned code = book.code[static_cast<std::size_t>(below - book.boundary.begin())];
      std::uint8_t& byte = bytes[i / 2];
      byte = static_cast<std::uint8_t>(i % 2 != 0 ? (byte & 0xF0U) | code : (byte & 0x0FU) | code << 4);
    }
    return -1;
  }

  four_bit_type type_;
  index_t d_out_;
  index_t d_in_;
  index_t blocksize_;
  detail::aligned_vector<std::uint8_t> codes_;
  detail::aligned_vector<float> absmax_;
  detail::nested_scales nested_;
};

/// A weight quantised to LLM.int8's row-wise codes, owning them.
///
/// Effect      rows rounded to half first, then to nearest even multiples of max|row| / 127; a zero row has
///             codes 0 and absmax 0.
/// Cost        two passes over the source in tasks of rows; 1 byte an element and 4 a row, the only allocations.
/// Numerics    independent of executor and instruction set.
/// Errors      not_finite_error with row and column of the first element that isn't, as a half.
/// Source      bitsandbytes backends/default/ops.py int8_vectorwise_quant; LLM.int8, arXiv 2208.07339.
class int8_weight {
 public:
  template <class Scalar, class Executor = serial_executor>
    requires(detail::misuse_of_int8<weight_view<Scalar>, Executor> == detail::misuse::none)
  explicit int8_weight(const weight_view<Scalar>& source, Executor&& pool = Executor{})
      : d_out_(source.d_out()),
        d_in_(source.d_in()),
        codes_(static_cast<std::size_t>(d_out_ * d_in_)),
        absmax_(static_cast<std::size_t>(d_out_)) {
    const detail::row_reader<weight_view<Scalar>> reader(source);
    const index_t rows = std::max<index_t>(1, detail::quantise_task / d_in_);
    std::vector<index_t> faults(static_cast<std::size_t>(detail::ceil_div(d_out_, rows)), -1);
    detail::for_ranges(d_out_, rows, pool, [&](index_t begin, index_t end) {
      for (index_t row = begin; row < end; ++row) {
        const index_t fault = quantise_row(reader, row);
        if (fault < 0) continue;
        faults[static_cast<std::size_t>(begin / rows)] = row * d_in_ + fault;
        return;
      }
    });
    detail::throw_first_not_finite("sbora::int8_weight", faults, d_in_);
  }

  /// Any other arguments don't compile, and this says why.
  template <class Source, class... Rest>
    requires(!std::is_same_v<std::remove_cvref_t<Source>, int8_weight> &&
             detail::misuse_of_int8<std::remove_cvref_t<Source>, Rest...> != detail::misuse::none)
  explicit int8_weight(Source&&, Rest&&...) {
    constexpr auto found = detail::misuse_of_int8<std::remove_cvref_t<Source>, Rest...>;
#include <sbora/core/misuse.inl>
  }

  index_t d_out() const noexcept { return d_out_; }
  index_t d_in() const noexcept { return d_in_; }
  /// What layers take. Lifetime: this object's, where it is; of a temporary it doesn't compile.
  int8_view view() const&& = delete;  // would dangle: name the weight
  int8_view view() const& { return {codes_, absmax_, d_out_, d_in_}; }

 private:
  template <class Reader>
  index_t quantise_row(const Reader& reader, index_t row) {
    constexpr index_t piece = 1024;
    const detail::conversion_kernels<float>& kernels = detail::get_kernels<detail::conversion_kernels<float>>();
    float values[piece];
    f16 halves[piece];
    const auto read = [&](index_t begin) {
      const index_t count = std::min(piece, d_in_ - begin);
      reader.read(row, begin, begin + count, values);
      kernels.narrow_f16(values, halves, count);
      kernels.widen_f16(halves, values, count);
      return count;
    };
    float greatest = 0;
    for (index_t begin = 0; begin < d_in_; begin += piece) {
      const index_t count = read(begin);
      for (index_t k = 0; k < count; ++k) {
        if (!detail::is_finite(values[k])) return begin + k;
        greatest = std::max(greatest, std::fabs(values[k]));
      }
    }
    absmax_[static_cast<std::size_t>(row)] = greatest;
    if (greatest == 0) return -1;
    const float scale = 1.0F / greatest * 127.0F;  // as PyTorch divides a number by a tensor
    std::int8_t* const codes = &codes_[static_cast<std::size_t>(row * d_in_)];
    for (index_t begin = 0; begin < d_in_; begin += piece) {
      const index_t count = read(begin);
      for (index_t k = 0; k < count; ++k) {
        // Adding 1.5·2^23 leaves no bits for a fraction: to nearest even, whatever the instruction set.
        const float rounded = detail::opaque(detail::opaque(values[k] * scale) + 12582912.0F) - 12582912.0F;
        codes[begin + k] = static_cast<std::int8_t>(rounded);
      }
    }
    return -1;
  }

  index_t d_out_;
  index_t d_in_;
  detail::aligned_vector<std::int8_t> codes_;
  detail::aligned_vector<float> absmax_;
};

}  // namespace sbora::inline SBORA_ABI
