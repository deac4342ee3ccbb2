#include "data/dataset.hpp"

#include <algorithm>
#include <string_view>

#include "model/batch.hpp"
#include "common/json_fields.hpp"
#include "common/json_file.hpp"

namespace llama {

namespace {

using nlohmann::json;

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

}  // namespace

std::string dataset::summary() const {
  std::string text = std::to_string(examples.size()) + " examples";
  if (cut > 0) text += ", " + std::to_string(cut) + " cut at cutoff_len";
  if (unscored > 0) text += ", " + std::to_string(unscored) + " with nothing scored";
  if (without_output > 0) text += ", " + std::to_string(without_output) + " without output";
  return text;
}

dataset load_dataset(const std::filesystem::path& path, const tokenizer* by, const dataset_options& options) {
  collector examples(by, options);
  const std::string bytes = read_file(path);
  const data_content content = recognise(path, bytes);
  if (content.kind == data_kind::text) {
    examples.add_text(content.text, path.string());
  } else {
    for_each_row(content, path,
                 [&](const json& object, const std::string& where) { examples.add_object(object, where); });
  }
  return examples.finish(path.string());
}

}  // namespace llama
