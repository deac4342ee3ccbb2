// SBORA_ASSERT under NDEBUG: it checks all the same, and forms its message only where it has to.

#if !defined(NDEBUG)
#define NDEBUG
#endif
#include <sbora/core/assert.hpp>

#include "support/message.hpp"

TEST_CASE("under NDEBUG an assertion throws too") {
  CHECK_NOTHROW(SBORA_ASSERT(1 + 1 == 2, "never said"));
  CHECK_ERROR(sbora::assertion_error, "sbora: my message (1 + 1 == 3)", SBORA_ASSERT(1 + 1 == 3, "my message"));
}

TEST_CASE("a message costs nothing where nothing is wrong") {
  int formed = 0;
  const auto message = [&formed] { return ++formed, std::string("my message"); };
  SBORA_ASSERT(1 + 1 == 2, message().c_str());
  CHECK(formed == 0);
  CHECK_ERROR(sbora::assertion_error, "my message", SBORA_ASSERT(1 + 1 == 3, message().c_str()));
  CHECK(formed == 1);
}
