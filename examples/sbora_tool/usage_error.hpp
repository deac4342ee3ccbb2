#pragma once

#include <stdexcept>

namespace sbora_tool {

/// Something that the user gave and can correct; exit code 2, as for what sbora refuses.
class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace sbora_tool
