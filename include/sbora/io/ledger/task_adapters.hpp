#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include <sbora/core/compiled_once.hpp>
#include <sbora/io/merge/adapter_changes.hpp>
#include <sbora/model/region_ledger.hpp>

namespace sbora::inline SBORA_ABI {

/// Adapters of a ledger's tasks, by task.
using task_adapters = std::map<std::string, model_adapter<float>, std::less<>>;

/// The adapters of some tasks, from where the ledger says that their files are.
///
/// Effect      a relative path is seen from the folder of the ledger's file.
/// Errors      config_error for an unknown task; checkpoint_error with every problem of all of them: no files named,
///             lost or broken ones, regions that aren't the task's, full tensors and tokens, which nobody can own.
SBORA_IN_IO_INSTANCES task_adapters load_task_adapters(const region_ledger& ledger, const std::filesystem::path& file,
                                                       std::span<const std::string> tasks);

/// The names of all tasks.
inline std::vector<std::string> task_names(const region_ledger& ledger) {
  std::vector<std::string> names;
  for (const ledger_task& task : ledger.tasks()) names.push_back(task.name);
  return names;
}

/// What merging these tasks changes in the base's files: of each module all their deltas, in the order of the ledger,
/// whatever order `tasks` has; an expert's in its slice of the stack. Lifetime: refers to the adapters.
/// Errors      config_error for a task whose adapter isn't there; checkpoint_error where adapters disagree how weights
///             lie (fan_in_fan_out), or the base has no such stack.
SBORA_IN_IO_INSTANCES weight_changes task_changes(const region_ledger& ledger, const task_adapters& adapters,
                                                  const checkpoint& base, std::span<const std::string> tasks);
weight_changes task_changes(const region_ledger&, task_adapters&&, const checkpoint&,
                            std::span<const std::string>) = delete;

}  // namespace sbora::inline SBORA_ABI
