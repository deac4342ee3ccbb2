#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sbora/core/compiled_once.hpp>
#include <sbora/model/module_list.hpp>

namespace sbora::inline SBORA_ABI {

/// The columns (FA) or rows (FB) of one module that a task owns.
struct owned_region {
  std::string module;
  adapter_kind kind;
  region target;

  bool operator==(const owned_region&) const = default;
};

/// A task of a ledger: all that it owns. Its adapter has just these regions.
struct ledger_task {
  std::string name;
  std::uint64_t version = 1;  ///< goes up with every change of what it owns
  std::string adapter = {};   ///< where its files are; empty: nobody said
  std::vector<owned_region> regions = {};

  bool operator==(const ledger_task&) const = default;
};

/// What a claim asks for: `rank` columns or rows of a module.
struct region_request {
  std::string module;
  adapter_kind kind;
  index_t rank;
};

/// Chooses request.rank of the free indices of [0, dim), which are at least as many and ascending. Errors: what it
/// throws refuses the claim; of region_error the message is one of the reasons.
using free_choice =
    std::function<std::vector<index_t>(const region_request& request, index_t dim, std::span<const index_t> free)>;

/// Uniform among what is free. Numerics: sample_region over it, with module_seed(seed, module, 0).
SBORA_IN_MODEL_INSTANCES free_choice uniform_among_free(std::uint64_t seed);
/// The same in aligned groups of `block` that are free as a whole.
SBORA_IN_MODEL_INSTANCES free_choice blocks_among_free(index_t block, std::uint64_t seed);
/// top_region among what is free, of scores that `scores_of` has for a module and kind, one a column or row.
SBORA_IN_MODEL_INSTANCES free_choice
best_among_free(std::function<std::span<const double>(std::string_view module, adapter_kind kind)> scores_of);

/// What is left of a module.
struct module_capacity {
  std::string module;
  index_t free_columns;
  index_t free_rows;

  bool operator==(const module_capacity&) const = default;
};

/// Which task owns which columns and rows of one base model's modules, so that tasks can be trained apart, be in one
/// model at once, and be taken out of it in any order, each without a trace (Multi-SBoRA).
///
/// Effect      A value. No index of a module has two owners, ever: each operation is done as a whole, or refused with
///             all that is wrong and what is left.
/// Requires    one kind for a module, since columns cross rows; unless `crossing` allows both. Where they cross, an
///             element is changed by two tasks, and a merger refuses them.
/// Cost        of an operation: O(indices owned·log), and where one is claimed O(dim) for each of its modules.
/// Thread      as any value; io/ledger/ledger_file.hpp keeps one in a file that several processes change.
/// Errors      checkpoint_error with every problem; config_error for an unknown task; the ledger is as it was then.
class region_ledger {
 public:
  /// `base`: model_fingerprint of the base (io/ledger/model_fingerprint.hpp), or any number that tells it apart.
  SBORA_IN_MODEL_INSTANCES region_ledger(std::vector<model_module> modules, std::uint64_t base, bool crossing = false,
                                         std::vector<ledger_task> tasks = {});

  const std::vector<model_module>& modules() const& noexcept { return modules_.modules(); }
  const std::vector<model_module>& modules() const&& = delete;  // would dangle: name the ledger
  std::uint64_t base() const noexcept { return base_; }
  bool allows_crossing() const noexcept { return crossing_; }

  /// In the order in which they first claimed.
  const std::vector<ledger_task>& tasks() const& noexcept { return tasks_; }
  const std::vector<ledger_task>& tasks() const&& = delete;  // would dangle: name the ledger
  SBORA_IN_MODEL_INSTANCES bool has(std::string_view task) const noexcept;
  SBORA_IN_MODEL_INSTANCES const ledger_task& at(std::string_view task) const&;
  const ledger_task& at(std::string_view) const&& = delete;  // would dangle: name the ledger
  /// What it owns of a module. Errors: config_error where that is nothing.
  SBORA_IN_MODEL_INSTANCES const region& target(std::string_view task, std::string_view module) const&;
  const region& target(std::string_view, std::string_view) const&& = delete;  // would dangle: name the ledger

  /// Gives a task, new or not, as many columns or rows of each module as are asked for, of those that nobody has.
  /// Refused: a module that it has a region of already.
  SBORA_IN_MODEL_INSTANCES void claim(const std::string& task, std::span<const region_request> requests,
                                      const free_choice& choose);
  /// These, as of an adapter that was trained before.
  SBORA_IN_MODEL_INSTANCES void claim(const std::string& task, std::vector<owned_region> regions);

  /// Gives back what a task has of the modules, or all, and then the task is gone.
  SBORA_IN_MODEL_INSTANCES void release(std::string_view task);
  SBORA_IN_MODEL_INSTANCES void release(std::string_view task, std::span<const std::string> modules);

  /// Another task, new or not, owns what `from` did, and `from` is gone. Of a new one that is a change of names.
  SBORA_IN_MODEL_INSTANCES void transfer(std::string_view from, const std::string& to);

  SBORA_IN_MODEL_INSTANCES void set_adapter(std::string_view task, std::string folder);

  /// Of every module, in their order.
  SBORA_IN_MODEL_INSTANCES std::vector<module_capacity> capacity() const;
  /// Ascending. Errors: config_error for an unknown module.
  SBORA_IN_MODEL_INSTANCES std::vector<index_t> free_indices(std::string_view module, adapter_kind kind) const;

  /// How an adapter's regions differ from what its task owns: nothing where they don't.
  template <class T>
  std::vector<std::string> adapter_problems(std::string_view task, const model_adapter<T>& adapter) const {
    std::vector<owned_region> regions;
    std::vector<model_module> shapes;
    adapter.for_each([&](const std::string& module, const auto& part) {
      regions.push_back({module, part.kind, part.target()});
      shapes.push_back({module, part.d_out(), part.d_in()});
    });
    return region_problems(at(task), regions, shapes);
  }

  SBORA_IN_MODEL_INSTANCES bool operator==(const region_ledger& other) const noexcept;

 private:
  SBORA_IN_MODEL_INSTANCES std::size_t require(std::string_view task) const;
  SBORA_IN_MODEL_INSTANCES std::vector<ledger_task> with_regions(const std::string& task,
                                                                 std::vector<owned_region> regions) const;
  SBORA_IN_MODEL_INSTANCES void check(const std::vector<ledger_task>& tasks, detail::problem_list& problems) const;
  SBORA_IN_MODEL_INSTANCES std::vector<std::string> region_problems(const ledger_task& task,
                                                                    std::span<const owned_region> regions,
                                                                    std::span<const model_module> shapes) const;

  detail::module_list modules_;
  std::uint64_t base_;
  bool crossing_;
  std::vector<ledger_task> tasks_;
};

}  // namespace sbora::inline SBORA_ABI
