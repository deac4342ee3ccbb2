#include <limits>

#include <sbora/simd/denormal_guard.hpp>

#include "support/catch.hpp"

TEST_CASE("a denormal_guard flushes denormals for its scope") {
  volatile float small = std::numeric_limits<float>::min(), half = 0.5F;
  volatile double tiny = std::numeric_limits<double>::min();
  const auto flushed = [&] { return small * half == 0 && tiny * half == 0; };
  CHECK_FALSE(flushed());
  {
    const sbora::denormal_guard guard;
    CHECK(flushed());
    {
      const sbora::denormal_guard inner;
      CHECK(flushed());
    }
    CHECK(flushed());
  }
  CHECK_FALSE(flushed());
}
