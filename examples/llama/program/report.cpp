#include "program/report.hpp"

#include "common/format.hpp"
#include "common/memory.hpp"

namespace llama {

std::string name_of(const adapter_plan& plan) {
  const char* name = plan.method == adapter_method::sbora_fa   ? "SBoRA-FA"
                     : plan.method == adapter_method::sbora_fb ? "SBoRA-FB"
                                                               : "LoRA";
  return format("%s, rank %td", name, plan.rank);
}

namespace {

std::string unmerge_text(const method_result& r) {
  if (!r.merge) return "quantised";
  if (r.merge->unmerge_differences == 0) return "bit-exact";
  return format("%td of %td weights differ", r.merge->unmerge_differences, r.merge->changed);
}

}  // namespace

std::string table(const std::vector<method_result>& results) {
  std::string text = format("%-18s %10s %10s %8s %9s  %-24s %-16s  %s\n", "", "trainable", "optimiser", "step", "peak",
                            "task loss", "base-text loss", "");
  text += format("%-18s %10s %10s %8s %9s  %-24s %-16s  %s\n", "method", "parameters", "bytes", "ms", "memory",
                 "before   after    change", "before   after", "merge, unmerge");
  for (const method_result& r : results) {
    text += format("%-18s %10td %10zu %8.1f %9s  %6.3f  %6.3f  %+6.1f %%  %6.3f  %6.3f    %s\n", r.name.c_str(),
                   r.parameters, r.optimiser_bytes, 1e3 * r.step_seconds, size_text(r.peak_bytes).c_str(),
                   r.task_before, r.task_after, 100 * (r.task_after / r.task_before - 1), r.base_before, r.base_after,
                   unmerge_text(r).c_str());
  }
  return text;
}

std::string result_lines(const std::vector<method_result>& results) {
  std::string text;
  for (const method_result& r : results) {
    const auto line = [&](const std::string& what, const char* pattern, auto value) {
      text += "result " + r.key + "." + what + " " + format(pattern, value) + "\n";
    };
    line("parameters", "%td", r.parameters);
    line("optimiser_bytes", "%zu", r.optimiser_bytes);
    line("step_ms", "%.3f", 1e3 * r.step_seconds);
    line("peak_bytes", "%zu", r.peak_bytes);
    line("task_loss_before", "%.6f", r.task_before);
    line("task_loss_after", "%.6f", r.task_after);
    line("task_loss_merged", "%.6f", r.task_merged);
    line("base_loss_before", "%.6f", r.base_before);
    line("base_loss_after", "%.6f", r.base_after);
    line("reload_exact", "%d", r.reload_exact ? 1 : 0);
    if (r.merge) {
      line("merge_changed", "%td", r.merge->changed);
      line("merge_changed_outside", "%td", r.merge->outside);
      line("unmerge_differences", "%td", r.merge->unmerge_differences);
    }
    for (const auto& [file, accuracy] : r.accuracy) line("accuracy." + file, "%.4f", accuracy);
  }
  return text;
}

}  // namespace llama
