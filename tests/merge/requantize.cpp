// Merging into the codes: only touched blocks change, and by no more than is reported.

#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

struct problem {
  index_t d_out = 24, d_in = 200;  // blocks of 64 straddle rows
  padded_matrix<float> weight{d_out, d_in};
  sbora::four_bit_weight codes;

  explicit problem(const sbora::four_bit_options& options)
      : codes(sbora::weight_view<float>(weight.randomise(3).data(), d_out, d_in), options) {}

  std::vector<float> values() const {
    std::vector<float> all(static_cast<std::size_t>(d_out * d_in));
    sbora::dequantize(codes.view(), sbora::weight_view<float>(all.data(), d_out, d_in));
    return all;
  }
};

template <class Adapter>
void check(const sbora::four_bit_options& options, sbora::region region, index_t blocks) {
  problem p(options);
  Adapter adapter(p.d_out, p.d_in, std::move(region), {.alpha = 1});
  fill_random(adapter.parameters(), 9);
  const std::vector<float> before = p.values();
  std::vector<float> wanted(before.size());
  const std::array deltas = {adapter.delta()};
  sbora::export_merged(p.codes.view(), deltas, sbora::weight_view<float>(wanted.data(), p.d_out, p.d_in));

  const sbora::requantize_report report = sbora::merge_requantized(p.codes, adapter);
  CHECK(report.all_blocks == (p.d_out * p.d_in + options.blocksize - 1) / options.blocksize);
  CHECK(report.blocks == blocks);
  const std::vector<float> after = p.values();
  double worst = 0;
  index_t touched = 0;
  for (index_t begin = 0; begin < p.d_out * p.d_in; begin += options.blocksize) {
    const index_t end = std::min(p.d_out * p.d_in, begin + options.blocksize);
    bool changed = false;
    for (index_t i = begin; i < end; ++i)
      changed |= wanted[static_cast<std::size_t>(i)] != before[static_cast<std::size_t>(i)];
    touched += changed;
    for (index_t i = begin; i < end; ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (!changed && after[at] != before[at]) FAIL("element " << i << " of an untouched block changed");
      worst = std::max(worst, std::abs(static_cast<double>(after[at]) - static_cast<double>(wanted[at])));
    }
  }
  CHECK(touched == blocks);
  CHECK(report.max_error == worst);
  CHECK(report.mean_error > 0);
  CHECK(report.mean_error <= report.max_error);
  // Half the widest gap of the codes, times the greatest absmax: 0.152 (0.167 for fp4); nested scales are off
  // by up to 2 % of their range.
  CHECK(report.max_error < (options.nested ? 0.5 : 0.17) * 2);
}

}  // namespace

TEST_CASE("merging into codes quantises the touched blocks anew") {
  using fa = sbora::fa_adapter<float>;
  using fb = sbora::fb_adapter<float>;
  for (const bool nested : {false, true}) {
    const sbora::four_bit_options options = {.blocksize = 64, .nested = nested};
    check<fb>(options, sbora::region(24, {3}), 4);  // elements 600 to 799: blocks 9 to 12
    check<fa>({.type = sbora::four_bit_type::fp4, .blocksize = 32, .nested = nested}, sbora::region(200, {7}), 24);
  }
}

TEST_CASE("regions of whole blocks keep the number of touched blocks small") {
  padded_matrix<float> weight(16, 256);
  weight.randomise(1);
  const auto blocks = [&](const sbora::region& region) {
    sbora::four_bit_weight codes(sbora::weight_view<float>(weight.data(), 16, 256));
    sbora::fa_adapter<float> adapter(16, 256, region);
    fill_random(adapter.parameters(), 2);
    return sbora::merge_requantized(codes, adapter).blocks;
  };
  CHECK(blocks(sbora::sample_block_region(256, 64, 64, 1)) == 16);  // one of four in every row
  CHECK(blocks(sbora::sample_region(256, 64, 1)) == 64);            // all of them
}

TEST_CASE("a merge into a part has the codes of a merge of the same numbers into the whole") {
  using index_range = sbora::index_range;
  for (const bool nested : {false, true}) {
    for (const sbora::weight_part& part :
         {sbora::weight_part{{5, 17}, {0, 200}}, {{0, 24}, {30, 91}}, {{3, 9}, {101, 200}}}) {
      const index_t rows = part.rows.size(), columns = part.columns.size();
      CAPTURE(nested, part.rows.begin, part.columns.begin);
      problem whole({.nested = nested}), of_part({.nested = nested});
      sbora::fa_adapter<float> fa(rows, columns, sbora::sample_region(columns, 5, 1), {.alpha = 3});
      sbora::fb_adapter<float> fb(rows, columns, sbora::sample_region(rows, 3, 2), {.alpha = 2});
      fill_random(fa.parameters(), 3);
      fill_random(fb.parameters(), 4);
      // FA's columns and FB's rows of the whole, with zeros outside of the part.
      const auto shifted = [](const sbora::region& region, index_t dim, index_range by) {
        return sbora::shifted_region(region, by.begin, dim);
      };
      sbora::fa_adapter<float> whole_fa(24, 200, shifted(fa.target(), 200, part.columns), {.alpha = 3});
      sbora::fb_adapter<float> whole_fb(24, 200, shifted(fb.target(), 24, part.rows), {.alpha = 2});
      for (index_t o = 0; o < rows; ++o) whole_fa.matrix().row(part.rows.begin + o) = fa.matrix().row(o);
      for (index_t i = 0; i < columns; ++i) whole_fb.matrix().col(part.columns.begin + i) = fb.matrix().col(i);
      const std::array deltas = {fa.delta(), fb.delta()}, whole_deltas = {whole_fa.delta(), whole_fb.delta()};
      const auto report = sbora::merge_requantized(of_part.codes, part, deltas);
      const auto expected = sbora::merge_requantized(whole.codes, whole_deltas);
      CHECK(of_part.values() == whole.values());
      CHECK(of_part.values() != problem({.nested = nested}).values());
      CHECK(report.blocks <= expected.blocks);  // the whole's touches elements beside the part, by nothing
      CHECK(report.all_blocks == expected.all_blocks);
    }
  }
  problem p({});
  const sbora::fa_adapter<float> adapter(4, 10, sbora::region(10, {1}));
  const std::array deltas = {adapter.delta()};
  CHECK_ERROR(sbora::shape_error, "rows 22 to 26, expected some of 0 to 24",
              sbora::merge_requantized(p.codes, {{22, 26}, {0, 10}}, deltas));
  CHECK_ERROR(sbora::shape_error, "4 x 10, the weight is 4 x 9",
              sbora::merge_requantized(p.codes, sbora::weight_part{{0, 4}, {0, 9}}, deltas));
  CHECK(p.values() == problem({}).values());
}

TEST_CASE("a merge into codes that would not be finite changes nothing") {
  problem p({});
  const std::vector<float> before = p.values();
  sbora::fa_adapter<float> adapter(p.d_out, p.d_in, sbora::region(p.d_in, {11, 4}));
  adapter.matrix()(5, 1) = std::numeric_limits<float>::infinity();
  CHECK_ERROR(sbora::not_finite_error, "row 5, column 4", sbora::merge_requantized(p.codes, adapter));
  CHECK(p.values() == before);
  const sbora::fa_adapter<float> other(2, 2, sbora::region(2, {1}));
  CHECK_ERROR(sbora::shape_error, "2 x 2", sbora::merge_requantized(p.codes, other));
}
