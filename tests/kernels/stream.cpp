#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"
#include "support/running_error.hpp"
#include "support/storage_formats.hpp"
#include "support/guarded_buffer.hpp"

using namespace sbora_tests;
using sbora::isa;

namespace {

constexpr std::uint64_t seed = 112;

template <class Storage>
struct stream_case {
  using T = sbora::detail::compute_of<Storage>;

  isa level;
  index_t tokens, depth, columns;
  bool depth_contiguous;
  T alpha = 1;
  bool with_bias = false, accumulate = false;
  index_t cut = 0;
  guarded_matrix<T> left;
  guarded_matrix<Storage> rhs;
  guarded_matrix<T> out;
  guarded_buffer<T> bias;

  stream_case(isa level_, index_t tokens_, index_t depth_, index_t columns_, bool contiguous, guard side,
              random_values& random)
      : level(level_),
        tokens(tokens_),
        depth(depth_),
        columns(columns_),
        depth_contiguous(contiguous),
        left(tokens, depth, depth + random.below(3), side),
        rhs(contiguous ? columns : depth, contiguous ? depth : columns,
            (contiguous ? depth : columns) + random.below(3), side),
        out(tokens, columns, columns + random.below(3), side),
        bias(columns, side) {
    left.fill([&] { return random.uniform<T>(); });
    rhs.fill([&] { return stored_as<Storage>(random.uniform<T>()); });
    for (index_t n = 0; n < columns; ++n) bias[n] = random.uniform<T>();
  }

  T right(index_t k, index_t n) const { return value_of(depth_contiguous ? rhs(n, k) : rhs(k, n)); }

  void run(index_t begin, index_t end) const {
    sbora::detail::get_kernels<sbora::detail::product_kernels<Storage>>(level).stream(
        {left.data(),
         left.stride(),
         tokens,
         depth,
         {rhs.data(), rhs.stride()},
         depth_contiguous,
         out.data(),
         out.stride(),
         alpha,
         with_bias ? bias.data() : nullptr,
         accumulate,
         begin,
         end,
         cut});
  }

  /// The same packed.
  void run_packed() const {
    const auto& packing = sbora::detail::get_kernels<sbora::detail::packing_kernels<T>>(level);
    const index_t strips = sbora::detail::ceil_div(tokens, packing.tile_rows);
    std::vector<T> packed(static_cast<std::size_t>(strips * packing.tile_rows * depth));
    packing.pack({left.data(), left.stride(), 1, nullptr, tokens, depth, depth_contiguous, packed.data(), 0, strips});
    sbora::detail::get_kernels<sbora::detail::product_kernels<Storage>>(level).product(
        {packed.data(),
         tokens,
         depth,
         {rhs.data(), rhs.stride()},
         depth_contiguous,
         out.data(),
         out.stride(),
         alpha,
         with_bias ? bias.data() : nullptr,
         accumulate,
         nullptr,
         0,
         0,
         strips,
         0,
         columns});
  }

  /// Rounding: a term passes its product, with alpha before or after it, and at most depth + 2 additions;
  /// what it is added to passes as many.
  std::string check(random_values& random) const {
    out.fill([&] { return accumulate ? random.uniform<T>() : padding<T>(); });
    const std::vector<T> before = out.memory().image();
    run(0, columns);
    using real = std::conditional_t<std::is_same_v<T, float>, double, long double>;
    const auto u = static_cast<long double>(depth + 4);
    const long double own = static_cast<long double>(std::numeric_limits<real>::epsilon()) * u;
    within_bounds results;
    std::vector<T> untouched = before;
    for (index_t t = 0; t < tokens; ++t) {
      for (index_t n = 0; n < columns; ++n) {
        real sum = 0, magnitude = 0;
        for (index_t k = 0; k < depth; ++k) {
          const real term = real{left(t, k)} * real{right(k, n)};
          sum += term;
          magnitude += term < 0 ? -term : term;
        }
        const auto at = static_cast<std::size_t>(t * out.stride() + n);
        const long double start = accumulate ? before[at] : (with_bias ? bias[n] : T(0));
        const long double a = alpha;
        results.add(
            t, n, out(t, n), start + a * static_cast<long double>(sum),
            (gamma_bound<T>(u) + own) * (std::fabs(a) * static_cast<long double>(magnitude) + std::fabs(start)));
        untouched[at] = out(t, n);
      }
    }
    return results.failures() + differing_bits(out.memory(), untouched);
  }

  std::string text() const {
    return std::string(sbora::to_string(level)) + ", " + std::to_string(tokens) + " x " + std::to_string(depth) +
           " x " + std::to_string(columns) + (depth_contiguous ? ", columns" : ", rows") +
           " of rhs contiguous, alpha " + std::to_string(alpha) + (with_bias ? ", bias" : "") +
           (accumulate ? ", accumulate" : "") + ", seed " + std::to_string(seed);
  }
};

}  // namespace

TEMPLATE_TEST_CASE("a streamed product is the sum within its roundings", "[kernels]", float, double, sbora::bf16,
                   sbora::f16) {
  using T = sbora::detail::compute_of<TestType>;
  const isa level = GENERATE(from_range(tested_levels()));
  const index_t n = lanes<T>(level);
  random_values random(seed);
  const auto check = [&](index_t tokens, index_t depth, index_t columns, bool contiguous) {
    const guard side = random.coin() ? guard::front : guard::back;
    stream_case<TestType> c(level, tokens, depth, columns, contiguous, side, random);
    c.accumulate = random.coin();
    c.with_bias = random.coin();
    c.alpha = random.coin() ? 1 : random.uniform<T>();
    INFO(c.text());
    CHECK(c.check(random) == "");
  };
  for (index_t tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 33, 64}) {
    for (const index_t depth : {index_t{1}, index_t{3}, n, 4 * n + 1, index_t{2 * 256 + 5}}) {
      for (const index_t columns : {index_t{1}, n + 1, index_t{8}, index_t{19}}) {
        for (const bool contiguous : {false, true}) check(tokens, depth, columns, contiguous);
      }
    }
  }
  // Several panels of lines, and of columns.
  for (const index_t tokens : {1, 7, 13, 65}) {
    for (const index_t depth : {5, 133}) check(tokens, depth, 150, false);
  }
}

TEMPLATE_TEST_CASE("a streamed product gives the same bits wherever its columns are cut", "[kernels]", float, double,
                   sbora::bf16, sbora::f16) {
  using T = sbora::detail::compute_of<TestType>;
  const isa level = GENERATE(from_range(tested_levels()));
  const bool contiguous = GENERATE(false, true);
  random_values random(seed);
  // A token's short lines are added up many at once, and those that a cut leaves one by one.
  const index_t n = lanes<T>(level);
  const std::pair<index_t, index_t> shapes[] = {{1, 300}, {2, 300},       {5, 300},       {16, 300},
                                                {1, 1},   {1, n},         {1, 2 * n + 1}, {1, 4 * n},
                                                {1, 128}, {1, 4 * n + 3}, {1, 9 * n - 1}};
  for (const auto& [tokens, depth] : shapes) {
    const index_t columns = 37;
    stream_case<TestType> c(level, tokens, depth, columns, contiguous, guard::back, random);
    c.alpha = T(0.3);
    c.with_bias = true;
    c.run(0, columns);
    const std::vector<T> whole = c.out.memory().image();
    for (const index_t cut : {1, 7, 8, 36}) {
      INFO(c.text() << ", cut at " << cut);
      c.out.fill([] { return padding<T>(); });
      c.run(0, cut);
      c.run(cut, columns);
      CHECK(differing_bits(c.out.memory(), whole) == "");
    }
  }
}

// Where sums are cut as there, which is where the level has panels of few lines.
TEMPLATE_TEST_CASE("a product streamed in cut sums has the bits of a packed one", "[kernels]", float, double,
                   sbora::bf16, sbora::f16) {
  const isa level = GENERATE(from_range(tested_levels()));
  if (lanes<float>(level) != 8) SUCCEED("streams no cut sums");
  else {
    random_values random(seed);
    const index_t cut = sbora::detail::panel_depth(false);
    for (const index_t tokens : {1, 5, 7, 13, 64, 65, 255, 256}) {
      for (const index_t depth : {index_t{1}, index_t{33}, index_t{64}, cut, cut + 1, 2 * cut + 77}) {
        for (const index_t columns : {1, 15, 16, 67, 300}) {
          stream_case<TestType> c(level, tokens, depth, columns, false, random.coin() ? guard::front : guard::back,
                                  random);
          c.accumulate = random.coin();
          c.with_bias = random.coin();
          c.alpha = static_cast<typename stream_case<TestType>::T>(0.3);
          c.cut = cut;
          INFO(c.text());
          c.out.fill([&, i = 0]() mutable { return static_cast<float>(++i % 91); });
          const auto before = c.out.memory().image();
          c.run(0, columns);
          const auto streamed = c.out.memory().image();
          std::size_t at = 0;
          c.out.fill([&] { return static_cast<float>(++at % 91); });
          REQUIRE(differing_bits(c.out.memory(), before) == "");
          c.run_packed();
          CHECK(differing_bits(c.out.memory(), streamed) == "");
        }
      }
    }
  }
}
