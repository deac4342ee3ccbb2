#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <sbora/core/index.hpp>

namespace llama {

using sbora::index_t;

/// metrics.jsonl: one JSON object a line, each with the "step" after which it was written.
///
/// Effect      opening keeps the lines up to `resumed_step` of an earlier run, so that a resumed run leaves the
///             file that an undisturbed one would have; 0 starts a new file.
/// Errors      input_error where the file can't be written, when opened or later (a full disk).
class metrics_file {
 public:
  metrics_file(std::filesystem::path path, index_t resumed_step);

  void write(const nlohmann::json& record);
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::ofstream file_;
};

/// One curve of metrics.jsonl: the values under `key`, by step.
struct curve {
  std::vector<double> steps;
  std::vector<double> values;
};
curve read_curve(const std::filesystem::path& path, const std::string& key);

}  // namespace llama
