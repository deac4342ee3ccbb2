// Runs every unit in one process and compares what they computed.
#include <cmath>
#include <cstddef>
#include <iostream>
#include <string>

#include "unit.hpp"

namespace {

int failures = 0;

void expect(bool condition, const std::string& what) {
  if (condition) return;
  std::cout << "failed: " << what << '\n';
  ++failures;
}

void compare(const unit_report& expected, const unit_report& actual, const std::string& name) {
  expect(!actual.exact.empty() && actual.exact == expected.exact, name + ": exact results");
  expect(!actual.rounded.empty() && actual.rounded.size() == expected.rounded.size(),
         name + ": number of rounded results");
  for (std::size_t i = 0; i < actual.rounded.size(); ++i) {
    const double difference = std::abs(actual.rounded[i] - expected.rounded[i]);
    // Negated, so that a NaN fails.
    expect(!(difference > 1e-5 * std::abs(expected.rounded[i])) && std::isfinite(difference),
           name + ": rounded result " + std::to_string(i));
  }
}

}  // namespace

int main() {
  const unit_report reference = checked::report();
  expect(reference.asserts, "SBORA_ASSERT throws in a checked unit");
  compare(reference, checked_again::report(), "checked_again");

  const unit_report without_checks = release::report();
  expect(without_checks.asserts, "SBORA_ASSERT throws under NDEBUG too");
  compare(reference, without_checks, "release");

  // SBORA_SINGLE_TARGET: the baseline's level, whatever the machine could do.
  const unit_report one_level = single::report();
  compare(reference, one_level, "single");

  compare(reference, separate::report(), "separate");

#if defined(SBORA_TEST_HAS_V3)
  expect(one_level.isa == "scalar", "single uses " + one_level.isa + " over x86-64");
  if (__builtin_cpu_supports("x86-64-v3")) {
    compare(reference, v3::report(), "v3");
    compare(reference, separate_v3::report(), "separate_v3");
    const unit_report one_level_v3 = single_v3::report();
    compare(reference, one_level_v3, "single_v3");
    expect(one_level_v3.isa == "avx2", "single_v3 uses " + one_level_v3.isa);
  } else {
    std::cout << "no x86-64-v3 here, units v3 and single_v3 are linked but not run\n";
  }
#endif
  return failures == 0 ? 0 : 1;
}
