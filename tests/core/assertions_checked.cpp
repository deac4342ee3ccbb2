// SBORA_ASSERT by default, in a build that checks, and the family of exceptions.

#undef NDEBUG
#include <sbora/core/assert.hpp>

#include "support/message.hpp"

namespace {

/// Default checks on, whatever the rest of the program was compiled with.
int half_of(int even) {
  SBORA_ASSERT(even % 2 == 0, "the number is odd");
  return even / 2;
}

template <class Error>
bool is_sbora_error(const Error& e) {
  const auto* base = dynamic_cast<const sbora::error*>(&e);
  return base != nullptr && dynamic_cast<const std::runtime_error*>(base) != nullptr &&
         std::string(base->what()) == "what";
}

}  // namespace

TEST_CASE("a broken precondition throws assertion_error with message and condition") {
  CHECK(half_of(4) == 2);
  CHECK_ERROR(sbora::assertion_error, "sbora: the number is odd (even % 2 == 0)", half_of(3));
}

TEST_CASE("every exception is an sbora::error") {
  CHECK(is_sbora_error(sbora::region_error("what")));
  CHECK(is_sbora_error(sbora::shape_error("what")));
  CHECK(is_sbora_error(sbora::config_error("what")));
  CHECK(is_sbora_error(sbora::merge_error("what")));
  CHECK(is_sbora_error(sbora::workspace_error("what")));
  CHECK(is_sbora_error(sbora::assertion_error("what")));
  const sbora::not_finite_error not_finite("what", 3, 5);
  CHECK(is_sbora_error(not_finite));
  CHECK(not_finite.row() == 3);
  CHECK(not_finite.col() == 5);
}
