#include "machine.hpp"

#include <fstream>

namespace bench {
namespace {

/// The text after "key ... :" on the first line of the file that starts with it.
std::string field_of(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.compare(0, key.size(), key) != 0) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? std::string() : line.substr(start);
  }
  return {};
}

}  // namespace

std::string cpu_model() {
  const std::string name = field_of("/proc/cpuinfo", "model name");
  if (name.empty()) return "unknown";
  return name + " (family " + field_of("/proc/cpuinfo", "cpu family") + ", model " +
         field_of("/proc/cpuinfo", "model\t") + ")";
}

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "g++ " __VERSION__;
#else
  return "unknown";
#endif
}

std::size_t last_level_cache_bytes() {
  // sysconf(_SC_LEVEL3_CACHE_SIZE) adds up the caches of a whole socket on some processors.
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
  std::size_t kibibytes = 0;
  file >> kibibytes;
  return kibibytes > 0 ? kibibytes * 1024 : std::size_t{32} << 20;
}

std::size_t available_memory_bytes() {
  const std::string text = field_of("/proc/meminfo", "MemAvailable");
  return text.empty() ? 0 : static_cast<std::size_t>(std::stoull(text)) * 1024;
}

}  // namespace bench
