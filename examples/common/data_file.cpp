#include "common/data_file.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "common/error.hpp"
#include "common/utf8.hpp"

namespace examples {

namespace {

constexpr const char* understood =
    "understood are JSON arrays of rows and JSON lines (.json, .jsonl), CSV (.csv) and UTF-8 text (.txt, .text, .md)";

/// Formats that people have data in, by how they begin.
struct signature {
  std::string_view bytes;
  const char* name;
};
constexpr signature signatures[] = {
    {"\x1F\x8B", "gzip-compressed; unpack it with gunzip"},
    {"PK\x03\x04", "a ZIP archive (also .xlsx, .docx, .npz or PyTorch's); unpack or export it"},
    {"BZh", "bzip2-compressed; unpack it with bunzip2"},
    {"\xFD"
     "7zXZ",
     "xz-compressed; unpack it with unxz"},
    {"\x28\xB5\x2F\xFD", "Zstandard-compressed; unpack it with unzstd"},
    {"PAR1", "Parquet; export it as JSON lines (datasets: to_json)"},
    {"ARROW1", "Arrow; export it as JSON lines (datasets: to_json)"},
    {"SQLite format 3", "an SQLite database; export it as JSON lines"},
    {"%PDF", "PDF; extract its text"},
    {"\x89HDF", "HDF5; export it as JSON lines"},
    {"version https://git-lfs", "a Git LFS pointer instead of the file; fetch it with git lfs pull"}};

/// Why the bytes aren't text, with the remedy; empty where they are.
std::string why_not_text(std::string_view bytes) {
  for (const signature& each : signatures) {
    if (bytes.starts_with(each.bytes)) return std::string("is ") + each.name;
  }
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) {
    return "is UTF-16 or UTF-32 by its byte order mark; convert it with iconv -f UTF-16 -t UTF-8";
  }
  std::size_t line = 1;
  for (std::size_t at = 0; at < bytes.size();) {
    if (bytes[at] == '\0') {
      return "has a zero byte at offset " + std::to_string(at) +
             ", so it is binary, or UTF-16 (convert that with iconv -f UTF-16LE -t UTF-8)";
    }
    const utf8_step step = utf8_front(bytes.substr(at));
    if (!step.valid) {
      return "is not UTF-8 at offset " + std::to_string(at) + ", line " + std::to_string(line) +
             "; if it is Latin-1, convert it with iconv -f LATIN1 -t UTF-8";
    }
    line += bytes[at] == '\n';
    at += step.length;
  }
  return {};
}

std::string_view without_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

bool is_json(std::string_view text) { return nlohmann::json::accept(text); }

}  // namespace

data_content recognise(const std::filesystem::path& path, std::string_view bytes) {
  const auto refuse = [&](const std::string& why) { throw input_error(path.string() + ": " + why); };
  if (const std::string why = why_not_text(bytes); !why.empty()) refuse(why + "; " + understood);
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  std::string extension = path.extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;

  const std::string_view begin = without_blanks(bytes);
  const std::size_t end_of_line = std::min(begin.size(), begin.find('\n'));
  const bool more_lines = !without_blanks(begin.substr(end_of_line)).empty();
  const bool object_line = begin.starts_with('{') && is_json(begin.substr(0, end_of_line));
  if (extension == ".jsonl" || extension == ".ndjson") {
    return {begin.starts_with('[') ? data_kind::json : data_kind::lines, bytes};
  }
  if (extension == ".json") return {object_line && more_lines ? data_kind::lines : data_kind::json, bytes};

  const bool whole = (begin.starts_with('[') || begin.starts_with('{')) && is_json(begin);
  if (extension == ".txt" || extension == ".text" || extension == ".md") {
    if (whole || (object_line && more_lines)) refuse("is JSON by its content, text by its name; call it .json");
    return {data_kind::text, bytes};
  }
  if (object_line && more_lines) return {data_kind::lines, bytes};
  if (!whole && extension == ".csv") return {data_kind::csv, bytes};
  if (!whole) {
    const std::string named = extension.empty() ? "its name has no extension" : "its name ends in " + extension;
    refuse("isn't JSON, and " + named + ", so it isn't clear what it is; if it is plain text, call it .txt; " +
           understood);
  }
  return {data_kind::json, bytes};
}

}  // namespace examples
