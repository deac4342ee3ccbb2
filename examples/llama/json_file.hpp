#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace llama {

/// A whole file. Errors: input_error that names it.
std::string read_file(const std::filesystem::path& path);

/// Writes a whole file. Errors: input_error that names it.
void write_file(const std::filesystem::path& path, std::string_view text);

/// Parses a text that comes from `where`. Errors: input_error of one line with the place in the text.
nlohmann::json parse_json(std::string_view text, const std::string& where);

nlohmann::json read_json(const std::filesystem::path& path);

}  // namespace llama
