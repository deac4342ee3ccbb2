#include "json_file.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>

#include <sbora/io/errors.hpp>

#include "input_error.hpp"

namespace llama {

std::string read_file(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  if (!std::filesystem::exists(status)) throw input_error(path.string() + ": no such file");
  if (!std::filesystem::is_regular_file(status)) throw input_error(path.string() + ": not a file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw input_error(path.string() + ": cannot be read");
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) throw input_error(path.string() + ": reading failed");
  return text;
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (!file) throw sbora::file_error("writing", path, errno);
}

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    std::string what = error.what();
    what.resize(std::min({what.size(), what.find('\n'), std::size_t{160}}));
    throw input_error(where + ": is not JSON: " + what);
  }
}

nlohmann::json read_json(const std::filesystem::path& path) { return parse_json(read_file(path), path.string()); }

}  // namespace llama
