#pragma once

#include <string>

#include "support/catch.hpp"

namespace sbora_tests {

/// What the Error that f throws says, or that it threw none. Other exceptions pass through.
template <class Error, class Function>
std::string message_of(Function&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

inline auto contains(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}

}  // namespace sbora_tests

/// The statement throws `Error`, and what() contains `part`.
#define CHECK_ERROR(Error, part, ...) \
  CHECK_THAT(sbora_tests::message_of<Error>([&] { __VA_ARGS__; }), sbora_tests::contains(part))
