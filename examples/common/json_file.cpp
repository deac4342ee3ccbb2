#include "common/json_file.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

#include <sbora/io/atomic_file.hpp>

#include "common/error.hpp"

namespace examples {

namespace {

constexpr int deepest_json = 128;

}  // namespace

std::string read_file(const std::filesystem::path& path, std::uintmax_t most) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  if (!std::filesystem::exists(status))
    throw input_error(path.string() + ": no such file; give the path of one that is there");
  if (!std::filesystem::is_regular_file(status))
    throw input_error(path.string() + ": not a file; give the path of one");
  const std::uintmax_t size = std::filesystem::file_size(path, ignored);
  if (!ignored && size > most) {
    throw input_error(path.string() + ": " + std::to_string(size) + " bytes, expected up to " + std::to_string(most));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw input_error(path.string() + ": cannot be read");
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) throw input_error(path.string() + ": reading failed");
  return text;
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  sbora::atomic_file file(path);
  file.write(text);
  file.commit();
}

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  // Whoever copies or prints a deeper one goes down its levels on the stack.
  const auto watch = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > deepest_json) throw input_error(where + ": is deeper than " + std::to_string(deepest_json) + " levels");
    return true;
  };
  try {
    return nlohmann::json::parse(text, watch);
  } catch (const nlohmann::json::exception& error) {
    std::string what = error.what();
    if (what.starts_with("[json.exception.")) what.erase(0, what.find("] ") + 2);  // the parser's own name for it
    what.resize(std::min({what.size(), what.find('\n'), std::size_t{160}}));
    throw input_error(where + ": is not JSON: " + what);
  }
}

nlohmann::json read_json(const std::filesystem::path& path) {
  return parse_json(read_file(path, largest_json), path.string());
}

}  // namespace examples
