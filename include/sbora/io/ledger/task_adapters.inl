#pragma once

#include <sbora/io/adapter/peft_lora.hpp>
#include <sbora/io/file_access.hpp>
#include <sbora/io/ledger/task_adapters.hpp>

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF task_adapters load_task_adapters(const region_ledger& ledger, const std::filesystem::path& file,
                                                   std::span<const std::string> tasks) {
  detail::problem_list problems;
  task_adapters adapters;
  for (const std::string& name : tasks) {
    const ledger_task& task = ledger.at(name);
    const std::string who = "task '" + name + "': ";
    if (task.adapter.empty()) {
      problems.add(who + "the ledger doesn't say where its adapter is");
      continue;
    }
    try {
      model_adapter<float> adapter = load_adapter(detail::directory_of(file) / task.adapter, ledger.modules()).adapter;
      for (const std::string& problem : ledger.adapter_problems(name, adapter)) problems.add(who + problem);
      if (!adapter.full_tensors().empty()) {
        problems.add(who + "its adapter replaces whole tensors, such as '" + adapter.full_tensors().front().name() +
                     "', which no task can own");
      }
      if (!adapter.tokens().empty()) {
        problems.add(who + "its adapter replaces tokens of '" + adapter.tokens().front().module +
                     "', which no task can own");
      }
      adapters.insert_or_assign(name, std::move(adapter));
    } catch (const checkpoint_error& error) {
      for (const std::string& problem : error.problems()) problems.add(who + problem);
    } catch (const error& error) {  // lost, or no adapter's files
      problems.add(who + error.what());
    }
  }
  problems.throw_if_any("the adapters aren't the ledger's (" + file.string() + ")",
                        "give the adapters that were trained on what the tasks own");
  return adapters;
}

SBORA_INSTANCE_OF weight_changes task_changes(const region_ledger& ledger, const task_adapters& adapters,
                                              const checkpoint& base, std::span<const std::string> tasks) {
  detail::problem_list problems;
  weight_changes changes;
  for (const std::string& name : tasks) static_cast<void>(ledger.at(name));
  for (const ledger_task& task : ledger.tasks()) {
    if (std::find(tasks.begin(), tasks.end(), task.name) == tasks.end()) continue;
    const auto found = adapters.find(task.name);
    if (found == adapters.end()) throw config_error("sbora::task_changes: no adapter of task '" + task.name + "'");
    for (auto& [tensor, of_task] : adapter_changes(found->second, base)) {
      const auto [change, is_new] = changes.emplace(tensor, of_task);
      if (is_new) continue;
      if (change->second.order != of_task.order) {
        problems.add("task '" + task.name + "': fan_in_fan_out says that '" + tensor +
                     "' lies otherwise than another task's adapter does");
      }
      const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
      append(change->second.deltas, of_task.deltas);
      append(change->second.parts, of_task.parts);
    }
  }
  problems.throw_if_any("the tasks' adapters aren't for one base", "give adapters that were trained on it");
  return changes;
}

}  // namespace sbora::inline SBORA_ABI
