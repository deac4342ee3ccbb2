#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "common/error.hpp"
#include "common/programs.hpp"

namespace examples {

// Checks of options' values, for CLI::Option::check(). Their descriptions are empty: in --help they would hide the
// defaults.

/// CLI11's own ranges let NaN pass, as every comparison with it is false, and print 1e-9 as 0.000000.
inline CLI::Validator between(double least, double most) {
  return CLI::Validator(
      [=](const std::string& given) {
        double value = 0;
        const bool good = CLI::detail::lexical_cast(given, value) && value >= least && value <= most;
        return good ? std::string() : fmt::format("{} isn't a number from {:g} to {:g}", given, least, most);
      },
      "");
}

inline std::string check_finite(const std::string& given) {
  constexpr double most = std::numeric_limits<double>::max();
  double value = 0;
  const bool good = CLI::detail::lexical_cast(given, value) && value >= -most && value <= most;
  return good ? std::string() : given + " isn't a finite number";
}

inline CLI::Validator one_of(std::vector<std::string> names) {
  return CLI::Validator(
      [names = std::move(names)](const std::string& given) {
        if (std::ranges::find(names, given) != names.end()) return std::string();
        return given + " isn't one of " + CLI::detail::join(names, "|");
      },
      "");
}

/// 64 unsigned bits; CLI11 would wrap -1 and saturate what is too large.
inline std::string check_seed(const std::string& given) {
  std::uint64_t value = 0;
  const char* end = given.data() + given.size();
  const auto [parsed, status] = std::from_chars(given.data(), end, value);
  return parsed == end && status == std::errc() ? std::string() : given + " isn't an integer from 0 to 2^64 - 1";
}

/// Of files and folders.
inline std::string check_name(const std::string& given) { return given.empty() ? "the name is empty" : std::string(); }

/// Calls parse(). False after --help or --version, which have been printed. Errors: input_error of one line that names
/// the option.
template <class Parse>
bool parse_or_help(const CLI::App& app, Parse parse) {
  try {
    parse();
    return true;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return false;
  } catch (const CLI::CallForVersion& version) {
    std::printf("%s %s\n", app.get_name().c_str(), version.what());
    return false;
  } catch (const CLI::ParseError& error) {
    throw input_error(std::string(error.what()) + " (see --help)");
  }
}

}  // namespace examples
