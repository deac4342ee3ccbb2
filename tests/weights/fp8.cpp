// fp8 weights: PyTorch's values of all codes, whose scale is whose, and what is refused.

#include <sbora/merge/export_merged.hpp>
#include <sbora/weights/fp8_view.hpp>

#include <bit>
#include <limits>

#include "support/fp8_codes.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::fp8_scaling;
using sbora::fp8_view;
using sbora::quantization_error;

namespace {

/// The bits of torch.arange(128, dtype=uint8).view(float8_e4m3fn).float(), PyTorch 2.13; codes from 128 on have the
/// sign besides.
constexpr std::uint32_t torch_bits[128] = {
    0x00000000, 0x3B000000, 0x3B800000, 0x3BC00000, 0x3C000000, 0x3C200000, 0x3C400000, 0x3C600000, 0x3C800000,
    0x3C900000, 0x3CA00000, 0x3CB00000, 0x3CC00000, 0x3CD00000, 0x3CE00000, 0x3CF00000, 0x3D000000, 0x3D100000,
    0x3D200000, 0x3D300000, 0x3D400000, 0x3D500000, 0x3D600000, 0x3D700000, 0x3D800000, 0x3D900000, 0x3DA00000,
    0x3DB00000, 0x3DC00000, 0x3DD00000, 0x3DE00000, 0x3DF00000, 0x3E000000, 0x3E100000, 0x3E200000, 0x3E300000,
    0x3E400000, 0x3E500000, 0x3E600000, 0x3E700000, 0x3E800000, 0x3E900000, 0x3EA00000, 0x3EB00000, 0x3EC00000,
    0x3ED00000, 0x3EE00000, 0x3EF00000, 0x3F000000, 0x3F100000, 0x3F200000, 0x3F300000, 0x3F400000, 0x3F500000,
    0x3F600000, 0x3F700000, 0x3F800000, 0x3F900000, 0x3FA00000, 0x3FB00000, 0x3FC00000, 0x3FD00000, 0x3FE00000,
    0x3FF00000, 0x40000000, 0x40100000, 0x40200000, 0x40300000, 0x40400000, 0x40500000, 0x40600000, 0x40700000,
    0x40800000, 0x40900000, 0x40A00000, 0x40B00000, 0x40C00000, 0x40D00000, 0x40E00000, 0x40F00000, 0x41000000,
    0x41100000, 0x41200000, 0x41300000, 0x41400000, 0x41500000, 0x41600000, 0x41700000, 0x41800000, 0x41900000,
    0x41A00000, 0x41B00000, 0x41C00000, 0x41D00000, 0x41E00000, 0x41F00000, 0x42000000, 0x42100000, 0x42200000,
    0x42300000, 0x42400000, 0x42500000, 0x42600000, 0x42700000, 0x42800000, 0x42900000, 0x42A00000, 0x42B00000,
    0x42C00000, 0x42D00000, 0x42E00000, 0x42F00000, 0x43000000, 0x43100000, 0x43200000, 0x43300000, 0x43400000,
    0x43500000, 0x43600000, 0x43700000, 0x43800000, 0x43900000, 0x43A00000, 0x43B00000, 0x43C00000, 0x43D00000,
    0x43E00000, 0x7FF00000};

std::vector<float> values_of(const fp8_view& view) {
  std::vector<float> values(static_cast<std::size_t>(view.d_out() * view.d_in()));
  sbora::dequantize(view, sbora::weight_view<float>(values.data(), view.d_out(), view.d_in()));
  return values;
}

}  // namespace

TEST_CASE("every E4M3 code has the bits of PyTorch's float8_e4m3fn") {
  std::vector<std::uint8_t> codes(256);
  for (std::size_t i = 0; i < 256; ++i) codes[i] = static_cast<std::uint8_t>(i);
  const std::vector<float> one = {1.0F};
  // In one row, whole vectors; in rows of 5, parts of them.
  for (const index_t d_in : {256, 5}) {
    const std::span<const std::uint8_t> some = std::span(codes).first(static_cast<std::size_t>(256 / d_in * d_in));
    const std::vector<float> values = values_of({some, one, 256 / d_in, d_in, fp8_scaling::tensor});
    for (std::size_t i = 0; i < values.size(); ++i) {
      CAPTURE(i);
      CHECK(std::bit_cast<std::uint32_t>(values[i]) == (torch_bits[i % 128] | (i >= 128 ? 0x80000000U : 0U)));
      if (i % 128 != 127) CHECK(values[i] == e4m3_value(static_cast<std::uint8_t>(i)));
    }
  }
}

TEST_CASE("fp8 values are code times scale, whoever shares the scale") {
  for (const fp8_scaling scaling : all_fp8_scalings) {
    for (const auto& [d_out, d_in] : {std::pair{1, 1}, {3, 130}, {130, 3}, {128, 128}, {257, 260}, {129, 384}}) {
      CAPTURE(static_cast<int>(scaling), d_out, d_in);
      const fp8_codes weight(d_out, d_in, scaling, 7);
      const std::vector<float> values = values_of(weight.view());
      bool same = true;
      for (index_t row = 0; row < d_out; ++row) {
        for (index_t at = 0; at < d_in; ++at) {
          same &= std::bit_cast<std::uint32_t>(values[static_cast<std::size_t>(row * d_in + at)]) ==
                  std::bit_cast<std::uint32_t>(weight.value(row, at));
        }
      }
      CHECK(same);
      CHECK(weight.view().bytes() == weight.codes.size() + 4 * weight.scales.size());
    }
  }
}

TEST_CASE("fp8 weights of the wrong size, and scales that aren't finite, are refused") {
  const std::vector<std::uint8_t> codes(12);
  std::vector<float> scales(3, 1.0F);
  const auto make = [&](index_t d_out, index_t d_in, std::size_t count, fp8_scaling scaling) {
    return fp8_view(codes, std::span(scales).first(count), d_out, d_in, scaling);
  };
  CHECK(make(3, 4, 1, fp8_scaling::tensor).scales().size() == 1);
  CHECK(make(3, 4, 1, fp8_scaling::block_128).scales().size() == 1);
  CHECK(make(3, 4, 3, fp8_scaling::row).bytes() == 24);
  CHECK_ERROR(quantization_error, "sbora::fp8_view: codes has 12 elements, expected 15",
              make(3, 5, 3, fp8_scaling::row));
  CHECK_ERROR(quantization_error, "scales has 3 elements, expected 4", make(4, 3, 3, fp8_scaling::row));
  CHECK_ERROR(quantization_error, "scales has 3 elements, expected 1", make(4, 3, 3, fp8_scaling::tensor));
  CHECK_ERROR(quantization_error, "scales has 2 elements, expected 1", make(4, 3, 2, fp8_scaling::block_128));
  CHECK_ERROR(sbora::shape_error, "a weight of 0 x 4", make(0, 4, 1, fp8_scaling::tensor));
  CHECK_ERROR(sbora::shape_error, "their product must fit",
              make(index_t{1} << 40, index_t{1} << 40, 1, fp8_scaling::block_128));
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    scales[2] = bad;
    CHECK_ERROR(quantization_error, "scales[2] = ", make(3, 4, 3, fp8_scaling::row));
  }
}
