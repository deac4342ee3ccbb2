// Options as the type has them that computes: ranges, what is too large or too small, texts.

#include <sbora/core/option.hpp>

#include <limits>

#include "support/catch.hpp"
#include "support/message.hpp"

using sbora::config_error;
using sbora::detail::as_used;
using sbora::detail::number_text;
using enum sbora::detail::option_range;

TEST_CASE("numbers are written as short as they are") {
  CHECK(number_text(1) == "1.0");
  CHECK(number_text(-0.5) == "-0.5");
  CHECK(number_text(1e-50) == "1e-50");
  CHECK(number_text(0.1 + 0.2) == "0.30000000000000004");
  CHECK(number_text(-std::numeric_limits<double>::max()) == "-1.7976931348623157e+308");
  CHECK(number_text(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(number_text(std::numeric_limits<double>::quiet_NaN()) == "nan");
}

TEST_CASE("an option is what its type makes of it, or refused") {
  using floats = std::numeric_limits<float>;
  using doubles = std::numeric_limits<double>;
  CHECK(as_used<float>("who", "x", number, 0.1) == 0.1F);
  CHECK(as_used<double>("who", "x", number, 0.1) == 0.1);
  CHECK(as_used<float>("who", "x", number, floats::max()) == floats::max());
  CHECK(as_used<float>("who", "x", positive, floats::min()) == floats::min());
  CHECK(as_used<float>("who", "x", scale, -floats::min()) == -floats::min());
  CHECK(as_used<float>("who", "x", below_one, 1 - 0x1p-24) < 1);
  CHECK(as_used<double>("who", "x", below_one, 1 - 0x1p-53) < 1);
  CHECK(as_used<float>("who", "x", up_to_one, 0.99999999) == 1);
  // Nothing is lost by their becoming zero.
  for (const auto range : {number, not_negative, below_one, up_to_one}) {
    CHECK(as_used<float>("who", "x", range, 1e-50) == 0);
  }
  for (const auto range : {number, scale, not_negative, below_one, up_to_one}) {
    CHECK(as_used<float>("who", "x", range, 0) == 0);
  }

  CHECK_ERROR(config_error,
              "who: x must be finite, got 3.402823466385289e+38, above the greatest float, 3.40282346638528",
              as_used<float>("who", "x", number, std::nextafter(double{floats::max()}, doubles::max())));
  CHECK_ERROR(config_error, "below the least normal float",
              as_used<float>("who", "x", positive, std::nextafter(double{floats::min()}, 0.0)));
  CHECK_ERROR(config_error, "below the least normal double",
              as_used<double>("who", "x", scale, -std::nextafter(doubles::min(), 0.0)));
  CHECK_ERROR(config_error, "who: x must be in [0, 1), got 0.99999999, which is 1.0 in float",
              as_used<float>("who", "x", below_one, 0.99999999));
  CHECK_ERROR(config_error, "who: x must be positive, got 0.0", as_used<float>("who", "x", positive, 0));
  CHECK_ERROR(config_error, "x must not be negative, got -1e-50", as_used<float>("who", "x", not_negative, -1e-50));
  CHECK_ERROR(config_error, "x must be in [0, 1], got 1.0000000000000002",
              as_used<float>("who", "x", up_to_one, 1 + 0x1p-52));
  for (const auto range : {number, scale, positive, not_negative, below_one, up_to_one}) {
    for (const double value : {doubles::infinity(), -doubles::infinity(), doubles::quiet_NaN()}) {
      CHECK_THROWS_AS(as_used<float>("who", "x", range, value), config_error);
      CHECK_THROWS_AS(as_used<double>("who", "x", range, value), config_error);
    }
    CHECK_THROWS_AS(as_used<float>("who", "x", range, -1e39), config_error);
  }
}
