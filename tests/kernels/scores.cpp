#include <vector>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"

using namespace sbora_tests;
using sbora::isa;
using sbora::detail::get_kernels;
using sbora::detail::score_kernels;

namespace {

constexpr std::uint64_t seed = 118;

bool close(double value, long double exact, long double magnitude, index_t roundings) {
  const long double bound = static_cast<long double>(roundings) * 0x1p-53L / (1 - roundings * 0x1p-53L);
  return std::abs(static_cast<long double>(value) - exact) <= bound * magnitude;
}

}  // namespace

TEMPLATE_TEST_CASE("products of features add up in double", "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for (const index_t features : lengths_around<T>(level)) {
    for (const guard side : both_guards) {
      for (const index_t tokens : {0, 1, 4, 7}) {
        const bool weighted = random.coin();
        const index_t gap = random.below(4);
        INFO(sbora::to_string(level) << ", " << tokens << " x " << features << (weighted ? ", weighted" : ""));
        const guarded_matrix<T> a(tokens, features, features + gap, side), b(tokens, features, features + 1, side);
        a.fill([&] { return random.template uniform<T>(); });
        b.fill([&] { return random.template uniform<T>(); });
        const guarded_buffer<double> weights(tokens, side), sums(features, side);
        for (index_t t = 0; t < tokens; ++t) weights[t] = random.uniform<double>();
        for (index_t j = 0; j < features; ++j) sums[j] = random.uniform<double>();
        const std::vector<double> before(sums.data(), sums.data() + features);
        get_kernels<score_kernels<T>>(level).add_products({a.data(), a.stride(), b.data(), b.stride(),
                                                           weighted ? weights.data() : nullptr, tokens, features,
                                                           sums.data()});
        for (index_t j = 0; j < features; ++j) {
          long double exact = before[static_cast<std::size_t>(j)], magnitude = std::abs(exact);
          for (index_t t = 0; t < tokens; ++t) {
            const long double term = (weighted ? static_cast<long double>(weights[t]) : 1.0L) *
                                     static_cast<long double>(a(t, j)) * static_cast<long double>(b(t, j));
            exact += term;
            magnitude += std::abs(term);
          }
          CHECK(close(sums[j], exact, magnitude, tokens + 2));
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("squares of tokens add up in double", "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed + 1);
  for (const index_t features : lengths_around<T>(level)) {
    for (const guard side : both_guards) {
      const index_t tokens = 3;
      INFO(sbora::to_string(level) << ", " << features << " features");
      const guarded_matrix<T> a(tokens, features, features + 2, side);
      a.fill([&] { return random.template uniform<T>(); });
      const guarded_buffer<double> sums(tokens, side);
      for (index_t t = 0; t < tokens; ++t) sums[t] = 1;
      get_kernels<score_kernels<T>>(level).add_squares({a.data(), a.stride(), tokens, features, sums.data()});
      for (index_t t = 0; t < tokens; ++t) {
        long double exact = 1;
        for (index_t j = 0; j < features; ++j) exact += static_cast<long double>(a(t, j)) * a(t, j);
        CHECK(close(sums[t], exact, exact, features + 2));
      }
    }
  }
}

TEST_CASE("a sum over tokens is the same in one call and in several", "[kernels]") {
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed + 2);
  constexpr index_t tokens = 23, features = 37;
  std::vector<float> a(tokens * features);
  std::vector<double> weights(tokens);
  for (float& x : a) x = random.uniform<float>();
  for (double& w : weights) w = random.uniform<double>();
  const auto add = get_kernels<score_kernels<float>>(level).add_products;
  std::vector<double> whole(features), parts(features);
  add({a.data(), features, a.data(), features, weights.data(), tokens, features, whole.data()});
  for (index_t t = 0; t < tokens;) {
    const index_t count = std::min<index_t>(1 + random.below(6), tokens - t);
    const float* const from = a.data() + t * features;
    add({from, features, from, features, weights.data() + t, count, features, parts.data()});
    t += count;
  }
  CHECK(whole == parts);
}
