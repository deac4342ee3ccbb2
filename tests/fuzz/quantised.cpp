// Sizes, blocksizes, scales and counts of quantised weights: refused by an sbora::error, or decoded within
// their memory to the products that the formats define.

#include <bit>
#include <cmath>
#include <cstdlib>
#include <vector>

#include <Eigen/Core>
#include <fuzzer/FuzzedDataProvider.h>

#include <sbora/merge/export_merged.hpp>
#include <sbora/quantized.hpp>
#include <sbora/weights/fp8_view.hpp>
#include <sbora/weights/ggml_view.hpp>
#include <sbora/weights/row_reader.hpp>

namespace {

using sbora::index_t;

void require(bool holds) {
  if (!holds) std::abort();
}

bool same(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

/// Of its own memory, so that a byte too far is seen; zeros where the input ends.
template <class T>
std::vector<T> numbers(FuzzedDataProvider& input, index_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  if (count > 0) input.ConsumeData(values.data(), values.size() * sizeof(T));
  return values;
}

/// Nearly always `right`.
index_t count_near(FuzzedDataProvider& input, index_t right) {
  const int choice = input.ConsumeIntegral<std::uint8_t>();
  const index_t wrong = right + (choice == 1 ? 1 : choice == 2 ? -1 : choice == 3 ? -right : 0);
  return wrong < 0 ? 0 : wrong;
}

index_t any_size(FuzzedDataProvider& input, index_t usual) {
  return input.ConsumeIntegral<std::uint8_t>() == 1 ? input.ConsumeIntegral<index_t>()
                                                    : input.ConsumeIntegralInRange<index_t>(0, usual);
}

/// Sizes whose memory a test can have; the others have no memory behind them.
index_t elements_of(index_t d_out, index_t d_in) {
  return d_out >= 0 && d_out <= 64 && d_in >= 0 && d_in <= 256 ? d_out * d_in : 0;
}

template <class View, class Value>
void check_decoding(const View& view, Value&& value_of) {
  std::vector<float> values(static_cast<std::size_t>(view.d_out() * view.d_in()));
  sbora::dequantize(view, sbora::weight_view<float>(values.data(), view.d_out(), view.d_in()));
  for (index_t e = 0; e < static_cast<index_t>(values.size()); ++e) {
    require(same(values[static_cast<std::size_t>(e)], value_of(static_cast<std::size_t>(e))));
  }
  std::vector<Eigen::bfloat16> rounded(values.size());
  sbora::dequantize(view, sbora::weight_view<Eigen::bfloat16>(rounded.data(), view.d_out(), view.d_in()));
}

void four_bit(FuzzedDataProvider& input) {
  const bool nested = input.ConsumeBool();
  const auto type = input.ConsumeBool() ? sbora::four_bit_type::nf4 : sbora::four_bit_type::fp4;
  const index_t d_out = any_size(input, 8), d_in = any_size(input, 80);
  const index_t blocksize = input.ConsumeIntegral<std::uint8_t>() == 1
                                ? input.ConsumeIntegral<index_t>()
                                : index_t{32} << input.ConsumeIntegralInRange<int>(0, 7);
  const index_t elements = elements_of(d_out, d_in);
  const index_t blocks = blocksize > 0 ? elements / blocksize + (elements % blocksize != 0) : 1;
  sbora::four_bit_scales scales = {blocksize};
  const auto absmax = numbers<float>(input, nested ? count_near(input, 0) : count_near(input, blocks));
  const auto absmax_codes = numbers<std::uint8_t>(input, nested ? count_near(input, blocks) : 0);
  const auto nested_absmax = numbers<float>(input, nested ? count_near(input, (blocks + 255) / 256) : 0);
  std::vector<float> table(static_cast<std::size_t>(nested ? count_near(input, 256) : 0));
  const float step = numbers<float>(input, 1)[0];
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = step * (static_cast<float>(i) - 128.0F);
  scales.absmax = absmax;
  scales.absmax_codes = absmax_codes;
  scales.nested_absmax = nested_absmax;
  scales.nested_table = table;
  scales.nested_offset = nested ? numbers<float>(input, 1)[0] : 0.0F;
  const auto codes = numbers<std::uint8_t>(input, count_near(input, (elements + 1) / 2));

  const sbora::four_bit_view view(type, codes, d_out, d_in, scales);
  const auto& book = sbora::detail::codebook_of(type).value;
  check_decoding(view, [&](std::size_t e) {
    const auto block = e / static_cast<std::size_t>(blocksize);
    const unsigned code = e % 2 == 0 ? codes[e / 2] >> 4U : codes[e / 2] & 15U;
    if (!scales.nested()) return book[code] * absmax[block];
    const float product = table[absmax_codes[block]] * nested_absmax[block / 256];
    return book[code] * (product + scales.nested_offset);
  });
}

void int8(FuzzedDataProvider& input) {
  const index_t d_out = any_size(input, 8), d_in = any_size(input, 80);
  const auto absmax = numbers<float>(input, count_near(input, elements_of(d_out, 1)));
  const auto codes = numbers<std::int8_t>(input, count_near(input, elements_of(d_out, d_in)));
  const sbora::int8_view view(codes, absmax, d_out, d_in);
  check_decoding(view, [&](std::size_t e) {
    const float product = static_cast<float>(codes[e]) * absmax[e / static_cast<std::size_t>(d_in)];
    return product * 7.874015718698502e-3F;
  });
}

void fp8(FuzzedDataProvider& input) {
  using enum sbora::fp8_scaling;
  const auto scaling = input.PickValueInArray({tensor, row, block_128});
  const index_t d_out = any_size(input, 8), d_in = any_size(input, 160);
  const index_t across = d_in > 0 && d_in <= 256 ? (d_in + 127) / 128 : 1;
  const index_t right = scaling == tensor ? 1 : scaling == row ? elements_of(d_out, 1) : across;  // up to 128 rows
  const auto scales = numbers<float>(input, count_near(input, right));
  const auto codes = numbers<std::uint8_t>(input, count_near(input, elements_of(d_out, d_in)));
  const sbora::fp8_view view(codes, scales, d_out, d_in, scaling);
  check_decoding(view, [&](std::size_t e) {
    const auto row_of = e / static_cast<std::size_t>(d_in), at = e % static_cast<std::size_t>(d_in);
    const float value = sbora::detail::e4m3_values[codes[e]];
    return value * scales[scaling == tensor ? 0 : scaling == row ? row_of : at / 128];
  });
}

/// Any part of a row is that of the whole row, whose last block ends with its memory.
void ggml(FuzzedDataProvider& input) {
  const auto type = static_cast<sbora::ggml_type>(input.ConsumeIntegralInRange<std::uint32_t>(0, 45));
  const index_t d_out = any_size(input, 4), groups = any_size(input, 16);
  const index_t d_in = groups >= 0 && groups <= 16 ? groups * (input.ConsumeBool() ? 32 : 256) : groups;
  const bool is_known = sbora::to_string(type) != nullptr && elements_of(d_out, d_in / 16) > 0;
  const auto layout = is_known ? sbora::detail::layout_of(type) : sbora::detail::ggml_layout{"", 1, 1};
  const auto blocks =
      numbers<std::uint8_t>(input, count_near(input, is_known ? d_out * (d_in / layout.elements) * layout.bytes : 0));
  const sbora::ggml_view view(blocks, type, d_out, d_in);
  std::vector<float> whole(static_cast<std::size_t>(d_in));
  const sbora::detail::row_reader<sbora::ggml_view> reader(view);
  reader.read(d_out - 1, 0, d_in, whole.data());
  const index_t begin = input.ConsumeIntegralInRange<index_t>(0, d_in - 1);
  const index_t end = input.ConsumeIntegralInRange<index_t>(begin + 1, d_in);
  std::vector<float> part(static_cast<std::size_t>(end - begin));
  reader.read(d_out - 1, begin, end, part.data());
  for (index_t k = begin; k < end; ++k) {
    require(same(part[static_cast<std::size_t>(k - begin)], whole[static_cast<std::size_t>(k)]));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  try {
    input.PickValueInArray({&four_bit, &int8, &fp8, &ggml})(input);
  } catch (const sbora::error&) {
  }
  return 0;
}
