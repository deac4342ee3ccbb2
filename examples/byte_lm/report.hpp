#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "input_error.hpp"
#include "trainer.hpp"

namespace byte_lm {

/// What is known of one method after fine-tuning. Losses: held-out, nats per byte.
struct method_result {
  std::string key;   ///< of the result lines
  std::string name;  ///< of the table
  index_t parameters = 0;
  std::size_t frozen_bytes = 0;  ///< of the layers' weights, codes with their scales
  std::size_t optimiser_bytes = 0;
  double step_seconds = 0;
  double task_before = 0, task_after = 0, task_merged = 0;
  double base_before = 0, base_after = 0;
  index_t merge_changed = 0;        ///< weights that merging changed
  index_t unmerge_differences = 0;  ///< weights that aren't what they were after unmerging
  bool unmerge_exact = false;       ///< nor is any bit of codes, scales and the network's results another
};

namespace detail {

template <class... Values>
std::string format(const char* pattern, Values... values) {
  const int length = std::snprintf(nullptr, 0, pattern, values...);
  std::string text(static_cast<std::size_t>(length) + 1, '\0');
  std::snprintf(text.data(), text.size(), pattern, values...);
  text.pop_back();
  return text;
}

}  // namespace detail

inline std::string table(const std::vector<method_result>& results) {
  using detail::format;
  std::string text = format("%-20s %10s %10s %10s %8s  %-23s %-16s %s\n", "", "frozen", "trainable", "optimiser",
                            "step", "task loss", "base-text loss", "merge, unmerge");
  text += format("%-20s %10s %10s %10s %8s  %-23s %-16s %s\n", "method", "bytes", "parameters", "bytes", "ms",
                 "before   after  change", "before   after", "");
  for (const method_result& r : results) {
    const std::string exact =
        r.unmerge_exact ? "bit-exact" : format("%td of %td weights differ", r.unmerge_differences, r.merge_changed);
    text += format("%-20s %10zu %10td %10zu %8.2f  %6.3f  %6.3f  %+5.1f %% %6.3f  %6.3f   %s\n", r.name.c_str(),
                   r.frozen_bytes, r.parameters, r.optimiser_bytes, 1e3 * r.step_seconds, r.task_before, r.task_after,
                   100 * (r.task_after / r.task_before - 1), r.base_before, r.base_after, exact.c_str());
  }
  return text;
}

/// The same for programs: one `result KEY VALUE` a line.
inline std::string result_lines(const std::vector<method_result>& results) {
  std::string text;
  for (const method_result& r : results) {
    const auto line = [&](const char* what, const char* pattern, auto value) {
      text += "result " + r.key + "." + what + " " + detail::format(pattern, value) + "\n";
    };
    line("frozen_bytes", "%zu", r.frozen_bytes);
    line("parameters", "%td", r.parameters);
    line("optimiser_bytes", "%zu", r.optimiser_bytes);
    line("step_ms", "%.3f", 1e3 * r.step_seconds);
    line("task_loss_before", "%.6f", r.task_before);
    line("task_loss_after", "%.6f", r.task_after);
    line("task_loss_merged", "%.6f", r.task_merged);
    line("base_loss_before", "%.6f", r.base_before);
    line("base_loss_after", "%.6f", r.base_after);
    line("merge_changed", "%td", r.merge_changed);
    line("unmerge_differences", "%td", r.unmerge_differences);
    line("unmerge_exact", "%d", r.unmerge_exact ? 1 : 0);
  }
  return text;
}

inline void write_files(const std::string& folder, const std::string& results, const std::vector<loss_record>& log) {
  const std::filesystem::path path(folder);
  std::ofstream(path / "results.txt") << results;
  std::ofstream losses(path / "losses.csv");
  losses << "model,step,loss_nats_per_byte\n";
  for (const loss_record& record : log) {
    losses << record.key << ',' << record.step << ',' << detail::format("%.9g", record.loss) << '\n';
  }
  if (!losses.flush()) throw input_error("--output: writing to " + folder + " failed");
}

}  // namespace byte_lm
