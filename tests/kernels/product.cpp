#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"
#include "support/running_error.hpp"
#include "support/storage_formats.hpp"

using namespace sbora_tests;
using sbora::isa;
using sbora::detail::panel_depth;

namespace {

constexpr std::uint64_t seed = 105;

/// Operands of one product. The packed left operand is laid out here, as kernels/arguments.hpp says.
template <class Storage>
struct product_case {
  using T = sbora::detail::compute_of<Storage>;

  isa level;
  index_t rows, depth, columns, strip_rows, tile_columns;
  bool depth_contiguous;  ///< a column of rhs is a run, otherwise a row is
  bool few;  ///< product_few, whose left operand is packed by pack_few (see pack.cpp) and isn't cut along the depth
  T alpha = 1;
  bool with_bias = false, accumulate = false;
  std::vector<T> lhs;  ///< row-major
  guarded_buffer<T> packed;
  guarded_matrix<Storage> rhs;
  guarded_matrix<T> out;
  guarded_buffer<T> bias;
  std::vector<sbora::detail::panel_update<T>> updates;

  product_case(isa level_, index_t rows_, index_t depth_, index_t columns_, bool contiguous, guard side,
               random_values& random, bool few_ = false)
      : level(level_),
        rows(rows_),
        depth(depth_),
        columns(columns_),
        strip_rows(few_ ? kernels().tile_columns : kernels().tile_rows),
        tile_columns(kernels().tile_columns),
        depth_contiguous(contiguous),
        few(few_),
        packed(strips() * strip_rows * depth, side),
        rhs(contiguous ? columns : depth, contiguous ? depth : columns,
            (contiguous ? depth : columns) + random.below(3), side),
        out(rows, columns, columns + random.below(3), side),
        bias(columns, side) {
    for (index_t at = 0; at < rows * depth; ++at) lhs.push_back(random.uniform<T>());
    if (few) kernels().pack_few({lhs.data(), depth, 1, nullptr, rows, depth, true, packed.data(), 0, strips()});
    for (index_t at = 0; !few && at < packed.size(); ++at) {
      const index_t block_begin = at / strip_rows / strips() / block_depth() * block_depth();
      const index_t block = std::min(block_depth(), depth - block_begin);
      const index_t in_block = at / strip_rows - strips() * block_begin;
      const index_t row = in_block / block * strip_rows + at % strip_rows;
      packed[at] = row < rows ? left(row, block_begin + in_block % block) : T(0);
    }
    rhs.fill([&] { return stored_as<Storage>(random.uniform<T>()); });
    for (index_t n = 0; n < columns; ++n) bias[n] = random.uniform<T>();
  }

  const auto& kernels() const { return sbora::detail::get_kernels<sbora::detail::packing_kernels<T>>(level); }
  index_t block_depth() const { return panel_depth(depth_contiguous); }
  index_t strips() const { return (rows + strip_rows - 1) / strip_rows; }
  T left(index_t row, index_t k) const { return lhs[static_cast<std::size_t>(row * depth + k)]; }
  T right(index_t k, index_t n) const { return value_of(depth_contiguous ? rhs(n, k) : rhs(k, n)); }

  void run(index_t strip_begin, index_t strip_end, index_t column_begin, index_t column_end) const {
    const auto& products = sbora::detail::get_kernels<sbora::detail::product_kernels<Storage>>(level);
    (few ? products.product_few : products.product)({packed.data(),
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
                                                     strip_begin,
                                                     strip_end,
                                                     column_begin,
                                                     column_end});
  }

  /// Runs all of it over fresh contents of out, NaN where they are not to be read, and compares with
  /// plain sums. Rounding: a term passes at most block_depth() additions and its own product within a
  /// panel, then alpha, then one addition per panel; what it is added to passes the latter only.
  std::string check(random_values& random) const {
    out.fill([&] { return accumulate ? random.uniform<T>() : padding<T>(); });
    const std::vector<T> before = out.memory().image();
    run(0, strips(), 0, columns);

    const index_t panels = few ? 1 : std::max<index_t>(1, (depth + block_depth() - 1) / block_depth());
    const auto u = static_cast<long double>((few ? depth : std::min(depth, block_depth())) + 1 + panels);
    using real = std::conditional_t<std::is_same_v<T, float>, double, long double>;
    within_bounds results;
    std::vector<T> untouched = before;  // with the results where there must be some
    for (index_t m = 0; m < rows; ++m) {
      for (index_t n = 0; n < columns; ++n) {
        real sum = 0, magnitude = 0;
        for (index_t k = 0; k < depth; ++k) {
          const real term = real{left(m, k)} * real{right(k, n)};
          sum += term;
          magnitude += term < 0 ? -term : term;
        }
        const auto at = static_cast<std::size_t>(m * out.stride() + n);
        const real start = accumulate ? before[at] : (with_bias ? bias[n] : T(0));
        const long double a = alpha;
        const long double own =
            static_cast<long double>(std::numeric_limits<real>::epsilon()) * static_cast<long double>(depth + 2);
        const long double bound =
            (gamma_bound<T>(u) + own) * std::fabs(a) * static_cast<long double>(magnitude) +
            (gamma_bound<T>(static_cast<long double>(panels)) + own) * std::fabs(static_cast<long double>(start));
        results.add(m, n, out(m, n), static_cast<long double>(start) + a * static_cast<long double>(sum), bound);
        untouched[at] = out(m, n);
      }
    }
    return results.failures() + differing_bits(out.memory(), untouched);
  }

  std::string text() const {
    return std::string(sbora::to_string(level)) + ", " + std::to_string(rows) + " x " + std::to_string(depth) + " x " +
           std::to_string(columns) + (depth_contiguous ? ", columns" : ", rows") + " of rhs contiguous, stride " +
           std::to_string(rhs.stride()) + ", alpha " + std::to_string(alpha) + (with_bias ? ", bias" : "") +
           (accumulate ? ", accumulate" : "") + ", seed " + std::to_string(seed);
  }
};

/// Checks a product of these sizes for both orders of rhs; the seed decides about guards and flags.
template <class Storage>
void check_sizes(isa level, index_t rows, index_t depth, index_t columns, random_values& random) {
  for (const bool contiguous : {false, true}) {
    const guard side = random.coin() ? guard::front : guard::back;
    product_case<Storage> c(level, rows, depth, columns, contiguous, side, random);
    c.accumulate = random.coin();
    c.with_bias = random.coin();
    c.alpha = random.coin() ? 1 : random.uniform<typename product_case<Storage>::T>();
    INFO(c.text());
    CHECK(c.check(random) == "");
  }
}

}  // namespace

TEMPLATE_TEST_CASE("product is the sum within its roundings", "[kernels]", float, double, sbora::bf16, sbora::f16) {
  using T = sbora::detail::compute_of<TestType>;
  const isa level = GENERATE(from_range(tested_levels()));
  const index_t strip = sbora::detail::get_kernels<sbora::detail::packing_kernels<T>>(level).tile_rows;
  const index_t tile = sbora::detail::get_kernels<sbora::detail::packing_kernels<T>>(level).tile_columns;
  const index_t n = lanes<T>(level);
  random_values random(seed);
  for (const index_t depth : {0, 1, 2, 3}) {
    for (index_t rows = 1; rows <= 2 * strip + 1; ++rows) {
      check_sizes<TestType>(level, rows, depth, n + 1, random);
    }
  }
  for (const index_t depth : {n - 1, n, n + 1, 2 * n + 1}) {
    for (const index_t columns : {index_t{1}, n, n + 1, tile - 1, tile, tile + 1, 2 * tile + 3}) {
      check_sizes<TestType>(level, strip + 1, depth, columns, random);
    }
  }
  for (const bool along : {false, true}) {
    const index_t block = panel_depth(along);
    for (const index_t depth : {block - 1, block, block + 1, 2 * block + 1}) {
      check_sizes<TestType>(level, 3, depth, tile + 1, random);
      check_sizes<TestType>(level, strip + 1, depth, 3, random);
    }
  }
  // Two panels along the lines that fill their room, and one that doesn't leave it to another.
  for (const index_t depth : {panel_depth(true) / 2, panel_depth(true) / 2 + 1}) {
    check_sizes<TestType>(level, 2, depth, 2 * tile + 1, random);
  }
  // So many rows that coming lines are copied meanwhile.
  check_sizes<TestType>(level, 12 * strip + 1, panel_depth(false) + 37, 2 * tile + 5, random);
}

TEMPLATE_TEST_CASE("product takes every combination of alpha, bias and accumulate", "[kernels]", float, double,
                   sbora::bf16, sbora::f16) {
  using T = sbora::detail::compute_of<TestType>;
  const isa level = GENERATE(from_range(tested_levels()));
  const index_t columns = sbora::detail::get_kernels<sbora::detail::packing_kernels<T>>(level).tile_columns + 1;
  random_values random(seed);
  for (const index_t depth : {index_t{0}, index_t{5}, panel_depth(false) + 1}) {
    product_case<TestType> c(level, 2, depth, columns, false, guard::back, random);
    for (const T alpha : {T(1), T(0), T(-0.75)}) {
      for (const int flags : {0, 1, 2, 3}) {
        c.alpha = alpha;
        c.with_bias = (flags & 1) != 0;
        c.accumulate = (flags & 2) != 0;
        INFO(c.text());
        CHECK(c.check(random) == "");
      }
    }
  }
}

TEMPLATE_TEST_CASE("product gives the same bits however it is cut", "[kernels]", float, double, sbora::bf16,
                   sbora::f16) {
  using T = sbora::detail::compute_of<TestType>;
  const isa level = GENERATE(from_range(tested_levels()));
  const bool contiguous = GENERATE(false, true);
  const index_t strip = sbora::detail::get_kernels<sbora::detail::packing_kernels<T>>(level).tile_rows;
  const index_t columns = 2 * sbora::detail::get_kernels<sbora::detail::packing_kernels<T>>(level).tile_columns + 3;
  random_values random(seed);
  product_case<TestType> c(level, 2 * strip + 1, panel_depth(contiguous) + 5, columns, contiguous, guard::back, random);
  c.alpha = T(0.3);
  c.with_bias = true;
  c.run(0, 3, 0, columns);
  const std::vector<T> whole = c.out.memory().image();
  const auto check_cut = [&](index_t strip_cut, index_t column_cut) {
    INFO(c.text() << ", cut at strip " << strip_cut << ", column " << column_cut);
    c.out.fill([] { return padding<T>(); });
    c.run(0, strip_cut, 0, column_cut);
    c.run(strip_cut, 3, 0, column_cut);
    c.run(0, strip_cut, column_cut, columns);
    c.run(strip_cut, 3, column_cut, columns);
    CHECK(differing_bits(c.out.memory(), whole) == "");
  };
  check_cut(1, columns / 2);
  check_cut(2, 1);
  check_cut(0, columns - 1);
  check_cut(3, lanes<T>(level) + 1);
}

TEMPLATE_TEST_CASE("product_few is the sum within its roundings", "[kernels]", float, double, sbora::bf16, sbora::f16) {
  using T = sbora::detail::compute_of<TestType>;
  const isa level = GENERATE(from_range(tested_levels()));
  const index_t n = lanes<T>(level);
  const index_t strip = sbora::detail::get_kernels<sbora::detail::packing_kernels<T>>(level).tile_rows;
  random_values random(seed);
  const auto check = [&](index_t rows, index_t depth, index_t columns) {
    const guard side = random.coin() ? guard::front : guard::back;
    product_case<TestType> c(level, rows, depth, columns, true, side, random, true);
    c.accumulate = random.coin();
    c.with_bias = random.coin();
    c.alpha = random.coin() ? 1 : random.uniform<T>();
    INFO(c.text());
    CHECK(c.check(random) == "");
  };
  for (index_t rows = 1; rows <= sbora::detail::few_tokens; ++rows) check(rows, 2 * n + 1, strip + 1);
  for (const index_t depth : {0, 1, 2, 3, 15, 16, 17, 511, 512, 513, 1029}) check(n + 1, depth, 5);
  for (index_t columns = 1; columns <= sbora::detail::few_columns; ++columns) check(3, n + 3, columns);
}

TEMPLATE_TEST_CASE("product_few gives the same bits however its columns are cut", "[kernels]", float, double,
                   sbora::bf16, sbora::f16) {
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  product_case<TestType> c(level, 37, 519, 91, true, guard::back, random, true);
  c.with_bias = true;
  c.run(0, 0, 0, c.columns);
  const auto whole = c.out.memory().image();
  for (const index_t cut : {1, 12, 47, 90}) {
    INFO(c.text() << ", cut at " << cut);
    c.out.fill([] { return padding<typename product_case<TestType>::T>(); });
    c.run(0, 0, cut, c.columns);
    c.run(0, 0, 0, cut);
    CHECK(differing_bits(c.out.memory(), whole) == "");
  }
}
