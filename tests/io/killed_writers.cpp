// Writers killed at any point leave the old file or the new one.

#include <csignal>

#include <sys/wait.h>
#include <unistd.h>

#include <sbora/core/random.hpp>
#include <sbora/io/gguf/gguf_writer.hpp>
#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

#include "io/safetensors_text.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

using namespace sbora_tests;

namespace {

constexpr int pieces = 40;

/// The two formats: a writer of a file with one tensor "w" of as many values.
std::unique_ptr<sbora::safetensors_stream_writer> safetensors_writer(const std::filesystem::path& path,
                                                                     sbora::index_t size) {
  const sbora::tensor_view tensor = {"w", sbora::dtype::f32, {size}, {}};
  return std::make_unique<sbora::safetensors_stream_writer>(path, std::span(&tensor, 1));
}
std::unique_ptr<sbora::gguf_stream_writer> gguf_writer(const std::filesystem::path& path, sbora::index_t size) {
  const sbora::gguf_tensor tensor = {"w", sbora::ggml_type::f32, {size}, {}};
  return std::make_unique<sbora::gguf_stream_writer>(path, sbora::gguf_metadata(), std::span(&tensor, 1));
}

/// Writes in 40 pieces; calls report() before each, and before and after the commit.
template <class MakeWriter, class Report>
void write_in_pieces(MakeWriter make_writer, const std::filesystem::path& path, const std::vector<float>& values,
                     Report report) {
  const auto file = make_writer(path, std::ssize(values));
  const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
  const std::size_t size = bytes.size() / pieces;
  for (std::size_t i = 0; i < pieces; ++i) {
    report();
    file->write("w", bytes.subspan(i * size, size));
  }
  report();
  file->commit();
  report();
}

/// The same, reporting over `progress`; having done so `halt` times it waits to be killed.
template <class MakeWriter>
[[noreturn]] void write_slowly(MakeWriter make_writer, const std::filesystem::path& path,
                               const std::vector<float>& values, int progress, int halt) {
  int step = 0;
  try {
    write_in_pieces(make_writer, path, values, [&] {
      if (::write(progress, "", 1) != 1) ::_exit(2);
      ++step;
      while (step == halt) ::pause();
    });
  } catch (...) {
    ::_exit(3);
  }
  for (;;) ::pause();
}

/// elements_of(path): of the file's tensor.
template <class MakeWriter, class ElementsOf>
void check_killed(int rounds, const std::string& name, MakeWriter make_writer, ElementsOf elements_of) {
  const temporary_directory directory;
  const auto path = directory / name;
  const auto old_values = random_vector<float>(5000, 1);
  const auto new_values = random_vector<float>(pieces * 4096, 2);
  const auto write = [&](const std::vector<float>& values) { write_in_pieces(make_writer, path, values, [] {}); };
  write(old_values);
  const std::string old_file = read_file(path);
  write(new_values);
  const std::string new_file = read_file(path);

  sbora::random_stream random(2026);
  int old_ones = 0, new_ones = 0, strays = 0;
  for (int round = 0; round < rounds; ++round) {
    write(old_values);
    int progress[2];
    REQUIRE(::pipe(progress) == 0);
    // Half of them around the commit. Half are stopped at their point, so that each is met on any machine; the
    // others run into the signal.
    const int point = 1 + static_cast<int>(random.below(2) == 0 ? random.below(pieces) : pieces + random.below(2));
    const int halt = random.below(2) == 0 ? point : -1;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) write_slowly(make_writer, path, new_values, progress[1], halt);
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
    REQUIRE(elements_of(path) == (file == old_file ? 5000 : pieces * 4096));
    for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
      if (entry.path() == path) continue;
      REQUIRE(entry.path().filename().string().starts_with("." + name + "."));
      ++strays;
      std::filesystem::remove(entry.path());
    }
  }
  CHECK(old_ones > 0);
  CHECK(new_ones > 0);
  CHECK(strays > 0);
  WARN(name << ": killed " << rounds << " times: " << old_ones << " old files, " << new_ones << " new ones, " << strays
            << " temporary files left beside them");
}

}  // namespace

TEST_CASE("a writer killed at 200 points leaves a file that is the old one or the new one") {
  check_killed(200, "x.safetensors", safetensors_writer, [](const std::filesystem::path& path) {
    const auto opened = sbora::safetensors_file::open(path);
    return opened.at("w").elements();
  });
}

TEST_CASE("and one of GGUF files at 100") {
  check_killed(100, "x.gguf", gguf_writer, [](const std::filesystem::path& path) {
    const auto opened = sbora::gguf_file::open(path);
    return opened.at("w").shape[0];
  });
}
