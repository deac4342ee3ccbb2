#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

#include "common/programs.hpp"

namespace examples {

/// snprintf into a string.
template <class... Values>
std::string format(const char* pattern, Values... values) {
  const int length = std::snprintf(nullptr, 0, pattern, values...);
  std::string text(static_cast<std::size_t>(length) + 1, '\0');
  std::snprintf(text.data(), text.size(), pattern, values...);
  text.pop_back();
  return text;
}

/// 64 as "64", 3e-4 as "0.0003": the shortest text that reads back as the same number.
inline std::string number_text(double value) {
  std::string text;
  for (int digits = 1; digits <= 17; ++digits) {
    text = format("%.*g", digits, value);
    if (std::stod(text) == value) break;
  }
  return text;
}

}  // namespace examples
