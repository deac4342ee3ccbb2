#pragma once

#include <cstddef>
#include <string>

#include "common/programs.hpp"

namespace examples {

/// Physical memory of this process in bytes, now; 0 where the system doesn't say (it isn't Linux).
std::size_t resident_bytes();

/// The most it has been, since the start or the last reset_peak().
std::size_t peak_resident_bytes();

/// Gives freed memory back to the system and begins a new peak. False: the system has no such thing, and
/// peaks stay those of the whole process.
bool reset_peak();

/// "1.5 GiB", "212 MiB".
std::string size_text(std::size_t bytes);

}  // namespace examples
