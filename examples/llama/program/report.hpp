#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "program/merge_check.hpp"
#include "model/model.hpp"

namespace llama {

/// "SBoRA-FA, rank 32".
std::string name_of(const adapter_plan& plan);

/// What is known of one method after fine-tuning. Losses: nats per scored token, on data never trained on.
struct method_result {
  std::string key;
  std::string name;
  index_t parameters = 0;
  std::size_t optimiser_bytes = 0;
  double step_seconds = 0;
  std::size_t peak_bytes = 0;
  double task_before = 0, task_after = 0;
  double base_before = 0, base_after = 0;
  double task_merged = 0;                  ///< of the merged checkpoint, loaded without adapters
  bool reload_exact = false;               ///< base and saved adapter, loaded anew, have the same loss to the last bit
  std::optional<merge_report> merge;       ///< not where the base is quantised
  std::map<std::string, double> accuracy;  ///< by test file, 0 to 1
};

/// For people.
std::string table(const std::vector<method_result>& results);

/// The same for programs: one `result KEY VALUE` a line.
std::string result_lines(const std::vector<method_result>& results);

}  // namespace llama
