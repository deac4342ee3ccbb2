#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "common/programs.hpp"

namespace examples {

/// Of a file that is read as a whole: texts and JSON lines, and one JSON document (the largest tokenizer.json has
/// 33 MB, in memory it is up to 24 times as large). Time and memory are linear in them.
inline constexpr std::uintmax_t largest_file = std::uintmax_t{16} << 30;
inline constexpr std::uintmax_t largest_json = std::uintmax_t{1} << 30;

/// A whole file. Errors: input_error that names it, also where it is larger than `most` bytes.
std::string read_file(const std::filesystem::path& path, std::uintmax_t most = largest_file);

/// Writes a file, whole or not at all (sbora::atomic_file). Errors: file_error that names it.
void write_file(const std::filesystem::path& path, std::string_view text);

/// Parses a text that comes from `where`. Errors: input_error of one line with the place in the text; also where it is
/// deeper than 128 levels.
nlohmann::json parse_json(std::string_view text, const std::string& where);

nlohmann::json read_json(const std::filesystem::path& path);

}  // namespace examples
