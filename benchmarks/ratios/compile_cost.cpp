/// What including sbora costs whoever compiles: processor time (user plus system) of `$CXX -O2 -std=c++20 -c` on a
/// unit, over that on the one line #include <Eigen/Core>. On an idle machine that is the time one waits; on a busy one
/// it doesn't count the neighbours. $CXX: by default the compiler that CMake found.

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

/// A unit that trains an FA layer over f32, with the includes of the README.
constexpr const char* training_unit = R"(#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void train(matrix& w, const matrix& x, const matrix& target) {
  sbora::linear layer{sbora::weight_view{w}};
  sbora::fa_adapter<float> adapter(w.rows(), w.cols(), sbora::sample_region(w.cols(), 16, 7), {.alpha = 32});
  sbora::adamw<float> optimiser(adapter.parameter_count(), {.learning_rate = 1e-2});
  sbora::workspace workspace;
  sbora::fa_saved<float> saved;
  matrix y(x.rows(), w.rows()), dx(x.rows(), w.cols());
  for (int step = 0; step < 100; ++step) {
    layer.forward(x, y, adapter, saved, workspace);
    const matrix dy = (y - target) / 32.0F;
    adapter.zero_gradient();
    layer.backward(dy, dx, adapter, saved, workspace);
    optimiser.step(adapter.parameters(), adapter.gradient());
  }
}
)";

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

/// The processor time that `unit` takes, over Eigen/Core's.
double compile_ratio(const char* name, const std::string& unit, const std::string& options = "") {
  const char* wanted = std::getenv("CXX");
  const std::string compiler = wanted != nullptr && wanted[0] != '\0' ? wanted : BENCH_CXX;

  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("sbora_compile_cost_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto command = [&](const std::string& file, const std::string& text, const std::string& more) {
    const std::string source = (folder / (file + ".cpp")).string();
    std::ofstream(source) << text;
    return compiler + " -O2 -std=c++20 " + more + " -c '" + source + "' -o '" + (folder / (file + ".o")).string() +
           "' " + BENCH_INCLUDES;
  };
  const std::string ours = command("sbora", unit, options);
  const std::string eigen = command("eigen", "#include <Eigen/Core>\n", "");
  note(ours);

  const alternation measured =
      alternate([&] { return processor_seconds(ours); }, [&] { return processor_seconds(eigen); }, compile_pairs);
  std::filesystem::remove_all(folder);
  note(measured, name, "Eigen/Core", 1, "s");
  return measured.ratio();
}

}  // namespace

double compile_cost() { return compile_ratio("sbora/sbora.hpp", "#include <sbora/sbora.hpp>\n"); }
double compile_io() { return compile_ratio("sbora/io.hpp", "#include <sbora/io.hpp>\n"); }
double compile_unit() { return compile_ratio("a unit that trains", training_unit); }
double compile_unit_separate() {
  return compile_ratio("a unit that trains", training_unit, "-DSBORA_SEPARATE_KERNELS");
}
double compile_kernels() { return compile_ratio("all kernels", "#include <sbora/kernels/instances.hpp>\n"); }

}  // namespace bench
