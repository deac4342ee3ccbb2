// Files of the example that are read and written as a whole: limits, depth, and nothing half written.

#include <sbora/io/errors.hpp>

#include "common/json_file.hpp"

#include "common/error.hpp"
#include "io/temporary_directory.hpp"
#include "support/catch.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using llama::input_error;

TEST_CASE("a JSON file has a size and a depth") {
  const temporary_directory directory;
  const auto path = directory / "config.json";
  write_file(path, "{}");
  std::filesystem::resize_file(path, llama::largest_json + 1);  // takes no room, and isn't read
  CHECK_ERROR(input_error, "config.json: 1073741825 bytes, expected up to 1073741824", llama::read_json(path));
  CHECK_ERROR(input_error, "4 bytes, expected up to 3", (write_file(path, "true"), llama::read_file(path, 3)));
  for (const char* open : {"[", "{\"a\":"}) {
    std::string deep;
    for (int i = 0; i < 200'000; ++i) deep += open;
    write_file(path, deep);
    CHECK_ERROR(input_error, "config.json: is deeper than 128 levels", llama::read_json(path));
  }
  write_file(path, std::string(128, '[') + std::string(128, ']'));
  CHECK(llama::read_json(path).is_array());
}

TEST_CASE("a file that can't be written whole is as it was") {
  const temporary_directory directory;
  const auto path = directory / "results.txt";
  llama::write_file(path, "old");
  llama::write_file(path, "new");
  CHECK(read_file(path) == "new");
  std::filesystem::create_directory(directory / "folder");
  CHECK_ERROR(sbora::file_error, "writing", llama::write_file(directory / "folder", "text"));
  CHECK_ERROR(sbora::file_error, "No such file", llama::write_file(directory / "none" / "x", "text"));
  CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 2);
}
