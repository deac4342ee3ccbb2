// SBORA_ASSERT replaced by the user, before the first include.

namespace {
int broken = 0;
}
#define SBORA_ASSERT(condition, message) static_cast<void>((condition) ? 0 : (broken += message[0] == 'm'))
#include <sbora/core/assert.hpp>

#include "support/catch.hpp"

TEST_CASE("the user's own SBORA_ASSERT is used") {
  SBORA_ASSERT(1 + 1 == 2, "my message");
  CHECK(broken == 0);
  SBORA_ASSERT(1 + 1 == 3, "my message");
  CHECK(broken == 1);
}
