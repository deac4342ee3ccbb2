#include "common/folders.hpp"

#include <fstream>

#include <unistd.h>

#include "common/error.hpp"

namespace examples {

void check_folder(const std::string& option, const std::filesystem::path& folder) {
  std::error_code ignored;
  std::filesystem::path there = std::filesystem::absolute(folder, ignored);
  while (!std::filesystem::exists(there, ignored) && there.has_parent_path() && there != there.parent_path()) {
    there = there.parent_path();
  }
  if (!std::filesystem::is_directory(there, ignored) || access(there.c_str(), W_OK) != 0) {
    throw input_error(option + ": can't write in " + folder.string() + ", as " + there.string() +
                      (std::filesystem::is_directory(there, ignored) ? " may not be written" : " isn't a folder"));
  }
}

void prepare_folder(const std::string& option, const std::filesystem::path& folder) {
  std::error_code status;
  std::filesystem::create_directories(folder, status);
  const std::filesystem::path probe = folder / (".writable-" + std::to_string(getpid()));
  if (!(std::ofstream(probe) << "?" << std::flush)) throw input_error(option + ": can't write in " + folder.string());
  std::filesystem::remove(probe, status);
}

}  // namespace examples
