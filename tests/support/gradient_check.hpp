#pragma once

#include <algorithm>
#include <cmath>

#include "support/catch.hpp"

namespace sbora_tests {

/// The gradient by one value is that of loss(), a function which is linear in it: the central difference is exact but
/// for roundings. The value stays as it was.
template <class Loss>
void check_gradient(double& value, double gradient, const Loss& loss) {
  const double kept = value;
  value = kept + 0x1p-6;
  const double up = loss();
  value = kept - 0x1p-6;
  const double difference = (up - loss()) * 0x1p5;
  value = kept;
  CHECK(std::abs(gradient - difference) <= 1e-7 * std::max(1.0, std::abs(gradient)));
}

}  // namespace sbora_tests
