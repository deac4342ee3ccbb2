#include "support/catch.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include <sbora/core/message.hpp>

using sbora::detail::message;

TEST_CASE("a message is its parts, whole numbers of any type among them") {
  const std::string text = "text";
  CHECK(message({"a ", text, std::string_view(" b "), 7, " ", sbora::index_t{-12}, " ", std::size_t{0}}) ==
        "a text b 7 -12 0");
  CHECK(message({std::numeric_limits<std::int64_t>::min(), " ", std::numeric_limits<std::uint64_t>::max()}) ==
        "-9223372036854775808 18446744073709551615");
  CHECK(message({"'", std::string_view(), "'", std::string(), ""}) == "''");
  CHECK(message({}).empty());
}
