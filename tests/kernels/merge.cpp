#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/region_case.hpp"

using namespace sbora_tests;
using sbora::isa;

namespace {

constexpr std::uint64_t seed = 107;

template <class Storage>
using compute = typename region_case<Storage>::T;

template <class Storage>
bool is_finite(Storage stored) {
  return std::isfinite(value_of(stored));
}

/// A finite weight of any size, denormals included.
template <class Storage>
Storage any_finite(random_values& random) {
  for (;;) {
    const auto value = random.bits<Storage>();
    if (is_finite(value)) return value;
  }
}

/// Calls f(case, part) for both forms, both orders of the trained half and sizes on both sides of
/// vectors, of the kernels' chunk of 64 and of their prefetch distance.
template <class Storage, class Function>
void for_each_case(isa level, random_values& random, Function&& f) {
  struct size {
    index_t rank, lines, dim;
  };
  const index_t n = lanes<compute<Storage>>(level);
  const size sizes[] = {{1, 1, 1},         {1, 70, 4},           {5, 129, 7}, {33, 20, 33},  {64, 9, 64},
                        {65, 3, 80},       {130, 19, 140},       {2, n, 5},   {3, n + 1, 5}, {n, 2 * n + 1, 2 * n},
                        {n + 1, 2, n + 2}, {2 * n + 1, 5, 3 * n}};
  for (const size& s : sizes) {
    for (const region_form form : {region_form::columns, region_form::rows}) {
      for (const bool along_lines : {false, true}) {
        for (const guard side : both_guards) {
          region_case<Storage> c({form, s.rank, s.lines, s.dim, along_lines}, random.below(4), side, random);
          INFO(c.text(level) << ", seed " << seed);
          f(c, c.whole());
          f(c, c.inner());
        }
      }
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("save copies the region's bits, and nothing else", "[kernels]", float, double, sbora::bf16,
                   sbora::f16) {
  using S = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for_each_case<S>(level, random, [&](const auto& c, const auto& part) {
    c.weight.fill([&] { return random.template bits<S>(); });
    const std::vector<S> weight = c.weight.memory().image();
    std::vector<S> expected = c.originals.image();
    part.for_each([&](index_t line, index_t j) { expected[c.original_at(line, j)] = weight[c.weight_at(line, j)]; });
    c.kernels(level).save(c.args(part));
    CHECK(differing_bits(c.originals, expected) == "");
    CHECK(differing_bits(c.weight.memory(), weight) == "");
  });
}

TEMPLATE_TEST_CASE("restore writes the originals' bits, and nothing else", "[kernels]", float, double, sbora::bf16,
                   sbora::f16) {
  using S = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for_each_case<S>(level, random, [&](const auto& c, const auto& part) {
    c.weight.fill([&] { return random.template bits<S>(); });
    for (index_t i = 0; i < c.originals.size(); ++i) c.originals[i] = random.template bits<S>();
    const std::vector<S> originals = c.originals.image();
    std::vector<S> expected = c.weight.memory().image();
    part.for_each([&](index_t line, index_t j) { expected[c.weight_at(line, j)] = originals[c.original_at(line, j)]; });
    c.kernels(level).restore(c.args(part));
    CHECK(differing_bits(c.weight.memory(), expected) == "");
    CHECK(differing_bits(c.originals, originals) == "");
  });
}

TEMPLATE_TEST_CASE("merge is original + round(scale * trained), rounded once more", "[kernels]", float, double,
                   sbora::bf16, sbora::f16) {
  using S = TestType;
  using T = compute<S>;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  const T scales[] = {T(1), T(-0.37), T(0x1p-12)};
  int turn = 0;
  for_each_case<S>(level, random, [&](auto& c, const auto& part) {
    c.scale = scales[++turn % 3];
    // Half the values near each other, where a fused product would differ, half of any size.
    c.weight.fill([&] { return random.template bits<S>(); });
    for (index_t i = 0; i < c.originals.size(); ++i) {
      c.originals[i] = random.coin() ? stored_as<S>(random.template uniform<T>()) : any_finite<S>(random);
    }
    c.trained.fill(
        [&] { return random.template uniform<T>() * std::ldexp(T(1), static_cast<int>(random.below(24)) - 18); });
    const std::vector<S> originals = c.originals.image();
    const std::vector<T> trained = c.trained.memory().image();
    std::vector<S> expected = c.weight.memory().image();
    part.for_each([&](index_t line, index_t j) {
      expected[c.weight_at(line, j)] = merged_value(c.original(line, j), c.scale, c.trained_value(line, j));
    });
    c.kernels(level).merge(c.args(part));
    CHECK(differing_bits(c.weight.memory(), expected) == "");
    CHECK(differing_bits(c.originals, originals) == "");
    CHECK(differing_bits(c.trained.memory(), trained) == "");
  });
}

TEMPLATE_TEST_CASE("save, merge, restore leaves the weight as it was", "[kernels]", float, double, sbora::bf16,
                   sbora::f16) {
  using S = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for_each_case<S>(level, random, [&](const auto& c, const auto& part) {
    c.weight.fill([&] { return random.template bits<S>(); });
    c.trained.fill([&] { return random.template uniform<compute<S>>(); });
    const std::vector<S> before = c.weight.memory().image();
    c.kernels(level).save(c.args(part));
    c.kernels(level).merge(c.args(part));
    c.kernels(level).restore(c.args(part));
    CHECK(differing_bits(c.weight.memory(), before) == "");
  });
}

TEMPLATE_TEST_CASE("take is save, merge and check in one pass, and restore undoes it", "[kernels]", float, double,
                   sbora::bf16, sbora::f16) {
  using S = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  int faults = 0, turn = 0;
  for_each_case<S>(level, random, [&](auto& c, const auto& part) {
    // All finite, one element of the region that isn't, and any bits at all: the last two fail.
    const int kind = ++turn % 3;
    c.scale = compute<S>(-0.37);
    c.weight.fill(
        [&] { return kind == 2 ? random.template bits<S>() : stored_as<S>(random.template uniform<compute<S>>()); });
    c.trained.fill([&] { return random.template uniform<compute<S>>(); });
    if (kind == 1) {
      const index_t line = part.line_begin + random.below(part.line_end - part.line_begin);
      const index_t j = part.position_begin + random.below(part.position_end - part.position_begin);
      c.weight.memory()[static_cast<index_t>(c.weight_at(line, j))] =
          stored_as<S>(std::numeric_limits<compute<S>>::infinity());
    }
    const auto& kernels = c.kernels(level);
    const std::vector<S> weight = c.weight.memory().image(), unused = c.originals.image();
    kernels.save(c.args(part));
    const auto expected = kernels.check(c.args(part));
    kernels.merge(c.args(part));
    const std::vector<S> merged = c.weight.memory().image(), originals = c.originals.image();

    c.weight.memory().assign(weight);
    c.originals.assign(unused);
    const auto found = kernels.take(c.args(part));
    CHECK(found.line == expected.line);
    CHECK(found.position == expected.position);
    faults += found.line >= 0;
    CHECK(differing_bits(c.weight.memory(), merged) == "");
    CHECK(differing_bits(c.originals, originals) == "");
    kernels.restore(c.args(part));
    CHECK(differing_bits(c.weight.memory(), weight) == "");
  });
  CHECK(faults >= turn / 3);
}
