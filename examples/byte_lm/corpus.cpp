#include "corpus.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/data_file.hpp"

namespace byte_lm {

namespace {

/// A string member of a row; absent is the same as empty, anything else than a string is an error.
std::string member(const nlohmann::json& row, const char* key, const std::string& where) {
  const auto found = row.find(key);
  if (found == row.end() || found->is_null()) return {};
  if (!found->is_string()) throw input_error(where + ": \"" + key + "\" isn't a string");
  return found->get<std::string>();
}

/// Rows of an instruction data set as one text: instruction, input, output, an empty line.
std::string join_rows(const nlohmann::json& rows, const std::string& path) {
  if (!rows.is_array()) throw input_error(path + ": the JSON isn't an array of objects");
  std::string text;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string where = path + ": row " + std::to_string(i);
    if (!rows[i].is_object()) throw input_error(where + " isn't an object");
    const std::string instruction = member(rows[i], "instruction", where);
    const std::string input = member(rows[i], "input", where);
    std::string output = member(rows[i], "output", where);
    if (output.empty()) output = member(rows[i], "answer", where);
    if (instruction.empty() && output.empty()) {
      throw input_error(where + " has neither \"instruction\" nor \"output\"");
    }
    text += instruction;
    if (!input.empty()) text += '\n' + input;
    if (!output.empty() && output.front() != '\n') text += '\n';
    text += output + "\n\n";
  }
  return text;
}

/// Errors of the JSON parser name the place by line and column; they are cut to one line.
nlohmann::json parse_json(std::string_view text, const std::string& path) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    std::string what = error.what();
    what = what.substr(0, what.find('\n'));
    if (what.size() > 160) what = what.substr(0, 160) + "...";
    throw input_error(path + ": malformed JSON: " + what);
  }
}

/// JSON lines as an array.
nlohmann::json parse_lines(std::string_view text, const std::string& path) {
  nlohmann::json rows = nlohmann::json::array();
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    rows.push_back(parse_json(line, path + ": line " + std::to_string(number)));
  }
  return rows;
}

}  // namespace

corpus load_corpus(const std::string& path) {
  std::error_code status;
  if (!std::filesystem::exists(path, status)) throw input_error(path + ": no such file");
  if (!std::filesystem::is_regular_file(path, status)) throw input_error(path + ": not a file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw input_error(path + ": can't be opened");
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) throw input_error(path + ": reading failed");
  if (text.empty()) throw input_error(path + ": the file is empty");
  const data_file::content content = data_file::recognise(
      path, text, [](std::string_view all) { return nlohmann::json::accept(all); },
      [&](const std::string& why) { throw input_error(path + ": " + why); });
  switch (content.kind) {
    case data_file::kind::text: return corpus(path, std::string(content.text));
    case data_file::kind::json: text = join_rows(parse_json(content.text, path), path); break;
    case data_file::kind::lines: text = join_rows(parse_lines(content.text, path), path); break;
  }
  return corpus(path, std::move(text));
}

}  // namespace byte_lm
