#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

/// What a data file is, by its content and its name together: nothing is guessed, and what isn't understood is refused
/// in words that help. Shared by the examples that read data.
namespace data_file {

enum class kind {
  json,   ///< one JSON document, an array of rows
  lines,  ///< JSON lines: an object a line
  text
};

/// The kinds that are understood, for messages.
inline constexpr const char* understood =
    "understood are JSON arrays of rows and JSON lines (.json, .jsonl) and UTF-8 text (.txt, .text, .md)";

struct content {
  data_file::kind kind;
  std::string_view text;  ///< without a UTF-8 byte order mark
};

namespace detail {

/// Formats that people have data in, by how they begin.
struct signature {
  std::string_view bytes;
  const char* name;
};
inline constexpr signature signatures[] = {
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

/// The length of a UTF-8 sequence that `text` begins with, or 0.
inline std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xC2 && first < 0xE0   ? 2
                             : first >= 0xE0 && first < 0xF0 ? 3
                             : first >= 0xF0 && first < 0xF5 ? 4
                                                             : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return 0;
  }
  const unsigned second = byte(1);  // overlong forms, surrogates, above U+10FFFF
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
      (first == 0xF4 && second > 0x8F)) {
    return 0;
  }
  return length;
}

/// Why the bytes aren't text, with the remedy; empty where they are.
inline std::string why_not_text(std::string_view bytes) {
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
    const std::size_t length = utf8_length(bytes.substr(at));
    if (length == 0) {
      return "is not UTF-8 at offset " + std::to_string(at) + ", line " + std::to_string(line) +
             "; if it is Latin-1, convert it with iconv -f LATIN1 -t UTF-8";
    }
    line += bytes[at] == '\n';
    at += length;
  }
  return {};
}

inline std::string_view without_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

}  // namespace detail

/// The kind of a file's bytes.
///
///   .json, .jsonl, .ndjson (any case)  JSON; lines where the first line is an object and more follows, or by the name
///   .txt, .text, .md                   text, unless all of it is JSON
///   no or another extension            JSON where all of it is; else refused
///
/// is_json(text)   whether all of a text is one JSON document
/// Errors          refuse(message) is called, and has to throw; the message has no name of the file
/// Cost            a pass over the bytes, and of the content for a second opinion on text
template <class IsJson, class Refuse>
content recognise(const std::filesystem::path& path, std::string_view bytes, IsJson is_json, Refuse refuse) {
  if (const std::string why = detail::why_not_text(bytes); !why.empty()) refuse(why + "; " + understood);
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  std::string extension = path.extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;

  const std::string_view begin = detail::without_blanks(bytes);
  const std::size_t end_of_line = std::min(begin.size(), begin.find('\n'));
  const bool more_lines = !detail::without_blanks(begin.substr(end_of_line)).empty();
  const bool object_line = begin.starts_with('{') && is_json(begin.substr(0, end_of_line));
  if (extension == ".jsonl" || extension == ".ndjson") {
    return {begin.starts_with('[') ? kind::json : kind::lines, bytes};
  }
  if (extension == ".json") return {object_line && more_lines ? kind::lines : kind::json, bytes};

  const bool whole = (begin.starts_with('[') || begin.starts_with('{')) && is_json(begin);
  if (extension == ".txt" || extension == ".text" || extension == ".md") {
    if (whole || (object_line && more_lines)) refuse("is JSON by its content, text by its name; call it .json");
    return {kind::text, bytes};
  }
  if (object_line && more_lines) return {kind::lines, bytes};
  if (whole) return {kind::json, bytes};
  const std::string named = extension.empty() ? "its name has no extension" : "its name ends in " + extension;
  refuse("isn't JSON, and " + named + ", so it isn't clear what it is; if it is plain text, call it .txt; " +
         understood);
  return {kind::text, bytes};  // refuse() has thrown
}

}  // namespace data_file
