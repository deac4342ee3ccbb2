#pragma once

#include <fstream>

#include <unistd.h>

namespace sbora_tests {

/// Resident memory of this process in bytes, mapped files included.
inline long resident() {
  std::ifstream statm("/proc/self/statm");
  long pages = 0, in_memory = 0;
  statm >> pages >> in_memory;
  return in_memory * ::sysconf(_SC_PAGESIZE);
}

}  // namespace sbora_tests
