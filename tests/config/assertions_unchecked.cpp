// SBORA_ASSERT under NDEBUG: nothing is evaluated.

#if !defined(NDEBUG)
#define NDEBUG
#endif
#include <sbora/config/assert.hpp>

#include "support/catch.hpp"

TEST_CASE("under NDEBUG an assertion costs nothing") {
  [[maybe_unused]] int evaluated = 0;
  CHECK_NOTHROW(SBORA_ASSERT(++evaluated < 0, "never true"));
  CHECK(evaluated == 0);
}
