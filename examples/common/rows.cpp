#include "common/rows.hpp"

#include <algorithm>
#include <string_view>

#include <nlohmann/json.hpp>

#include "common/csv_rows.hpp"
#include "common/json_fields.hpp"
#include "common/json_file.hpp"

namespace examples {

namespace {

using nlohmann::json;

/// For a message that misses one: ; it has "question", "answer".
std::string fields_of(const json& object) {
  constexpr std::size_t most = 8, longest = 40;
  if (!object.is_object()) return {};
  std::string names;
  std::size_t count = 0;
  for (const auto& [name, value] : object.items()) {
    if (++count <= most) names += (names.empty() ? "; it has \"" : ", \"") + name.substr(0, longest) + "\"";
  }
  return count > most ? names + ", ..." : names;
}

std::vector<task_row> read_rows(const data_content& content, const std::filesystem::path& path) {
  std::vector<task_row> rows;
  for_each_row(content, path,
               [&](const json& object, const std::string& where) { rows.push_back(read_row(object, where)); });
  if (rows.empty()) throw input_error(path.string() + ": has no rows");
  return rows;
}

}  // namespace

void for_each_row(const data_content& content, const std::filesystem::path& path,
                  const std::function<void(const json& object, const std::string& where)>& f) {
  if (content.kind == data_kind::text) {
    throw input_error(path.string() + ": is text, expected rows: a JSON array, JSON lines or CSV");
  }
  if (content.kind == data_kind::csv) return for_each_csv_row(content.text, path.string(), f);
  if (content.kind == data_kind::lines) {
    std::string_view rest = content.text;
    for (std::size_t number = 1; !rest.empty(); ++number) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      const std::string where = path.string() + ": line " + std::to_string(number);
      f(parse_json(line, where), where);
    }
    return;
  }
  json array = parse_json(content.text, path.string());
  if (array.is_object() && (array.contains("instruction") || array.contains("input_ids"))) {
    array = json::array({std::move(array)});  // JSON lines of one line
  }
  if (!array.is_array()) {
    throw input_error(path.string() + ": is not a JSON array of rows, nor JSON lines" + fields_of(array));
  }
  if (array.empty()) throw input_error(path.string() + ": has no rows");
  for (std::size_t i = 0; i < array.size(); ++i) f(array[i], path.string() + ": row " + std::to_string(i));
}

task_row read_row(const json& object, const std::string& where) {
  json_fields fields(object, where);
  const auto text = [&](const char* name, const char* otherwise) {
    const json* const value = fields.find(name);
    if (!value && !otherwise) fields.fail(std::string("field \"") + name + "\" is missing" + fields_of(object));
    if (value && !value->is_string()) fields.fail(std::string("field \"") + name + "\" isn't a string");
    return value ? value->get<std::string>() : std::string(otherwise);
  };
  task_row row;
  row.instruction = text("instruction", nullptr);
  if (row.instruction.empty()) fields.fail("field \"instruction\" is empty");
  row.input = text("input", "");
  row.output = text("output", nullptr);
  const json* const answer = fields.find("answer");  // some files have numbers
  row.answer = answer && answer->is_number() ? answer->dump() : text("answer", "");
  return row;
}

std::vector<task_row> read_task_rows(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  return read_rows(recognise(path, bytes), path);
}

std::string plain_prompt(const task_row& row) {
  return row.instruction + (row.input.empty() ? "" : "\n" + row.input) + "\n";
}

std::string plain_response(const task_row& row) {
  const std::string& text = row.output.empty() ? row.answer : row.output;
  return text.substr(std::min(text.size(), text.find_first_not_of('\n')));
}

std::string read_plain_text(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  const data_content content = recognise(path, bytes);
  if (content.kind == data_kind::text) return std::string(content.text);
  std::string text;
  for (const task_row& row : read_rows(content, path)) text += plain_prompt(row) + plain_response(row) + "\n\n";
  return text;
}

}  // namespace examples
