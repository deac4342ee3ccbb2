#include "multi_task/results.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <fmt/core.h>

#include "common/error.hpp"

namespace multi_task {
namespace {

constexpr const char* header = "seed,question,row,column,measure,value\n";

std::string settings_line(const std::string& settings) { return "# " + settings + "\n"; }

/// Throws where it isn't a result.
result parse(const std::string& line, const std::string& where) {
  std::vector<std::string> fields;
  std::istringstream in(line);
  for (std::string field; std::getline(in, field, ',');) fields.push_back(field);
  const auto number = [&](const std::string& text, auto& value) {
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    return status == std::errc() && end == text.data() + text.size();
  };
  result one{};
  if (fields.size() != 6 || !number(fields[0], one.seed) || !number(fields[5], one.value)) {
    throw input_error(where + ": \"" + line.substr(0, 80) + "\" isn't a result");
  }
  one.question = fields[1];
  one.row = fields[2];
  one.column = fields[3];
  one.measure = fields[4];
  return one;
}

std::string text_of(const result& one) {
  for (const std::string* name : {&one.question, &one.row, &one.column, &one.measure}) {
    if (name->find_first_of(",\n") != std::string::npos) throw std::logic_error("a comma in the name " + *name);
  }
  return fmt::format("{},{},{},{},{},{:.9g}\n", one.seed, one.question, one.row, one.column, one.measure, one.value);
}

}  // namespace

results::results(const std::string& file, const std::string& settings) : file_(file), settings_(settings) {
  if (file_.empty()) return;
  std::error_code status;
  if (std::filesystem::exists(file_, status) && std::filesystem::file_size(file_, status) > 0) {
    const std::size_t whole = load(file_);
    if (settings_ != settings) {
      throw input_error("--results: " + file_ + " has results of other settings, \"" + settings_ +
                        "\", now they are \"" + settings + "\"; name another file");
    }
    std::filesystem::resize_file(file_, whole);  // a line that a killed run didn't finish
    return;
  }
  std::ofstream out(file_, std::ios::binary);
  out << settings_line(settings) << header;
  if (!out.flush()) throw input_error("--results: can't write " + file_);
}

results results::read(const std::string& file) {
  results found;
  found.load(file);
  return found;
}

std::size_t results::load(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw input_error(file + ": no such file, or not to be read");
  std::ostringstream bytes;
  bytes << in.rdbuf();
  const std::string text = bytes.str();
  std::size_t begin = 0, number = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string line = text.substr(begin, end - begin);
    ++number;
    if (number == 1) {
      if (!line.starts_with("# ")) throw input_error(file + ": isn't a file of results");
      settings_ = line.substr(2);
    } else if (number > 2) {
      all_.push_back(parse(line, fmt::format("{}: line {}", file, number)));
    } else if (line + "\n" != header) {
      throw input_error(file + ": line 2 isn't " + std::string(header, std::string(header).size() - 1));
    }
  }
  if (number < 2) throw input_error(file + ": isn't a file of results");
  return begin;
}

bool results::has(std::uint64_t seed, const std::string& question, const std::string& row,
                  const std::string& column) const {
  return std::ranges::any_of(all_, [&](const result& one) {
    return one.seed == seed && one.question == question && one.row == row && one.column == column;
  });
}

void results::add(const std::vector<result>& more) {
  std::string text;
  for (const result& one : more) {
    if (std::ranges::any_of(all_, [&](const result& other) { return other.is_of(one); })) continue;
    text += text_of(one);
    all_.push_back(one);
  }
  if (file_.empty()) return;
  std::ofstream out(file_, std::ios::binary | std::ios::app);
  out << text;
  if (!out.flush()) throw std::runtime_error("can't write " + file_);
}

}  // namespace multi_task
