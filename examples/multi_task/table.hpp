#pragma once

#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "setting.hpp"

namespace multi_task {

/// Rows of numbers, one of each seed, printed as mean ± standard deviation.
class table {
 public:
  table(std::string title, std::vector<std::string> columns) : title_(std::move(title)), columns_(std::move(columns)) {}

  void add(const std::string& row, const std::vector<double>& values) {
    auto found = std::ranges::find(rows_, row, &of_row::name);
    if (found == rows_.end()) {
      rows_.push_back({row, std::vector<std::vector<double>>(values.size())});
      found = rows_.end() - 1;
    }
    for (std::size_t i = 0; i < values.size(); ++i) found->values[i].push_back(values[i]);
  }
  void add(const std::string& row, const losses& found) {
    std::vector<double> values(found.of_task.begin(), found.of_task.end());
    values.push_back(found.of_base);
    add(row, values);
  }

  void print() const {
    std::string text = fmt::format("\n{}\n\n| |", title_), line = "|---|";
    for (const std::string& column : columns_) text += " " + column + " |", line += "---|";
    text += "\n" + line + "\n";
    for (const of_row& row : rows_) {
      text += "| " + row.name + " |";
      for (const auto& values : row.values) {
        double mean = 0, squares = 0;
        for (const double value : values) mean += value / static_cast<double>(values.size());
        for (const double value : values) squares += (value - mean) * (value - mean);
        const double deviation = values.size() < 2 ? 0 : std::sqrt(squares / static_cast<double>(values.size() - 1));
        text += fmt::format(" {:.3f} ± {:.3f} |", mean, deviation);
      }
      text += "\n";
    }
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }

 private:
  struct of_row {
    std::string name;
    std::vector<std::vector<double>> values;  ///< by column, of each seed
  };

  std::string title_;
  std::vector<std::string> columns_;
  std::vector<of_row> rows_;
};

/// Titles of tables of losses.
inline std::vector<std::string> loss_columns() {
  std::vector<std::string> columns(task_names.begin(), task_names.end());
  columns.emplace_back("base text");
  return columns;
}

}  // namespace multi_task
