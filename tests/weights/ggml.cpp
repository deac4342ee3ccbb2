// Weights in ggml's blocks: values by the definition whatever part of a row is read, parts, and what is refused.

#include <limits>

#include <sbora/merge/export_merged.hpp>
#include <sbora/weights/row_reader.hpp>

#include "support/ggml_blocks.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::ggml_type;
using sbora::ggml_view;
using sbora::quantization_error;

namespace {

std::vector<float> values_of(const ggml_view& view) {
  std::vector<float> values(static_cast<std::size_t>(view.d_out() * view.d_in()));
  sbora::dequantize(view, sbora::weight_view<float>(values.data(), view.d_out(), view.d_in()));
  return values;
}

std::vector<float> expected_of(const ggml_blocks& of, index_t row, index_t begin, index_t end) {
  std::vector<float> values;
  for (index_t at = begin; at < end; ++at) values.push_back(of.value(row, at));
  return values;
}

}  // namespace

TEST_CASE("values are those of ggml's definitions, whatever part of a row is read") {
  for (const ggml_type type : all_ggml_types) {
    CAPTURE(sbora::to_string(type));
    const ggml_blocks blocks(3, 768, type, 5);
    const ggml_view view = blocks.view();
    CHECK(view.bytes() == blocks.blocks.size());
    const std::vector<float> all = values_of(view);
    const sbora::detail::row_reader<ggml_view> reader(view);
    bool same = true;
    for (index_t row = 0; row < 3; ++row) {
      same = same && same_bits(std::span<const float>(all).subspan(static_cast<std::size_t>(row * 768), 768),
                               std::span<const float>(expected_of(blocks, row, 0, 768)));
    }
    CHECK(same);
    for (const auto& [begin, end] : {std::pair<index_t, index_t>{0, 1}, {767, 768}, {31, 33}, {5, 300}, {250, 260}}) {
      std::vector<float> part(static_cast<std::size_t>(end - begin));
      reader.read(2, begin, end, part.data());
      CHECK(same_bits(std::span<const float>(part), std::span<const float>(expected_of(blocks, 2, begin, end))));
    }
  }
}

TEST_CASE("blocks of zeros are zeros, and a scale of infinity isn't hidden") {
  for (const ggml_type type : all_ggml_types) {
    CAPTURE(sbora::to_string(type));
    ggml_blocks blocks(1, 256, type, 5);
    std::ranges::fill(blocks.blocks, std::uint8_t{0});
    for (const float value : values_of(blocks.view())) CHECK(value == 0);
  }
  ggml_blocks blocks(1, 32, ggml_type::q8_0, 5);
  blocks.blocks[1] = 0x7C;
  blocks.blocks[0] = 0;
  blocks.blocks[2] = 1;
  CHECK(values_of(blocks.view())[0] == std::numeric_limits<float>::infinity());
}

TEST_CASE("parts of weights in blocks begin with one") {
  for (const ggml_type type : all_ggml_types) {
    CAPTURE(sbora::to_string(type));
    const ggml_blocks blocks(5, 1024, type, 6);
    const ggml_view part = blocks.view().part({{1, 4}, {512, 1000}});
    CHECK((part.d_out() == 3 && part.d_in() == 488));
    const std::vector<float> values = values_of(part);
    const std::vector<float> expected = expected_of(blocks, 3, 512, 1000);
    CHECK(same_bits(std::span<const float>(values).subspan(2 * 488), std::span<const float>(expected)));
    CHECK(values_of(part.part({{0, 1}, {256, 488}})) == expected_of(blocks, 1, 768, 1000));
    CHECK_ERROR(quantization_error, "begins within a block of", blocks.view().part({{0, 1}, {16, 1024}}));
  }
}

TEST_CASE("what isn't whole blocks of a type that can be read is refused") {
  const std::vector<std::uint8_t> bytes(4 * 144);
  CHECK(ggml_view(bytes, ggml_type::q4_k, 2, 512).stride() == 288);
  CHECK_ERROR(quantization_error, "blocks has 576 elements, expected 864", ggml_view(bytes, ggml_type::q4_k, 3, 512));
  CHECK_ERROR(quantization_error, "rows of 320 elements, Q4_K has blocks of 256",
              ggml_view(bytes, ggml_type::q4_k, 2, 320));
  CHECK_ERROR(quantization_error, "type Q2_K, expected Q4_0", ggml_view(bytes, ggml_type::q2_k, 1, 256));
  CHECK_ERROR(quantization_error, "type F32, expected Q4_0", ggml_view(bytes, ggml_type::f32, 1, 144));
  CHECK_ERROR(quantization_error, "without a name", ggml_view(bytes, static_cast<ggml_type>(4), 1, 32));
  CHECK_ERROR(sbora::shape_error, "a weight of 0 x 256", ggml_view(bytes, ggml_type::q4_k, 0, 256));
}
