// 4-bit, int8, fp8 and ggml sources at every level: decoding, quantising, and products that read the codes.

#include <array>
#include <string>
#include <vector>

#include <sbora/weights/dynamic_map.hpp>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/fp8_codes.hpp"
#include "support/ggml_blocks.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"
#include "support/running_error.hpp"

using namespace sbora_tests;
using sbora::isa;
using sbora::detail::four_bit;
using sbora::detail::fp8;
using sbora::detail::ggml;
using sbora::detail::int8;

namespace {

constexpr std::uint64_t seed = 131;

/// A quantised matrix between pages that may not be touched, and its values by the definition.
template <class Storage>
struct quantised_case;

template <>
struct quantised_case<four_bit> {
  index_t lines, length;
  int block_shift;
  guarded_buffer<std::uint8_t> codes;
  guarded_buffer<float> absmax;
  guarded_buffer<std::uint8_t> absmax_codes;
  bool nested;
  float offset = 0.5F;

  quantised_case(index_t lines_, index_t length_, guard side, random_values& random)
      : lines(lines_),
        length(length_),
        block_shift(5 + static_cast<int>(random.below(8))),
        codes((lines * length + 1) / 2, side),
        absmax(blocks(), side),
        absmax_codes(blocks(), side),
        nested(random.coin()) {
    for (index_t i = 0; i < codes.size(); ++i) codes[i] = random.bits<std::uint8_t>();
    for (index_t i = 0; i < blocks(); ++i) {
      absmax[i] = random.uniform<float>() + 1.5F;
      absmax_codes[i] = random.bits<std::uint8_t>();
    }
  }

  index_t blocks() const { return ((lines * length - 1) >> block_shift) + 1; }
  sbora::detail::four_bit_source source() const {
    return {codes.data(),
            sbora::detail::nf4_codebook.value.data(),
            length,
            block_shift,
            absmax.data(),
            nested ? absmax_codes.data() : nullptr,
            sbora::detail::signed_dynamic_map.data(),
            offset};
  }
  float value(index_t line, index_t at) const {
    const index_t e = line * length + at, block = e >> block_shift;
    const int code = e % 2 == 0 ? codes[e / 2] >> 4 : codes[e / 2] & 15;
    volatile float scale = absmax[block];
    if (nested) {
      scale = sbora::detail::signed_dynamic_map[absmax_codes[block]] * absmax[block / 256];
      scale = scale + offset;
    }
    return sbora::detail::nf4_codebook.value[static_cast<std::size_t>(code)] * scale;
  }
};

template <>
struct quantised_case<int8> {
  index_t lines, length;
  guarded_buffer<std::int8_t> codes;
  guarded_buffer<float> absmax;

  quantised_case(index_t lines_, index_t length_, guard side, random_values& random)
      : lines(lines_), length(length_), codes(lines * length, side), absmax(lines, side) {
    for (index_t i = 0; i < codes.size(); ++i) codes[i] = random.bits<std::int8_t>();
    for (index_t i = 0; i < lines; ++i) absmax[i] = random.uniform<float>() + 1.5F;
  }

  sbora::detail::int8_source source() const { return {codes.data(), length, absmax.data()}; }
  float value(index_t line, index_t at) const {
    volatile float scaled = static_cast<float>(codes[line * length + at]) * absmax[line];
    return scaled * 7.874015718698502e-3F;
  }
};

/// Blocks of 1 to 64 lines and 8 to 256 elements.
template <>
struct quantised_case<fp8> {
  index_t lines, length;
  int line_shift, at_shift;
  guarded_buffer<std::uint8_t> codes;
  guarded_buffer<float> scale;

  quantised_case(index_t lines_, index_t length_, guard side, random_values& random)
      : lines(lines_),
        length(length_),
        line_shift(static_cast<int>(random.below(7))),
        at_shift(3 + static_cast<int>(random.below(6))),
        codes(lines * length, side),
        scale((((lines - 1) >> line_shift) + 1) * scale_stride(), side) {
    for (index_t i = 0; i < codes.size(); ++i) codes[i] = e4m3_number(random);
    for (index_t i = 0; i < scale.size(); ++i) scale[i] = random.uniform<float>() + 1.5F;
  }

  index_t scale_stride() const { return ((length - 1) >> at_shift) + 1; }
  sbora::detail::fp8_source source() const {
    return {codes.data(), length,  sbora::detail::e4m3_values.data(), scale.data(), scale_stride(),
            line_shift,   at_shift};
  }
  float value(index_t line, index_t at) const {
    return e4m3_value(codes[line * length + at]) * scale[(line >> line_shift) * scale_stride() + (at >> at_shift)];
  }
};

/// Of the next type each time; lines end within a block.
template <>
struct quantised_case<ggml> {
  index_t lines, length;
  sbora::ggml_type type;
  index_t stride;
  guarded_buffer<std::uint8_t> blocks;

  quantised_case(index_t lines_, index_t length_, guard side, random_values& random)
      : lines(lines_),
        length(length_),
        type(all_ggml_types[random.below(std::ssize(all_ggml_types))]),
        stride(blocks_of_line() * sbora::detail::layout_of(type).bytes),
        blocks(lines * stride, side) {
    fill_ggml(type, blocks.data(), lines * blocks_of_line(), random);
  }

  index_t blocks_of_line() const { return (length - 1) / sbora::detail::layout_of(type).elements + 1; }
  sbora::detail::ggml_source source() const { return {blocks.data(), stride, type}; }
  float value(index_t line, index_t at) const { return ggml_value(type, blocks.data() + line * stride, at); }
};

template <class Storage>
std::string text(isa level, const quantised_case<Storage>& c) {
  return std::string(sbora::to_string(level)) + ", " + std::to_string(c.lines) + " lines of " +
         std::to_string(c.length) + ", seed " + std::to_string(seed);
}

/// The values, dense, as the right operand of the same product.
template <class Storage>
std::vector<float> dense(const quantised_case<Storage>& c) {
  std::vector<float> values;
  for (index_t line = 0; line < c.lines; ++line) {
    for (index_t at = 0; at < c.length; ++at) values.push_back(c.value(line, at));
  }
  return values;
}

}  // namespace

TEMPLATE_TEST_CASE("decoding gives the values of the codes", "[kernels]", four_bit, int8, fp8, ggml) {
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for (const index_t length : {1, 2, 7, 16, 31, 32, 63, 64, 130, 257}) {
    const quantised_case<TestType> c(1 + random.below(5), length, random.coin() ? guard::front : guard::back, random);
    INFO(text(level, c));
    const index_t begin = random.below(length), end = begin + 1 + random.below(length - begin);
    std::vector<index_t> lines(static_cast<std::size_t>(1 + random.below(6)));
    for (index_t& line : lines) line = random.below(c.lines);
    const guarded_buffer<float> out(static_cast<index_t>(lines.size()) * (end - begin), guard::back);
    sbora::detail::get_kernels<sbora::detail::decode_kernels<TestType>>(level).decode(
        {c.source(), lines.data(), static_cast<index_t>(lines.size()), begin, end, out.data(), end - begin});
    std::vector<float> expected;
    for (const index_t line : lines) {
      for (index_t at = begin; at < end; ++at) expected.push_back(c.value(line, at));
    }
    CHECK(differing_bits(out, expected) == "");
  }
}

TEMPLATE_TEST_CASE("products of codes have the bits of products of their values", "[kernels]", four_bit, int8, fp8,
                   ggml) {
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed + 1);
  const auto& packing = sbora::detail::get_kernels<sbora::detail::packing_kernels<float>>(level);
  const auto& dense_kernels = sbora::detail::get_kernels<sbora::detail::product_kernels<float>>(level);
  const auto& kernels = sbora::detail::get_kernels<sbora::detail::product_kernels<TestType>>(level);
  for (const bool along : {false, true}) {
    for (const index_t depth :
         {index_t{1}, index_t{19}, index_t{96}, index_t{130}, index_t{256 + 64}, index_t{4096 + 96}}) {
      for (const index_t columns :
           {index_t{1}, packing.tile_columns, 4 * packing.tile_columns + 32 + 5, index_t{517}}) {
        if (depth > 4096 && columns > packing.tile_columns) continue;  // takes long
        for (const index_t rows : {index_t{1}, packing.tile_rows + 2}) {
          const guard side = random.coin() ? guard::front : guard::back;
          const quantised_case<TestType> c(along ? columns : depth, along ? depth : columns, side, random);
          const std::vector<float> values = dense(c);
          INFO(text(level, c) << ", " << rows << " rows");
          const guarded_buffer<float> left(rows * depth, side);
          for (index_t i = 0; i < left.size(); ++i) left[i] = random.uniform<float>();
          const index_t strips = (rows + packing.tile_rows - 1) / packing.tile_rows;
          std::vector<float> packed(static_cast<std::size_t>(strips * packing.tile_rows * depth));
          packing.pack({left.data(), depth, 1, nullptr, rows, depth, along, packed.data(), 0, strips});

          std::vector<float> expected(static_cast<std::size_t>(rows * columns));
          dense_kernels.product({packed.data(),
                                 rows,
                                 depth,
                                 {values.data(), c.length},
                                 along,
                                 expected.data(),
                                 columns,
                                 0.5F,
                                 nullptr,
                                 false,
                                 nullptr,
                                 0,
                                 0,
                                 strips,
                                 0,
                                 columns});
          const guarded_buffer<float> out(rows * columns, side);
          kernels.product({packed.data(), rows, depth, c.source(), along, out.data(), columns, 0.5F, nullptr, false,
                           nullptr, 0, 0, strips, 0, columns});
          CHECK(differing_bits(out, expected) == "");

          dense_kernels.stream({left.data(),
                                depth,
                                rows,
                                depth,
                                {values.data(), c.length},
                                along,
                                expected.data(),
                                columns,
                                0.5F,
                                nullptr,
                                false,
                                0,
                                columns});
          kernels.stream({left.data(), depth, rows, depth, c.source(), along, out.data(), columns, 0.5F, nullptr, false,
                          0, columns});
          CHECK(differing_bits(out, expected) == "");
        }
      }
    }
  }
}

TEST_CASE("quantising counts the boundaries below a value", "[kernels]") {
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed + 3);
  for (const auto* book : {&sbora::detail::nf4_codebook, &sbora::detail::fp4_codebook}) {
    for (const index_t count : {1, 2, 31, 32, 64, 77, 128}) {
      for (const bool ragged : {false, true}) {
        INFO(sbora::to_string(level) << ", " << count << " values");
        const index_t room = (count + 15) / 16 * 16;
        const guarded_buffer<float> values(room, guard::back);
        const guarded_buffer<std::uint8_t> codes(room / 2, guard::back);
        for (index_t i = 0; i < room; ++i) values[i] = i < count ? random.uniform<float>() : 0.0F;
        values[0] = 1.0F;  // so that values are what is compared
        for (index_t b = 0; b < 15 && b + 1 < count; ++b) {
          values[b + 1] = book->boundary[static_cast<std::size_t>(b)];  // knife edges
        }
        float absmax = 0;
        CHECK(sbora::detail::get_kernels<sbora::detail::quantise_kernels<float>>(level).four_bit(
                  {values.data(), count, book->boundary.data(), book->code.data(), ragged, codes.data(), &absmax}) ==
              -1);
        CHECK(absmax == 1.0F);
        for (index_t i = 0; i < (count + 1) / 2 * 2; ++i) {  // with what fills the last byte
          std::size_t below = 0;
          while (below < 15 && values[i] > book->boundary[below]) ++below;
          const int code = i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15;
          if (code != book->code[below]) FAIL("value " << values[i] << " has code " << code);
        }
        for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
          values[count - 1] = bad;
          CHECK(sbora::detail::get_kernels<sbora::detail::quantise_kernels<float>>(level).four_bit(
                    {values.data(), count, book->boundary.data(), book->code.data(), ragged, codes.data(), &absmax}) ==
                count - 1);
        }
      }
    }
  }
}

TEST_CASE("products of few tokens in groups of codes are the sums within their roundings", "[kernels]") {
  const isa level = GENERATE(from_range(tested_levels()));
  const auto* kernels = sbora::detail::find_kernels<sbora::detail::code_kernels<float>>(level);
  if (kernels == nullptr) return;
  random_values random(seed + 5);
  for (const index_t depth : {kernels->group, 3 * kernels->group}) {
    for (const index_t columns : {1, 4, 9}) {
      for (index_t tokens = 1; tokens <= 16; ++tokens) {
        const quantised_case<four_bit> c(columns, depth, guard::back, random);
        INFO(text(level, c) << ", " << tokens << " tokens, block shift " << c.block_shift);
        std::vector<float> left(static_cast<std::size_t>(tokens * depth));
        for (float& value : left) value = random.uniform<float>();
        std::vector<float> arranged = left;
        kernels->arrange(arranged.data(), tokens * depth);
        const guarded_buffer<float> out(tokens * columns, guard::back), bias(columns, guard::back);
        for (index_t n = 0; n < columns; ++n) bias[n] = random.uniform<float>();
        kernels->stream({arranged.data(), depth, tokens, depth, c.source(), true, out.data(), columns, 0.5F,
                         bias.data(), false, 0, columns});
        within_bounds results;
        for (index_t t = 0; t < tokens; ++t) {
          for (index_t n = 0; n < columns; ++n) {
            double sum = 0, magnitude = 0;
            for (index_t k = 0; k < depth; ++k) {
              const double term = static_cast<double>(left[static_cast<std::size_t>(t * depth + k)]) *
                                  static_cast<double>(c.value(n, k));
              sum += term;
              magnitude += std::fabs(term);
            }
            // A term: 8 additions in a group, its scale, one for every group, 4 of lanes, alpha, bias.
            const auto roundings = static_cast<long double>(8 + 2 + depth / kernels->group + 4 + 2);
            results.add(t, n, out[t * columns + n], static_cast<double>(bias[n]) + 0.5 * sum,
                        gamma_bound<float>(roundings) * (std::fabs(bias[n]) + magnitude));
          }
        }
        CHECK(results.failures() == "");
        CHECK(out.intact());
      }
    }
  }
}
