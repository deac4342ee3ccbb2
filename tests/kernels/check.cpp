#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/region_case.hpp"

using namespace sbora_tests;
using sbora::isa;
using sbora::detail::region_fault;

namespace {

constexpr std::uint64_t seed = 108;

/// The largest finite value, and half the distance from it to what would be the next: a sum with that
/// much is a tie, which rounds to the even infinity; with anything less it stays finite.
template <class Storage>
struct largest;
template <>
struct largest<float> {
  static constexpr float value = std::numeric_limits<float>::max(), half_step = 0x1p103F;
};
template <>
struct largest<double> {
  static constexpr double value = std::numeric_limits<double>::max(), half_step = 0x1p970;
};
template <>
struct largest<sbora::bf16> {
  static constexpr float value = 0x1.FEp127F, half_step = 0x1p119F;
};
template <>
struct largest<sbora::f16> {
  static constexpr float value = 65504.0F, half_step = 16.0F;
};

/// What makes one element infinite or NaN, and what nearly does.
enum class fault { nan_weight, inf_weight, nan_trained, inf_trained, overflow, nearly };
constexpr fault faults[] = {fault::nan_weight,  fault::inf_weight, fault::nan_trained,
                            fault::inf_trained, fault::overflow,   fault::nearly};

template <class Storage>
void put(const region_case<Storage>& c, fault what, index_t line, index_t j) {
  using T = typename region_case<Storage>::T;
  using limits = std::numeric_limits<T>;
  using top = largest<Storage>;
  Storage& original = c.original(line, j);
  T& trained = c.trained_value(line, j);
  switch (what) {
    case fault::nan_weight: original = stored_as<Storage>(limits::quiet_NaN()); return;
    case fault::inf_weight: original = stored_as<Storage>(-limits::infinity()); return;
    case fault::nan_trained: trained = limits::quiet_NaN(); return;
    case fault::inf_trained: trained = limits::infinity(); return;
    case fault::overflow:  // the scale is 1/2
    case fault::nearly:
      original = stored_as<Storage>(T{top::value});
      trained = 2 * top::half_step * (what == fault::nearly ? T(1 - 0x1p-8) : T(1));
      return;
  }
}

std::string text(const region_fault& found) {
  if (found.line < 0) return "none";
  return "line " + std::to_string(found.line) + ", position " + std::to_string(found.position);
}

}  // namespace

TEMPLATE_TEST_CASE("check finds the first element that is not finite", "[kernels]", float, double, sbora::bf16,
                   sbora::f16) {
  using S = TestType;
  using T = typename region_case<S>::T;
  const isa level = GENERATE(from_range(tested_levels()));
  const region_form form = GENERATE(region_form::columns, region_form::rows);
  const index_t n = lanes<T>(level);
  random_values random(seed);
  struct size {
    index_t rank, lines;
  };
  for (const size s : {size{1, 1}, size{1, 131}, size{131, 2}, size{3, 2 * n + 1}, size{2 * n + 1, 3}}) {
    for (const bool along_lines : {false, true}) {
      for (const guard side : both_guards) {
        region_case<S> c({form, s.rank, s.lines, s.rank + 1, along_lines}, random.below(3), side, random);
        c.scale = T(0.5);
        const auto reset = [&] {
          for (index_t i = 0; i < c.originals.size(); ++i) {
            c.originals[i] = stored_as<S>(random.template uniform<T>());
          }
          c.trained.fill([&] { return random.template uniform<T>(); });
        };
        // The order of search: along lines in columns, along positions in rows.
        const auto before = [&](index_t line, index_t j, index_t other_line, index_t other_j) {
          return c.original_at(line, j) < c.original_at(other_line, other_j);
        };
        for (const fault what : faults) {
          for (int trial = 0; trial < 8; ++trial) {
            reset();
            index_t line = trial == 0 ? 0 : trial == 1 ? s.lines - 1 : random.below(s.lines);
            index_t j = trial == 0 ? 0 : trial == 1 ? s.rank - 1 : random.below(s.rank);
            put(c, what, line, j);
            const index_t other_line = random.below(s.lines), other_j = random.below(s.rank);
            const bool second = trial > 4 && !(other_line == line && other_j == j);
            if (second) put(c, fault::inf_weight, other_line, other_j);
            if (second && (what == fault::nearly || before(other_line, other_j, line, j))) {
              line = other_line, j = other_j;
            } else if (what == fault::nearly) {
              line = j = -1;
            }
            INFO(c.text(level) << ", fault " << static_cast<int>(what) << ", trial " << trial << ", seed " << seed);
            const std::vector<S> weight = c.weight.memory().image();
            const std::vector<S> originals = c.originals.image();
            const region_fault found = c.kernels(level).check(c.args(c.whole()));
            CHECK(text(found) == text({line, j}));
            CHECK(differing_bits(c.weight.memory(), weight) == "");
            CHECK(differing_bits(c.originals, originals) == "");
          }
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("check looks at its part alone", "[kernels]", float, double, sbora::bf16, sbora::f16) {
  using S = TestType;
  using T = typename region_case<S>::T;
  const isa level = GENERATE(from_range(tested_levels()));
  const region_form form = GENERATE(region_form::columns, region_form::rows);
  const bool along_lines = GENERATE(false, true);
  random_values random(seed);
  region_case<S> c({form, 5, 67, 9, along_lines}, 2, guard::back, random);
  INFO(c.text(level) << ", seed " << seed);
  const auto part = c.inner();
  const auto is_inside = [&](index_t line, index_t j) {
    return line >= part.line_begin && line < part.line_end && j >= part.position_begin && j < part.position_end;
  };
  c.whole().for_each([&](index_t line, index_t j) {
    c.original(line, j) = stored_as<S>(is_inside(line, j) ? T(1) : std::numeric_limits<T>::infinity());
    c.trained_value(line, j) = is_inside(line, j) ? T(1) : std::numeric_limits<T>::quiet_NaN();
  });
  CHECK(text(c.kernels(level).check(c.args(part))) == "none");

  c.trained_value(part.line_end - 1, part.position_end - 1) = std::numeric_limits<T>::infinity();
  const region_fault found = c.kernels(level).check(c.args(part));
  CHECK(text(found) == text({part.line_end - 1, part.position_end - 1}));
}
