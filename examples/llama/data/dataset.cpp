#include "data/dataset.hpp"

#include <algorithm>
#include <string_view>

#include "common/data_file.hpp"
#include "model/batch.hpp"
#include "common/json_fields.hpp"
#include "common/json_file.hpp"

namespace llama {

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

/// Token ids, or `also`.
std::vector<std::int32_t> read_ids(json_fields& fields, const char* name, std::int32_t also, index_t vocab_size) {
  const json& list = fields.at(name);
  const std::string field = std::string("field \"") + name + "\"";
  if (!list.is_array()) fields.fail(field + " isn't an array");
  std::vector<std::int32_t> ids;
  ids.reserve(list.size());
  for (const json& id : list) {
    const std::int64_t value = id.is_number_integer() ? id.get<std::int64_t>() : -1;
    if (value != also && (value < 0 || value >= vocab_size)) {
      fields.fail(field + " has " + id.dump() + ", expected token ids from 0 to " + std::to_string(vocab_size - 1));
    }
    ids.push_back(static_cast<std::int32_t>(value));
  }
  return ids;
}

/// Collects examples and what is to be said of them.
class collector {
 public:
  collector(const tokenizer* by, const dataset_options& options) : tokenizer_(by), options_(options) {}

  /// A row, or token ids.
  void add_object(const json& object, const std::string& where) {
    if (object.is_object() && object.contains("input_ids")) {
      add_tokens(object, where);
    } else {
      add_row(read_row(object, where), where);
    }
  }

  void add_text(std::string_view text, const std::string& where) {
    const token_ids ids = tokenizer_for(where).encode(text, true);
    for (const token_id id : ids) check(id, where);
    for (index_t at = 0; at + 1 < std::ssize(ids); at += cutoff()) {
      const auto end = std::min(at + cutoff(), std::ssize(ids));
      token_ids part(ids.begin() + at, ids.begin() + end);
      add({part, part});
    }
  }

  dataset finish(const std::string& where) {
    if (result_.examples.empty()) throw input_error(where + ": there is nothing to train on");
    if (result_.unscored == std::ssize(result_.examples)) {
      throw input_error(where + ": no token is scored: cutoff_len " + std::to_string(cutoff()) +
                        " leaves nothing after the prompts");
    }
    return std::move(result_);
  }

 private:
  void add_row(const task_row& row, const std::string& where) {
    example made = tokenise(row, tokenizer_for(where), options_.prompt);
    for (const token_id id : made.tokens) check(id, where);
    if (made.cut) ++result_.cut;
    if (row.output.empty()) ++result_.without_output;
    add(std::move(made));
  }

  void add_tokens(const json& object, const std::string& where) {
    json_fields fields(object, where);
    example made;
    made.tokens = read_ids(fields, "input_ids", 0, options_.vocab_size);
    if (made.tokens.empty()) fields.fail("field \"input_ids\" is empty");
    made.labels =
        fields.find("labels") ? read_ids(fields, "labels", token_batch::not_scored, options_.vocab_size) : made.tokens;
    if (made.labels.size() != made.tokens.size()) {
      fields.fail("fields \"input_ids\" and \"labels\" have " + std::to_string(made.tokens.size()) + " and " +
                  std::to_string(made.labels.size()) + " entries");
    }
    if (std::ssize(made.tokens) > cutoff()) {
      made.tokens.resize(static_cast<std::size_t>(cutoff()));
      made.labels.resize(made.tokens.size());
      ++result_.cut;
    }
    add(std::move(made));
  }

  index_t cutoff() const { return options_.prompt.cutoff_len; }

  const tokenizer& tokenizer_for(const std::string& where) const {
    if (!tokenizer_) throw input_error(where + ": needs a tokenizer; without one only \"input_ids\" can be read");
    return *tokenizer_;
  }
  void check(token_id id, const std::string& where) const {
    if (id < options_.vocab_size) return;
    throw input_error(where + ": the tokenizer gives token " + std::to_string(id) + ", the model's vocabulary is " +
                      std::to_string(options_.vocab_size));
  }
  void add(example made) {
    if (!is_scored(made)) ++result_.unscored;
    result_.examples.push_back(std::move(made));
  }

  const tokenizer* tokenizer_;
  const dataset_options& options_;
  dataset result_;
};

/// f(object, where) for every row of a file. Errors: input_error for what has none, and for text.
template <class Function>
void for_each_row(const data_file::content& content, const std::filesystem::path& path, Function f) {
  if (content.kind == data_file::kind::lines) {
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

data_file::content recognise(const std::filesystem::path& path, const std::string& bytes) {
  return data_file::recognise(
      path, bytes, [](std::string_view text) { return json::accept(text); },
      [&](const std::string& why) { throw input_error(path.string() + ": " + why); });
}

std::vector<task_row> read_rows(const data_file::content& content, const std::filesystem::path& path) {
  std::vector<task_row> rows;
  for_each_row(content, path,
               [&](const json& object, const std::string& where) { rows.push_back(read_row(object, where)); });
  if (rows.empty()) throw input_error(path.string() + ": has no rows");
  return rows;
}

}  // namespace

std::string dataset::summary() const {
  std::string text = std::to_string(examples.size()) + " examples";
  if (cut > 0) text += ", " + std::to_string(cut) + " cut at cutoff_len";
  if (unscored > 0) text += ", " + std::to_string(unscored) + " with nothing scored";
  if (without_output > 0) text += ", " + std::to_string(without_output) + " without output";
  return text;
}

std::vector<task_row> read_task_rows(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  const data_file::content content = recognise(path, bytes);
  if (content.kind == data_file::kind::text) {
    throw input_error(path.string() + ": is text, expected rows: a JSON array or JSON lines");
  }
  return read_rows(content, path);
}

data_text read_data_text(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  const data_file::content content = recognise(path, bytes);
  if (content.kind == data_file::kind::text) return {std::string(content.text), {}};
  return {{}, read_rows(content, path)};
}

dataset load_dataset(const std::filesystem::path& path, const tokenizer* by, const dataset_options& options) {
  collector examples(by, options);
  const std::string bytes = read_file(path);
  const data_file::content content = recognise(path, bytes);
  if (content.kind == data_file::kind::text) {
    examples.add_text(content.text, path.string());
  } else {
    for_each_row(content, path,
                 [&](const json& object, const std::string& where) { examples.add_object(object, where); });
  }
  return examples.finish(path.string());
}

}  // namespace llama
