// A writer killed at any point leaves the old file or the new one.

#include <csignal>

#include <sys/wait.h>
#include <unistd.h>

#include <sbora/core/random.hpp>
#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

#include "io/safetensors_text.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

using namespace sbora_tests;

namespace {

constexpr int pieces = 40;

/// Writes in 40 pieces; says so over `progress` before each, and before and after the commit; having said so
/// `halt` times it waits to be killed.
[[noreturn]] void write_slowly(const std::filesystem::path& path, const std::vector<float>& values, int progress,
                               int halt) {
  int step = 0;
  const auto report = [&] {
    if (::write(progress, "", 1) != 1) ::_exit(2);
    ++step;
    while (step == halt) ::pause();
  };
  try {
    const sbora::tensor_view tensor = tensor_of("w", values, {static_cast<sbora::index_t>(values.size())});
    sbora::safetensors_stream_writer file(path, {&tensor, 1});
    const std::size_t size = tensor.data.size() / pieces;
    for (std::size_t i = 0; i < pieces; ++i) {
      report();
      file.write("w", tensor.data.subspan(i * size, size));
    }
    report();
    file.commit();
    report();
  } catch (...) {
    ::_exit(3);
  }
  for (;;) ::pause();
}

}  // namespace

TEST_CASE("a writer killed at 200 points leaves a file that is the old one or the new one") {
  const temporary_directory directory;
  const auto path = directory / "x.safetensors";
  const auto old_values = random_vector<float>(5000, 1);
  const auto new_values = random_vector<float>(pieces * 4096, 2);
  const std::vector<sbora::tensor_view> old_tensors = {tensor_of("w", old_values, {5000})};
  write_safetensors(path, old_tensors);
  const std::string old_file = read_file(path);
  write_safetensors(path, std::vector{tensor_of("w", new_values, {pieces * 4096})});
  const std::string new_file = read_file(path);

  sbora::random_stream random(2026);
  int old_ones = 0, new_ones = 0, strays = 0;
  for (int round = 0; round < 200; ++round) {
    write_safetensors(path, old_tensors);
    int progress[2];
    REQUIRE(::pipe(progress) == 0);
    // Half of them around the commit. Half are stopped at their point, so that each is met on any machine; the
    // others run into the signal.
    const int point = 1 + static_cast<int>(random.below(2) == 0 ? random.below(pieces) : pieces + random.below(2));
    const int halt = random.below(2) == 0 ? point : -1;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) write_slowly(path, new_values, progress[1], halt);
    ::close(progress[1]);
    char byte;
    for (int step = 0; step < point; ++step) {
      if (::read(progress[0], &byte, 1) != 1) break;
    }
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    ::close(progress[0]);
    INFO("round " << round << ", point " << point << (halt < 0 ? "" : ", stopped"));
    REQUIRE(WIFSIGNALED(status));

    const std::string file = read_file(path);
    REQUIRE((file == old_file || file == new_file));
    if (halt >= 0) REQUIRE((file == new_file) == (halt == pieces + 2));
    ++(file == old_file ? old_ones : new_ones);
    const auto opened = sbora::safetensors_file::open(path);
    REQUIRE(opened.at("w").elements() == (file == old_file ? 5000 : pieces * 4096));
    for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
      if (entry.path() == path) continue;
      REQUIRE(entry.path().filename().string().starts_with(".x.safetensors."));
      ++strays;
      std::filesystem::remove(entry.path());
    }
  }
  CHECK(old_ones > 0);
  CHECK(new_ones > 0);
  CHECK(strays > 0);
  WARN("killed 200 times: " << old_ones << " old files, " << new_ones << " new ones, " << strays
                            << " temporary files left beside them");
}
