#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>

#include "common/error.hpp"
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

inline std::string table(const std::vector<method_result>& results) {
  std::string text = fmt::format("{:<20} {:>10} {:>10} {:>10} {:>8}  {:<23} {:<16} {}\n", "", "frozen", "trainable",
                                 "optimiser", "step", "task loss", "base-text loss", "merge, unmerge");
  text += fmt::format("{:<20} {:>10} {:>10} {:>10} {:>8}  {:<23} {:<16} {}\n", "method", "bytes", "parameters", "bytes",
                      "ms", "before   after  change", "before   after", "");
  for (const method_result& r : results) {
    const std::string exact =
        r.unmerge_exact ? "bit-exact" : fmt::format("{} of {} weights differ", r.unmerge_differences, r.merge_changed);
    text +=
        fmt::format("{:<20} {:>10} {:>10} {:>10} {:>8.2f}  {:>6.3f}  {:>6.3f}  {:>+5.1f} % {:>6.3f}  {:>6.3f}   {}\n",
                    r.name, r.frozen_bytes, r.parameters, r.optimiser_bytes, 1e3 * r.step_seconds, r.task_before,
                    r.task_after, 100 * (r.task_after / r.task_before - 1), r.base_before, r.base_after, exact);
  }
  return text;
}

/// The same for programs: one `result KEY VALUE` a line.
inline std::string result_lines(const std::vector<method_result>& results) {
  std::string text;
  for (const method_result& r : results) {
    const auto line = [&](std::string_view what, auto value) {
      text += fmt::format("result {}.{} {}\n", r.key, what, value);
    };
    const auto rounded = [&](std::string_view what, double value) { line(what, fmt::format("{:.6f}", value)); };
    line("frozen_bytes", r.frozen_bytes);
    line("parameters", r.parameters);
    line("optimiser_bytes", r.optimiser_bytes);
    line("step_ms", fmt::format("{:.3f}", 1e3 * r.step_seconds));
    rounded("task_loss_before", r.task_before);
    rounded("task_loss_after", r.task_after);
    rounded("task_loss_merged", r.task_merged);
    rounded("base_loss_before", r.base_before);
    rounded("base_loss_after", r.base_after);
    line("merge_changed", r.merge_changed);
    line("unmerge_differences", r.unmerge_differences);
    line("unmerge_exact", r.unmerge_exact ? 1 : 0);
  }
  return text;
}

inline void write_files(const std::string& folder, const std::string& results, const std::vector<loss_record>& log) {
  const std::filesystem::path path(folder);
  std::ofstream(path / "results.txt") << results;
  std::ofstream losses(path / "losses.csv");
  losses << "model,step,loss_nats_per_byte\n";
  for (const loss_record& record : log) {
    losses << record.key << ',' << record.step << ',' << fmt::format("{:.9g}", record.loss) << '\n';
  }
  if (!losses.flush()) throw input_error("--output: writing to " + folder + " failed");
}

}  // namespace byte_lm
