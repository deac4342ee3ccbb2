#include "common/memory.hpp"

#include <fstream>

#include <fmt/core.h>
#include <malloc.h>

namespace examples {

namespace {

/// A line such as "VmRSS:     1234 kB" of /proc/self/status.
std::size_t status_bytes(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return std::stoull(line.substr(key.size())) * 1024;
  }
  return 0;
}

}  // namespace

std::size_t resident_bytes() { return status_bytes("VmRSS:"); }

std::size_t peak_resident_bytes() { return status_bytes("VmHWM:"); }

bool reset_peak() {
  malloc_trim(0);
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;  // 5: the peak becomes what is resident now; see proc(5)
  return file.good();
}

std::string size_text(std::size_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  if (mib >= 1024) return fmt::format("{:.2f} GiB", mib / 1024);
  return mib >= 10 ? fmt::format("{:.0f} MiB", mib) : fmt::format("{:.2f} MiB", mib);
}

}  // namespace examples
