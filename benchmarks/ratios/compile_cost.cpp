/// compile_cost   $CXX (default: the compiler that CMake found) -O2 -std=c++20 -c on a file with the one
///                line #include <sbora/sbora.hpp>, over the same with <Eigen/Core>. Processor time of the
///                compiler (user plus system): on an idle machine that is the time one waits, and on a
///                busy one it doesn't count the neighbours.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "registry.hpp"

extern char** environ;

namespace bench {
namespace {

constexpr int compile_pairs = 5;

/// Processor seconds of a command and its children; the shell splits it, so $CXX may hold options.
double processor_seconds(const std::string& command) {
  std::string shell = "/bin/sh";
  std::string option = "-c";
  std::string text = command;
  char* arguments[] = {shell.data(), option.data(), text.data(), nullptr};
  pid_t child = 0;
  if (::posix_spawn(&child, shell.c_str(), nullptr, nullptr, arguments, environ) != 0) {
    throw std::runtime_error("can't start " + shell);
  }
  int status = 0;
  rusage usage{};
  if (::wait4(child, &status, 0, &usage) != child || status != 0) {
    throw std::runtime_error("failed: " + command);
  }
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

double compile_cost() {
  const char* wanted = std::getenv("CXX");
  const std::string compiler = wanted != nullptr && wanted[0] != '\0' ? wanted : BENCH_CXX;

  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("sbora_compile_cost_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto command = [&](const std::string& name, const std::string& header) {
    const std::string source = (folder / (name + ".cpp")).string();
    std::ofstream(source) << "#include <" << header << ">\n";
    return compiler + " -O2 -std=c++20 -c '" + source + "' -o '" + (folder / (name + ".o")).string() + "' " +
           BENCH_INCLUDES;
  };
  const std::string ours = command("sbora", "sbora/sbora.hpp");
  const std::string eigen = command("eigen", "Eigen/Core");
  note(ours);

  const alternation measured =
      alternate([&] { return processor_seconds(ours); }, [&] { return processor_seconds(eigen); }, compile_pairs);
  std::filesystem::remove_all(folder);
  note(measured, "sbora/sbora.hpp", "Eigen/Core", 1, "s");
  return measured.ratio();
}

}  // namespace bench
