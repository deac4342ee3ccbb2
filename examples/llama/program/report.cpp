#include "program/report.hpp"

#include <string_view>

#include <fmt/core.h>

#include "common/memory.hpp"

namespace llama {

std::string name_of(const adapter_plan& plan) {
  const char* name = plan.method == adapter_method::sbora_fa   ? "SBoRA-FA"
                     : plan.method == adapter_method::sbora_fb ? "SBoRA-FB"
                                                               : "LoRA";
  return fmt::format("{}, rank {}", name, plan.rank);
}

namespace {

std::string unmerge_text(const method_result& r) {
  if (!r.merge) return "quantised";
  if (r.merge->unmerge_differences == 0) return "bit-exact";
  return fmt::format("{} of {} weights differ", r.merge->unmerge_differences, r.merge->changed);
}

}  // namespace

std::string table(const std::vector<method_result>& results) {
  std::string text = fmt::format("{:<18} {:>10} {:>10} {:>8} {:>9}  {:<24} {:<16}  {}\n", "", "trainable", "optimiser",
                                 "step", "peak", "task loss", "base-text loss", "");
  text += fmt::format("{:<18} {:>10} {:>10} {:>8} {:>9}  {:<24} {:<16}  {}\n", "method", "parameters", "bytes", "ms",
                      "memory", "before   after    change", "before   after", "merge, unmerge");
  for (const method_result& r : results) {
    text += fmt::format(
        "{:<18} {:>10} {:>10} {:>8.1f} {:>9}  {:>6.3f}  {:>6.3f}  {:>+6.1f} %  {:>6.3f}  {:>6.3f}    {}\n", r.name,
        r.parameters, r.optimiser_bytes, 1e3 * r.step_seconds, size_text(r.peak_bytes), r.task_before, r.task_after,
        100 * (r.task_after / r.task_before - 1), r.base_before, r.base_after, unmerge_text(r));
  }
  return text;
}

std::string result_lines(const std::vector<method_result>& results) {
  std::string text;
  for (const method_result& r : results) {
    const auto line = [&](std::string_view what, auto value) {
      text += fmt::format("result {}.{} {}\n", r.key, what, value);
    };
    const auto rounded = [&](std::string_view what, double value) { line(what, fmt::format("{:.6f}", value)); };
    line("parameters", r.parameters);
    line("optimiser_bytes", r.optimiser_bytes);
    line("step_ms", fmt::format("{:.3f}", 1e3 * r.step_seconds));
    line("peak_bytes", r.peak_bytes);
    rounded("task_loss_before", r.task_before);
    rounded("task_loss_after", r.task_after);
    rounded("task_loss_merged", r.task_merged);
    rounded("base_loss_before", r.base_before);
    rounded("base_loss_after", r.base_after);
    line("reload_exact", r.reload_exact ? 1 : 0);
    if (r.merge) {
      line("merge_changed", r.merge->changed);
      line("merge_changed_outside", r.merge->outside);
      line("unmerge_differences", r.merge->unmerge_differences);
    }
    for (const auto& [file, accuracy] : r.accuracy) line("accuracy." + file, fmt::format("{:.4f}", accuracy));
  }
  return text;
}

}  // namespace llama
