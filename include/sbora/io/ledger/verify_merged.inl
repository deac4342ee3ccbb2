#pragma once

#include <cstring>

#include <sbora/core/option.hpp>
#include <sbora/io/adapter/adapter_config_json.hpp>
#include <sbora/io/ledger/model_fingerprint.hpp>
#include <sbora/io/ledger/verify_merged.hpp>
#include <sbora/io/merge/merge_checkpoint.inl>

namespace sbora::inline SBORA_ABI::detail {

/// Compares a model with what it should be, and names what differs.
class model_check {
 public:
  model_check(const region_ledger& ledger, const task_adapters& adapters, const checkpoint& base,
              const checkpoint& model, const progress_callback& progress, any_executor pool)
      : ledger_(ledger), adapters_(adapters), base_(base), model_(model), progress_(progress), pool_(pool) {}

  /// Tensors that can be compared: all, or problems are added.
  void check_tensors(problem_list& problems) const {
    for (const tensor_view& tensor : base_.tensors()) {
      const tensor_view* const other = model_.find(tensor.name);
      if (other == nullptr) {
        problems.add("the model has no tensor '" + tensor.name + "'");
      } else if (other->type != tensor.type || other->shape != tensor.shape) {
        problems.add("tensor '" + tensor.name + "' is " + to_string(other->type) + " " + shape_text(other->shape) +
                     ", in the base " + to_string(tensor.type) + " " + shape_text(tensor.shape));
      }
    }
    for (const tensor_view& tensor : model_.tensors()) {
      if (base_.find(tensor.name) == nullptr) problems.add("the base has no tensor '" + tensor.name + "'");
    }
  }

  /// Whether the model has more of the elements that a task changes than it lacks.
  bool has_task(const weight_changes& changes) const {
    std::uint64_t changed = 0, unchanged = 0;
    for_rows(changes, true,
             [&](const tensor_view& tensor, const std::byte* before, const std::byte* expected, const std::byte* found,
                 std::size_t bytes, index_t) {
               const std::size_t size = element_size(tensor);
               if (std::memcmp(before, expected, bytes) == 0) return;
               for (std::size_t at = 0; at < bytes; at += size) {
                 if (std::memcmp(before + at, expected + at, size) == 0) continue;
                 changed += std::memcmp(found + at, expected + at, size) == 0 ? 1 : 0;
                 unchanged += std::memcmp(found + at, before + at, size) == 0 ? 1 : 0;
               }
             });
    return changed > 0 && changed >= unchanged;
  }

  /// Every element of the model that isn't what the changes make of the base.
  void find_differences(const weight_changes& changes, std::span<const std::string> merged,
                        problem_list& problems) const {
    constexpr std::size_t most = 10'000;
    std::size_t count = 0;
    tensor_owners owners;
    for_rows(changes, false,
             [&](const tensor_view& tensor, const std::byte*, const std::byte* expected, const std::byte* found,
                 std::size_t bytes, index_t row) {
               if (std::memcmp(expected, found, bytes) == 0) return;
               const std::size_t size = element_size(tensor);
               for (std::size_t at = 0; at < bytes; at += size) {
                 if (std::memcmp(expected + at, found + at, size) == 0 || ++count > most) continue;
                 const auto column = static_cast<index_t>(at / size);
                 if (owners.tensor != &tensor) owners = owners_of(tensor);
                 const index_t slice_rows = tensor.shape.size() == 3 ? tensor.shape[1] : 0;
                 problems.add("tensor '" + tensor.name + "'" +
                              (slice_rows > 0 ? "[" + std::to_string(row / slice_rows) + "]" : "") + " row " +
                              std::to_string(slice_rows > 0 ? row % slice_rows : row) + ", column " +
                              std::to_string(column) + ": expected " + value_text(tensor, expected + at) + ", got " +
                              value_text(tensor, found + at) + owner_text(owners, row, column, merged));
               }
             });
    if (count > most) problems.add("and " + std::to_string(count - most) + " elements more");
  }

 private:
  static std::size_t element_size(const tensor_view& tensor) {
    return std::max<std::size_t>(1, static_cast<std::size_t>(bits_of(tensor.type)) / 8);
  }

  /// f(tensor, base, expected, found, bytes, row) for each row; of changed tensors alone and there touched rows alone
  /// where `changed`.
  template <class Function>
  void for_rows(const weight_changes& changes, bool changed, const Function& f) const {
    std::vector<std::byte> merged;
    std::size_t number = 0;
    std::uint64_t total = 0;
    for (const tensor_view& tensor : base_.tensors()) total += tensor.data.size();
    const progress_callback silent;  // which the counter refers to
    progress_counter counter(changed ? silent : progress_, total);
    for (const safetensors_file& file : base_.files()) {
      for (const tensor_view& stored : file.tensors()) {
        const tensor_view& tensor = base_.tensors()[number++];
        const tensor_view& other = *model_.find(tensor.name);
        const auto change = changes.find(stored.name);
        if (change == changes.end() && changed) continue;
        std::optional<tensor_merge> merge;
        if (change != changes.end()) merge.emplace(stored, change->second);
        const std::size_t row_size = bytes_of_row(stored);
        const auto rows_of = [&](std::span<const std::byte> rows) {
          const std::byte* expected = rows.data();
          if (merge && !merge->empty()) {
            merge->apply(rows, merged, pool_);
            expected = merged.data();
          }
          const std::size_t from = static_cast<std::size_t>(rows.data() - stored.data.data());
          for (std::size_t at = 0; at < rows.size(); at += row_size) {
            f(tensor, rows.data() + at, expected + at, other.data.data() + from + at, row_size,
              static_cast<index_t>((from + at) / row_size));
          }
          counter.add(rows.size());
        };
        if (row_size == 0) continue;
        if (!changed) {
          for_row_windows(file, stored, {0, rows_in(stored)}, rows_of);
        } else {
          for (const index_range& range : merge->touched()) for_row_windows(file, stored, range, rows_of);
        }
      }
    }
  }

  static std::string value_text(const tensor_view& tensor, const std::byte* element) {
    std::string text;
    const auto known = visit_dense_dtype(tensor.type, [&]<class Scalar>(Scalar) {
      Scalar value;
      std::memcpy(static_cast<void*>(&value), element, sizeof value);
      text = number_text(static_cast<double>(value));
      return true;
    });
    return known ? text : std::to_string(std::to_integer<unsigned>(*element));
  }

  /// What each task changes of one tensor.
  struct tensor_owners {
    const tensor_view* tensor = nullptr;
    std::vector<std::pair<std::string, tensor_merge>> tasks = {};
  };

  tensor_owners owners_of(const tensor_view& tensor) const {
    tensor_owners owners = {&tensor};
    for (const std::string& task : task_names(ledger_)) {
      const weight_changes changes = task_changes(ledger_, adapters_, base_, std::span(&task, 1));
      const auto change = changes.find(tensor.name);
      if (change != changes.end()) owners.tasks.emplace_back(task, tensor_merge(tensor, change->second));
    }
    return owners;
  }

  static std::string owner_text(const tensor_owners& owners, index_t row, index_t column,
                                std::span<const std::string> merged) {
    std::string text;
    for (const auto& [task, change] : owners.tasks) {
      const auto in_columns = [&](const touched_columns& of) {
        return of.rows.begin <= row && row < of.rows.end && std::ranges::binary_search(of.columns, column);
      };
      if (!std::ranges::binary_search(change.rows(), row) && !std::ranges::any_of(change.columns(), in_columns)) {
        continue;
      }
      text += (text.empty() ? " (of task '" : ", '") + task +
              (std::ranges::find(merged, task) != merged.end() ? "', which is in it" : "', which isn't in it");
    }
    return text.empty() ? " (nobody's)" : text + ")";
  }

  const region_ledger& ledger_;
  const task_adapters& adapters_;
  const checkpoint& base_;
  const checkpoint& model_;
  const progress_callback& progress_;
  any_executor pool_;
};

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF void require_base(const region_ledger& ledger, const checkpoint& base) {
  detail::problem_list problems;
  if (const std::uint64_t found = model_fingerprint(base); found != ledger.base()) {
    problems.add("the base's fingerprint is " + detail::hex_text(found) + ", the ledger's " +
                 detail::hex_text(ledger.base()));
  }
  problems.throw_if_any("the ledger is of another base", "give the base that it was made for");
}

SBORA_INSTANCE_OF std::vector<std::string> verify_merged(const region_ledger& ledger, const task_adapters& adapters,
                                                         const checkpoint& base, const checkpoint& model,
                                                         const progress_callback& progress, any_executor pool) {
  require_base(ledger, base);
  const detail::model_check check(ledger, adapters, base, model, progress, pool);
  detail::problem_list problems;
  check.check_tensors(problems);
  problems.throw_if_any("the model isn't of the ledger's base", "give one that was merged from it");
  std::vector<std::string> merged;
  for (const std::string& task : task_names(ledger)) {
    const weight_changes changes =
        detail::check_changes(base, task_changes(ledger, adapters, base, std::span(&task, 1)));
    if (check.has_task(changes)) merged.push_back(task);
  }
  check.find_differences(detail::check_changes(base, task_changes(ledger, adapters, base, merged)), merged, problems);
  problems.throw_if_any("the model isn't its base and its tasks' updates", "merge the tasks into the base again");
  return merged;
}

}  // namespace sbora::inline SBORA_ABI
