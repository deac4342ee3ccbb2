#include <array>
#include <cmath>
#include <vector>

#include <sbora/core/random.hpp>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"

using namespace sbora_tests;
using sbora::isa;
using sbora::detail::dense_kernels;
using sbora::detail::dropout_mask;
using sbora::detail::get_kernels;

namespace {

constexpr std::uint64_t seed = 102;

/// The definition in kernels/arguments.hpp.
bool is_dropped(const dropout_mask& mask, index_t token, index_t feature) {
  const std::array<std::uint32_t, 4> words = sbora::philox4x32(
      {static_cast<std::uint32_t>(feature / 4), static_cast<std::uint32_t>(token),
       static_cast<std::uint32_t>(mask.step & 0xFFFFFFFF), static_cast<std::uint32_t>(mask.step >> 32)},
      mask.seed);
  return words[static_cast<std::size_t>(feature % 4)] < mask.threshold;
}

constexpr dropout_mask masks[] = {
    {7, 0, 0x40000000}, {0xFEDCBA9876543210, 0x100000002, 0xC0000000}, {7, 1, 0}, {7, 1, 0xFFFFFFFF}};

}  // namespace

TEMPLATE_TEST_CASE("dropout zeroes what Philox says and scales the rest", "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for (const index_t features : lengths_around<T>(level)) {
    for (const guard side : both_guards) {
      for (const dropout_mask& mask : masks) {
        const bool gathered = random.coin();
        const bool in_place = random.coin();
        const index_t dim = features + random.below(9);
        const index_t gap = random.below(4);
        const index_t tokens = 3, begin = random.below(2), end = 3;
        INFO(sbora::to_string(level) << ", " << features << " features" << (gathered ? ", gathered" : "")
                                     << (in_place ? ", in place" : "") << ", gap " << gap << ", threshold "
                                     << mask.threshold << ", tokens from " << begin << ", seed " << seed);
        const guarded_matrix<T> source(tokens, features, features + gap, side);
        const guarded_matrix<T> other(tokens, features, features + 1, side);
        const guarded_matrix<T>& out = in_place ? source : other;
        const guarded_buffer<index_t> index(gathered ? features : 0, side);
        source.fill([&] { return random.template uniform<T>(); });
        random.distinct(dim, index);

        const T kept_scale = T(1.25);
        std::vector<T> expected = out.memory().image();
        for (index_t t = begin; t < end; ++t) {
          for (index_t j = 0; j < features; ++j) {
            const bool dropped = is_dropped(mask, t, gathered ? index[j] : j);
            const T scaled = source(t, j) * kept_scale;
            expected[static_cast<std::size_t>(t * out.stride() + j)] = dropped ? T(0) : scaled;
          }
        }
        get_kernels<dense_kernels<T>>(level).dropout({source.data(), source.stride(), gathered ? index.data() : nullptr,
                                                      features, out.data(), out.stride(), mask, kept_scale, begin,
                                                      end});
        CHECK(differing_bits(out.memory(), expected) == "");
      }
    }
  }
}

TEMPLATE_TEST_CASE("dropout of gathered features is the gathered dropout of all", "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  const auto& kernels = get_kernels<dense_kernels<T>>(level);
  constexpr index_t tokens = 5, dim = 67, rank = 23;
  const dropout_mask mask = masks[0];
  random_values random(seed);
  const guarded_matrix<T> source(tokens, dim, dim + 2, guard::back);
  const guarded_matrix<T> full(tokens, dim, dim, guard::back);
  const guarded_matrix<T> some(tokens, rank, rank, guard::back);
  const guarded_matrix<T> expected(tokens, rank, rank, guard::back);
  const guarded_buffer<index_t> index(rank, guard::back);
  source.fill([&] { return random.template uniform<T>(); });
  random.distinct(dim, index);

  kernels.dropout({source.data(), dim + 2, nullptr, dim, full.data(), dim, mask, T(4) / 3, 0, tokens});
  kernels.gather({full.data(), dim, index.data(), rank, expected.data(), rank, 0, tokens});
  kernels.gather({source.data(), dim + 2, index.data(), rank, some.data(), rank, 0, tokens});
  kernels.dropout({some.data(), rank, index.data(), rank, some.data(), rank, mask, T(4) / 3, 0, tokens});
  INFO(sbora::to_string(level) << ", seed " << seed);
  CHECK(differing_bits(some.memory(), expected.memory().image()) == "");
}

TEST_CASE("dropout drops as often as it says", "[kernels]") {
  const isa level = GENERATE(from_range(tested_levels()));
  constexpr index_t tokens = 50, features = 401;
  constexpr double count = tokens * features;
  const guarded_matrix<float> ones(tokens, features, features, guard::back);
  const guarded_matrix<float> out(tokens, features, features, guard::back);
  ones.fill([] { return 1.0F; });
  for (const double p : {0.05, 0.5, 0.9}) {
    const auto threshold = static_cast<std::uint32_t>(p * 0x1p32);
    get_kernels<dense_kernels<float>>(level).dropout(
        {ones.data(), features, nullptr, features, out.data(), features, {seed, 3, threshold}, 1.0F, 0, tokens});
    double dropped = 0;
    for (const float value : out.memory().image()) dropped += value == 0 ? 1 : 0;
    INFO(sbora::to_string(level) << ", dropout " << p << ", seed " << seed);
    CHECK(std::fabs(dropped - count * p) <= 5 * std::sqrt(count * p * (1 - p)));
  }
}
