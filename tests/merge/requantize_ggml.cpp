// Merges into ggml's blocks: touched elements get the nearest codes, all else stays, and errors are what is reported.

#include <sbora/adapters/adapter.hpp>
#include <sbora/merge/export_merged.hpp>
#include <sbora/merge/requantize_ggml.hpp>
#include <sbora/regions/sample.hpp>

#include "support/catch.hpp"
#include "support/ggml_blocks.hpp"
#include "support/matrices.hpp"

using namespace sbora_tests;
using sbora::ggml_type;
using sbora::ggml_view;
using sbora::index_t;
using sbora::detail::ggml_block;

namespace {

constexpr index_t rows = 5, width = 768;

struct blocks_problem {
  explicit blocks_problem(ggml_type type_) : type(type_), layout(sbora::detail::layout_of(type_)) {
    random_values random(3);
    blocks.resize(static_cast<std::size_t>(rows * width / layout.elements * layout.bytes));
    fill_ggml(type, blocks.data(), rows * width / layout.elements, random);
  }
  ggml_view view() const { return {std::span(blocks), type, rows, width}; }
  static std::vector<float> values_of(const ggml_view& view) {
    std::vector<float> values(rows * width);
    dequantize(view, sbora::weight_view<float>(values.data(), rows, width));
    return values;
  }
  /// W + ΔW.
  std::vector<float> sums(const sbora::weight_delta<float>& delta) const {
    std::vector<float> values(rows * width);
    export_merged(view(), std::span(&delta, 1), sbora::weight_view<float>(values.data(), rows, width));
    return values;
  }
  /// The merge, in this problem's own bytes.
  sbora::ggml_merge_report merge(const sbora::weight_delta<float>& delta) {
    std::vector<std::uint8_t> merged(blocks.size());
    sbora::detail::ggml_merge_sums sums;
    const sbora::detail::merged_row what(std::span(&delta, 1));
    REQUIRE(merge_ggml_rows(view(), what, {0, 2}, merged.data(), {}, sums) < 0);
    const auto second = static_cast<std::size_t>(2 * view().stride());
    REQUIRE(merge_ggml_rows(view(), what, {2, rows}, merged.data() + second, {}, sums) < 0);
    blocks = std::move(merged);
    return sums.report(rows * width / layout.elements);
  }

  ggml_type type;
  const sbora::detail::ggml_layout& layout;
  std::vector<std::uint8_t> blocks;
};

sbora::fa_adapter<float> adapter(float size) {
  sbora::fa_adapter<float> made(rows, width, sbora::sample_region(width, 9, 5), {.alpha = 9});
  fill_random(made.parameters(), 7);
  for (float& number : made.parameters()) number *= size;
  return made;
}

}  // namespace

TEST_CASE("codes that are written are codes that are read, by every type") {
  for (const ggml_type type : all_ggml_types) {
    blocks_problem p(type);
    random_values random(9);
    const index_t elements = p.layout.elements, group = ggml_block::group_size(type);
    ggml_block block(type, p.blocks.data());
    for (index_t i = 0; i < elements; ++i) {
      const int count = ggml_block::greatest(type) - ggml_block::least(type) + 1;
      const int code = ggml_block::least(type) + random.bits<std::uint8_t>() % count;
      block.set_code(i, code);
      const float wanted = ggml_block::value(type, block.of_group(i / group), code);
      INFO(sbora::to_string(type) << ", element " << i);
      REQUIRE(blocks_problem::values_of(p.view())[static_cast<std::size_t>(i)] == wanted);
      const int nearest = block.nearest(block.of_group(i / group), wanted);  // of two zeros any
      REQUIRE(ggml_block::value(type, block.of_group(i / group), nearest) == wanted);
    }
  }
}

TEST_CASE("a small update moves touched elements to the nearest codes, and no others") {
  for (const ggml_type type : all_ggml_types) {
    INFO(sbora::to_string(type));
    blocks_problem p(type);
    const std::vector<float> before = blocks_problem::values_of(p.view());
    const auto fa = adapter(1e-3F);
    const auto delta = fa.delta();
    const std::vector<float> wanted = p.sums(delta);
    std::vector<std::uint8_t> old = p.blocks;
    index_t kept = 0;
    const auto report = p.merge(delta);
    const std::vector<float> after = blocks_problem::values_of(p.view());
    CHECK(report.all_blocks == rows * width / p.layout.elements);
    CHECK(report.blocks > 0);
    double worst = 0;
    const index_t elements = p.layout.elements, group = ggml_block::group_size(type);
    for (index_t begin = 0; begin < rows * width; begin += elements) {
      // Where a group's scale is all but 0, even a small update needs another one.
      ggml_block block(type, old.data() + begin / elements * p.layout.bytes);
      bool has_room = true;
      for (index_t i = 0; i < elements; ++i) {
        const float sum = wanted[static_cast<std::size_t>(begin + i)];
        if (fa.target().contains((begin + i) % width)) has_room &= block.holds(block.of_group(i / group), sum);
      }
      kept += has_room ? 1 : 0;
      for (index_t i = begin; i < begin + elements; ++i) {
        const auto at = static_cast<std::size_t>(i);
        worst = std::max(worst, std::abs(static_cast<double>(after[at]) - static_cast<double>(wanted[at])));
        if (!has_room) continue;
        if (!fa.target().contains(i % width)) REQUIRE(after[at] == before[at]);
        // The nearest: no further away than the code that was there.
        REQUIRE(std::abs(after[at] - wanted[at]) <= std::abs(before[at] - wanted[at]));
      }
    }
    CHECK(4 * kept > report.all_blocks);
    CHECK(report.max_error == worst);
  }
}

TEST_CASE("an update beyond a block's range changes its scales, and is there afterwards") {
  for (const ggml_type type : all_ggml_types) {
    INFO(sbora::to_string(type));
    blocks_problem p(type);
    const auto fa = adapter(100);
    const auto delta = fa.delta();
    const std::vector<float> wanted = p.sums(delta), before = blocks_problem::values_of(p.view());
    const auto report = p.merge(delta);
    const std::vector<float> after = blocks_problem::values_of(p.view());
    CHECK(report.mean_update > 0.1);
    CHECK(report.mean_error < report.mean_update / 2);
    // Within a step of the block's range: those of 4 bits have 15 (E2M1 a third of its greatest at most); where a block
    // has several groups, their scales and minima have 63 steps besides.
    const double steps = type == ggml_type::mxfp4 ? 3 : 7;
    const index_t elements = p.layout.elements;
    for (index_t begin = 0; begin < rows * width; begin += elements) {
      const auto [low, high] = std::minmax_element(wanted.begin() + begin, wanted.begin() + begin + elements);
      const double range = std::max(0.0F, *high) - std::min(0.0F, *low);
      for (index_t i = begin; i < begin + elements; ++i) {
        const auto at = static_cast<std::size_t>(i);
        if (after[at] == before[at]) continue;
        REQUIRE(static_cast<double>(std::abs(after[at] - wanted[at])) <= range / steps);
      }
    }
  }
}

TEST_CASE("sums and scales that aren't finite are found, by row and column") {
  blocks_problem p(ggml_type::q4_0);
  auto fa = adapter(1);
  fa.parameters()[9 * 3] = 1e30F;
  const auto delta = fa.delta();
  const sbora::detail::merged_row what(std::span(&delta, 1));
  sbora::detail::ggml_merge_sums sums;
  std::vector<std::uint8_t> merged(p.blocks.size());
  const index_t fault = merge_ggml_rows(p.view(), what, {0, rows}, merged.data(), {}, sums);
  CHECK(fault / width == 3);
}
