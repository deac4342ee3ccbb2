#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <sbora/core/errors.hpp>
#include <sbora/core/finite.hpp>

/// Options are given in double and used in the type that is computed in, where 1e39 is infinite, 1e-50 zero and
/// 0.99999999 one. as_used() is the only way from the one to the other, and checks what arrives.
namespace sbora::inline SBORA_ABI::detail {

/// What an option may be. Below the least normal number of the type is too small where being zero would change
/// what the option means: processors that flush denormals take it for zero.
enum class option_range {
  number,        ///< any number; too small ones become 0
  scale,         ///< any number, none too small
  positive,      ///< > 0, not too small
  not_negative,  ///< >= 0
  below_one,     ///< [0, 1), not rounded to 1
  up_to_one,     ///< [0, 1]
};

/// The type that an option is used in.
struct option_type {
  const char* name;
  double greatest;
  double least;  ///< normal number
};

inline bool in_range(option_range range, double value) noexcept {
  switch (range) {
    case option_range::number:
    case option_range::scale: return true;
    case option_range::positive: return value > 0;
    case option_range::not_negative: return value >= 0;
    case option_range::below_one: return value >= 0 && value < 1;
    case option_range::up_to_one: return value >= 0 && value <= 1;
  }
  return false;
}

inline const char* range_text(option_range range) noexcept {
  switch (range) {
    case option_range::number:
    case option_range::scale: break;
    case option_range::positive: return " must be positive";
    case option_range::not_negative: return " must not be negative";
    case option_range::below_one: return " must be in [0, 1)";
    case option_range::up_to_one: return " must be in [0, 1]";
  }
  return " must be finite";
}

/// Throws config_error unless `value` is in the range, and in what a `type` can say of it.
SBORA_COLD inline void check_option(const char* who, const char* name, option_range range, double value,
                                    const option_type& type) {
  const auto fail = [&](const std::string& why) {
    throw config_error(message({who, ": ", name, range_text(range), ", got ", number_text(value), why}));
  };
  if (!is_finite(value) || !in_range(range, value)) fail("");
  const double size = std::fabs(value);
  if (size > type.greatest) fail(message({", above the greatest ", type.name, ", ", number_text(type.greatest)}));
  const bool can_be_small = range != option_range::scale && range != option_range::positive;
  if (value != 0 && size < type.least && !can_be_small) {
    fail(message({", below the least normal ", type.name, ", ", number_text(type.least)}));
  }
}

/// The number that arithmetic in T gets for an option. Errors: config_error.
template <class T>
T as_used(const char* who, const char* name, option_range range, double value) {
  using limits = std::numeric_limits<T>;
  check_option(who, name, range, value,
               {std::is_same_v<T, float> ? "float" : "double", static_cast<double>(limits::max()),
                static_cast<double>(limits::min())});
  const T used = static_cast<T>(value);
  if (range == option_range::below_one && !(used < T{1})) {
    throw config_error(
        message({who, ": ", name, range_text(range), ", got ", number_text(value), ", which is 1.0 in float"}));
  }
  return used;
}

/// Where the number itself is kept, and what is made of it is checked where it is used.
inline void check_option(const char* who, const char* name, option_range range, double value) {
  static_cast<void>(as_used<double>(who, name, range, value));
}

}  // namespace sbora::inline SBORA_ABI::detail
