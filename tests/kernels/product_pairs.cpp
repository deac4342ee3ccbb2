// Products of bf16 by bf16 in pairs, at the levels that have them.

#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/region_case.hpp"
#include "support/running_error.hpp"

using namespace sbora_tests;
using sbora::bf16;
using sbora::isa;
using sbora::detail::bf16_pair;
using sbora::detail::pair_panel_depth;

namespace {

constexpr std::uint64_t seed = 113;

using pair_kernels = sbora::detail::pair_kernels<bf16>;

/// Levels that have some of their own; with SBORA_FORCE_ISA that one alone. An emulator of AVX-512 is told avx512.
std::vector<const pair_kernels*> levels_of_pairs() {
  std::vector<const pair_kernels*> levels;
  const std::vector<isa> tested = tested_levels();
  const auto is_tested = [&](isa level) { return std::find(tested.begin(), tested.end(), level) != tested.end(); };
  for (const isa level : sbora::all_levels) {
    if (!sbora::is_supported(level) || !(is_tested(level) || is_tested(isa::avx512))) continue;
    const pair_kernels* const found = sbora::detail::find_kernels<pair_kernels>(level);
    if (found != nullptr) levels.push_back(found);
  }
  if (levels.empty()) WARN("no pairs at this level here");
  return levels;
}

struct pair_case {
  const pair_kernels& kernels;
  index_t rows, depth, columns;
  bool depth_contiguous, left_transposed, indexed;
  guarded_matrix<bf16> left, rhs;
  guarded_buffer<index_t> row_index;
  guarded_buffer<bf16_pair> packed;
  guarded_matrix<float> out;
  guarded_buffer<float> bias;
  float alpha = 1;
  bool with_bias = false, accumulate = false;
  std::vector<sbora::detail::panel_update<float>> updates;

  static index_t rounded_up(index_t n, index_t multiple) { return (n + multiple - 1) / multiple * multiple; }
  index_t strips() const { return rounded_up(rows, kernels.tile_rows) / kernels.tile_rows; }

  pair_case(const pair_kernels& kernels_, index_t rows_, index_t depth_, index_t columns_, guard side,
            random_values& random)
      : kernels(kernels_),
        rows(rows_),
        depth(depth_),
        columns(columns_),
        depth_contiguous(random.coin()),
        left_transposed(random.coin()),
        indexed(random.coin()),
        left(left_transposed ? depth : rows, left_transposed ? rows : depth,
             (left_transposed ? rows : depth) + random.below(3), side),
        rhs(depth_contiguous ? columns : depth, depth_contiguous ? depth : columns,
            (depth_contiguous ? depth : columns) + random.below(3), side),
        row_index(rows, side),
        packed(rounded_up(rows, kernels.tile_rows) * rounded_up(depth, kernels.tile_depth) / 2, side),
        out(rows, columns, columns + random.below(3), side),
        bias(columns, side) {
    left.fill([&] { return stored_as<bf16>(random.uniform<float>()); });
    rhs.fill([&] { return stored_as<bf16>(random.uniform<float>()); });
    for (index_t i = 0; i < rows; ++i) row_index[i] = rows - 1 - i;
    for (index_t n = 0; n < columns; ++n) bias[n] = random.uniform<float>();
  }

  double left_at(index_t row, index_t k) const {
    const index_t r = indexed ? row_index[row] : row;
    return value_of(left_transposed ? left(k, r) : left(r, k));
  }
  bf16& right_at(index_t k, index_t n) const { return depth_contiguous ? rhs(n, k) : rhs(k, n); }

  void run() const {
    kernels.pack({left.data(), left_transposed ? 1 : left.stride(), left_transposed ? left.stride() : 1,
                  indexed ? row_index.data() : nullptr, rows, depth, depth_contiguous, packed.data(), 0, strips()});
    kernels.product({packed.data(),
                     rows,
                     depth,
                     {rhs.data(), rhs.stride()},
                     depth_contiguous,
                     out.data(),
                     out.stride(),
                     alpha,
                     with_bias ? bias.data() : nullptr,
                     accumulate,
                     updates.data(),
                     static_cast<index_t>(updates.size()),
                     0,
                     strips(),
                     0,
                     columns});
  }
};

/// A term's product is exact; it passes at most two additions for every pair of its panel, alpha, and one
/// addition per panel. Products below 2^-126 are flushed.
std::string check(pair_case& c, random_values& random) {
  c.out.fill([&] { return c.accumulate ? random.uniform<float>() : padding<float>(); });
  const std::vector<float> before = c.out.memory().image();
  c.run();
  const index_t block = pair_panel_depth(c.depth_contiguous), panels = (c.depth + block - 1) / block;
  const auto u = static_cast<long double>(std::min(c.depth, block) + 2 + panels);
  within_bounds results;
  for (index_t m = 0; m < c.rows; ++m) {
    for (index_t n = 0; n < c.columns; ++n) {
      double sum = 0, magnitude = 0;
      for (index_t k = 0; k < c.depth; ++k) {
        const double term = c.left_at(m, k) * double{value_of(c.right_at(k, n))};
        sum += term;
        magnitude += std::fabs(term);
      }
      const auto at = static_cast<std::size_t>(m * c.out.stride() + n);
      const double first = c.accumulate ? before[at] : (c.with_bias ? c.bias[n] : 0.0F);
      const long double a = c.alpha;
      results.add(
          m, n, c.out(m, n), first + a * static_cast<long double>(sum),
          (gamma_bound<float>(u) + 1e-13L) * (std::fabs(a) * static_cast<long double>(magnitude) + std::fabs(first)) +
              static_cast<long double>(c.depth) * 0x1p-125L);
    }
  }
  return results.failures();
}

}  // namespace

TEST_CASE("a product of pairs is the sum within its roundings", "[kernels]") {
  random_values random(seed);
  for (const pair_kernels* const kernels : levels_of_pairs())
    for (const index_t depth :
         {index_t{1}, index_t{2}, index_t{7}, pair_panel_depth(false), pair_panel_depth(false) + 1,
          2 * pair_panel_depth(false) + 3, pair_panel_depth(true) / 2, pair_panel_depth(true) / 2 + 1,
          pair_panel_depth(true), pair_panel_depth(true) + 3}) {
      for (const index_t rows : {index_t{1}, kernels->tile_rows, 2 * kernels->tile_rows + 5}) {
        for (const index_t columns : {1, 31, 32, 70}) {
          pair_case c(*kernels, rows, depth, columns, random.coin() ? guard::front : guard::back, random);
          c.alpha = random.coin() ? 1 : random.uniform<float>();
          c.with_bias = random.coin();
          c.accumulate = random.coin();
          INFO(rows << " x " << depth << " x " << columns << ", seed " << seed);
          CHECK(check(c, random) == "");
        }
      }
    }
}

TEST_CASE("a product of so many rows of pairs that coming lines are copied meanwhile", "[kernels]") {
  for (const pair_kernels* const kernels : levels_of_pairs()) {
    random_values random(seed + 2);
    int across = 0;
    for (const index_t columns : {64, 69, 35, 130}) {
      pair_case c(*kernels, 12 * kernels->tile_rows + 1, pair_panel_depth(false) + 37, columns, guard::back, random);
      INFO(columns << " columns, " << (c.depth_contiguous ? "columns" : "rows") << " of rhs contiguous, seed " << seed);
      CHECK(check(c, random) == "");
      across += c.depth_contiguous ? 0 : 1;
    }
    CHECK(across > 0);
  }
}

TEST_CASE("updates on pack give the bits of the merged weight in pairs too", "[kernels]") {
  for (const pair_kernels* const kernels : levels_of_pairs()) {
    random_values random(seed + 1);
    const index_t depth = pair_panel_depth(true) + 9, columns = 45, rank = 5;
    pair_case c(*kernels, 7, depth, columns, guard::back, random);
    const index_t index[rank] = {0, 3, 77, 255, 260}, position[rank] = {4, 0, 1, 3, 2};
    std::vector<float> trained(static_cast<std::size_t>(rank * columns));
    for (float& value : trained) value = random.uniform<float>();
    c.updates = {{index, position, rank, true, trained.data(), rank, 1, 0.3F, true}};
    c.run();
    const std::vector<float> on_pack = c.out.memory().image();
    for (index_t i = 0; i < rank; ++i) {
      for (index_t n = 0; n < columns; ++n) {
        bf16& w = c.right_at(index[i], n);
        w = merged_value(w, 0.3F, trained[static_cast<std::size_t>(n * rank + position[i])]);
      }
    }
    c.updates.clear();
    c.run();
    CHECK(differing_bits(c.out.memory(), on_pack) == "");
  }
}
