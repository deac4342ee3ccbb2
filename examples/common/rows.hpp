#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "common/data_file.hpp"

namespace examples {

/// One task of the paper's data.
struct task_row {
  std::string instruction;
  std::string input;  ///< may be empty
  std::string output;
  std::string answer;
};

/// f(object, where) for every row of a file; `where` is for messages. Errors: input_error for a file without rows, and
/// for text.
void for_each_row(const data_content& content, const std::filesystem::path& path,
                  const std::function<void(const nlohmann::json& object, const std::string& where)>& f);

/// A row with the fields instruction, output, input (may be missing) and answer (may be missing); others are ignored.
/// Errors      input_error that names `where` and the field: a wrong type, a missing field, an empty instruction.
task_row read_row(const nlohmann::json& object, const std::string& where);

/// Rows of a JSON array of objects, of JSON lines or of CSV. See common/data_file.hpp for what is understood.
/// Errors      input_error that names file, row or line, and field; another kind of file; no rows at all.
std::vector<task_row> read_task_rows(const std::filesystem::path& path);

/// What a model goes on from, and what should come: a row without the prompt template, of which the small models of the
/// examples have never seen anything and on whose bytes they would spend half of their time. Question, line feed,
/// response.
std::string plain_prompt(const task_row& row);
std::string plain_response(const task_row& row);

/// A file as one text: its rows as plain prompts and responses with an empty line between them; text as it is.
/// Errors      as read_task_rows.
std::string read_plain_text(const std::filesystem::path& path);

}  // namespace examples
