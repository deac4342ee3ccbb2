#include "multi_task/tables.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/core.h>

#include "multi_task/questions.hpp"

namespace multi_task {
namespace {

struct table {
  const char* question;
  const char* measure;
  const char* title;
};

constexpr table tables[] = {
    {alone_question, "loss", "Each task alone: loss of its answers"},
    {alone_question, "exact", "Each task alone: answers given exactly, in percent"},
    {forgetting_question, "loss", "Loss of the base text, with the adapter of one task"},
    {together_question, "loss", "All four in one model: losses"},
    {together_question, "exact", "All four in one model: answers given exactly, in percent"},
    {sequence_question, "loss", "One after the other, on a model with the earlier ones merged: losses"},
    {sequence_question, "exact", "One after the other: answers given exactly, in percent"},
    {interference_question, "elements", "Interference"},
    {columns_question, "loss", "Columns of one task chosen by scores: losses"},
    {columns_question, "exact", "Columns of one task chosen by scores: answers given exactly, in percent"},
};

/// "1.234 ± 0.005".
std::string cell_text(const std::vector<double>& values, const std::string& measure) {
  if (values.empty()) return "";
  const double factor = measure == "exact" ? 100 : 1;
  const int digits = measure == "loss" ? 3 : measure == "exact" ? 1 : 0;
  double mean = 0, squares = 0;
  for (const double value : values) mean += factor * value / static_cast<double>(values.size());
  for (const double value : values) squares += (factor * value - mean) * (factor * value - mean);
  const double deviation = values.size() < 2 ? 0 : std::sqrt(squares / static_cast<double>(values.size() - 1));
  if (values.size() < 2 || (digits == 0 && deviation == 0)) return fmt::format("{:.{}f}", mean, digits);
  return fmt::format("{:.{}f} ± {:.{}f}", mean, digits, deviation, digits);
}

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::ranges::find(names, name) == names.end()) names.push_back(name);
}

std::string text_of(const table& of, const results& from) {
  std::vector<std::string> rows, columns;
  for (const result& one : from.all()) {
    if (one.question != of.question || one.measure != of.measure) continue;
    add_once(rows, one.row);
    add_once(columns, one.column);
  }
  if (rows.empty()) return "";
  std::stable_partition(columns.begin(), columns.end(), [](const std::string& name) { return name != base_text_name; });
  std::string text = fmt::format("\n{}\n\n| |", of.title), line = "|---|";
  for (const std::string& column : columns) text += " " + column + " |", line += "---|";
  text += "\n" + line + "\n";
  for (const std::string& row : rows) {
    text += "| " + row + " |";
    for (const std::string& column : columns) {
      std::vector<double> values;
      for (const result& one : from.all()) {
        const bool here =
            one.question == of.question && one.measure == of.measure && one.row == row && one.column == column;
        if (here) values.push_back(one.value);
      }
      text += " " + cell_text(values, of.measure) + " |";
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::string tables_of(const results& from) {
  std::string text;
  for (const table& of : tables) text += text_of(of, from);
  std::set<std::uint64_t> begun, done;
  for (const result& one : from.all()) (one.question == done_question ? done : begun).insert(one.seed);
  text += fmt::format("\n{} of {} seeds done.\n{}\n", done.size(), begun.size(), from.settings());
  return text;
}

}  // namespace multi_task
