#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "common/programs.hpp"

namespace examples {

/// What a data file is, by its content and its name together. Nothing is guessed.
enum class data_kind {
  json,   ///< one JSON document, an array of rows
  lines,  ///< JSON lines: an object a line
  csv,    ///< records, after a line that names their fields
  text
};

struct data_content {
  data_kind kind;
  std::string_view text;  ///< without a UTF-8 byte order mark
};

/// The kind of a file's bytes.
///
///   .json, .jsonl, .ndjson (any case)  JSON; lines where the first line is an object and more follows, or by the name
///   .txt, .text, .md                   text, unless all of it is JSON
///   .csv                               CSV, unless all of it is JSON
///   no or another extension            JSON where all of it is; else refused
///
/// Lifetime    the result refers to the bytes
/// Errors      input_error that names the file, says what it is instead, and what is understood
/// Cost        a pass over the bytes; a second one where it has to be tried whether they are JSON
data_content recognise(const std::filesystem::path& path, std::string_view bytes);

}  // namespace examples
