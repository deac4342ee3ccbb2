#pragma once

#include <stdexcept>

#include "common/programs.hpp"

namespace examples {

/// Something that the user gave and can correct: main() prints it as one line and exits with code 2.
class input_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace examples
