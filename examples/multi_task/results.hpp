#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/programs.hpp"

namespace multi_task {

/// One number: of a question's table, row and column, in one seed.
struct result {
  std::uint64_t seed;
  std::string question, row, column;
  std::string measure;  ///< "loss", "exact" or "elements"
  double value;

  bool is_of(const result& other) const {
    return seed == other.seed && question == other.question && row == other.row && column == other.column &&
           measure == other.measure;
  }
};

/// Results, in memory and, where it has a name, in a CSV file that grows by a line for each: a run that was stopped,
/// however, goes on where it was.
///
/// Errors      input_error for a file of other settings, or that isn't one of results; std::runtime_error where it
///             can't be written.
class results {
 public:
  /// In memory, where `file` is empty.
  results(const std::string& file, const std::string& settings);
  /// To look at.
  static results read(const std::string& file);

  bool has(std::uint64_t seed, const std::string& question, const std::string& row, const std::string& column) const;
  /// Those that aren't there. Names have no commas.
  void add(const std::vector<result>& more);

  const std::vector<result>& all() const { return all_; }
  const std::string& settings() const { return settings_; }

 private:
  results() = default;
  /// Returns the bytes of whole lines.
  std::size_t load(const std::string& file);

  std::string file_, settings_;
  std::vector<result> all_;
};

}  // namespace multi_task
