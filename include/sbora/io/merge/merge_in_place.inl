#pragma once

#include <sbora/io/merge/merge_checkpoint.inl>
#include <sbora/io/merge/merge_in_place.hpp>
#include <sbora/io/merge/merge_originals.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A file of a checkpoint and what is merged into it.
struct merge_target {
  patched_file file;
  std::vector<tensor_merge> merges;
};

/// The touched rows of a tensor as they become, f(where they lie, bytes), a few MiB at a time.
template <class Function>
void for_touched_rows(const safetensors_file& file, const tensor_merge& merge, any_executor pool, Function&& f) {
  std::vector<std::byte> merged;
  const auto apply = [&](std::span<const std::byte> rows) {
    merge.apply(rows, merged, pool);
    f(rows.data(), std::span<const std::byte>(merged));
  };
  for (const index_range& rows : merge.touched()) for_row_windows(file, merge.tensor(), rows, apply);
}

inline std::vector<merge_target> targets_of(const checkpoint& model, const weight_changes& changes) {
  std::vector<merge_target> targets;
  for (const safetensors_file& file : model.files()) {
    std::vector<tensor_merge> merges;
    for (const tensor_view& tensor : file.tensors()) {
      const auto change = changes.find(tensor.name);
      if (change == changes.end()) continue;
      merges.emplace_back(tensor, change->second);
      if (merges.back().empty()) merges.pop_back();  // all disabled: nothing to merge, and nothing to keep
    }
    if (merges.empty()) continue;
    patched_file patched(file);  // locks it
    patched.require_one_name();
    if (has_originals(file.path())) {
      throw merge_error("sbora: " + file.path().string() +
                        " is merged in place already: unmerge_in_place restores it, removing " +
                        originals_of(file.path()).string() + " makes it permanent");
    }
    targets.push_back({std::move(patched), std::move(merges)});
  }
  return targets;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF void merge_in_place(const std::filesystem::path& path, const weight_changes& changes,
                                      const progress_callback& progress, any_executor pool) {
  const checkpoint model = checkpoint::open(path);
  const weight_changes stored = detail::check_changes(model, changes);
  std::vector<detail::merge_target> targets = detail::targets_of(model, stored);
  std::uint64_t total = 0;
  for (detail::merge_target& target : targets) {
    for (const detail::tensor_merge& merge : target.merges) {
      detail::for_touched_rows(target.file.file(), merge, pool,
                               [&](const std::byte*, std::span<const std::byte> rows) { total += rows.size(); });
    }
  }
  detail::progress_counter counter(progress, total);
  try {
    for (detail::merge_target& target : targets) detail::write_originals(target.file.file(), target.merges);
    for (detail::merge_target& target : targets) {
      for (const detail::tensor_merge& merge : target.merges) {
        detail::for_touched_rows(target.file.file(), merge, pool,
                                 [&](const std::byte* at, std::span<const std::byte> rows) {
                                   target.file.write(at, rows);
                                   counter.add(rows.size());
                                 });
      }
      target.file.sync();
    }
  } catch (...) {
    std::vector<detail::patched_file*> kept;
    for (detail::merge_target& target : targets) {
      if (detail::has_originals(target.file.file().path())) kept.push_back(&target.file);
    }
    detail::restore_files(kept);
    throw;
  }
}

SBORA_INSTANCE_OF bool is_merged_in_place(const std::filesystem::path& path) {
  for (const std::filesystem::path& shard : checkpoint::open(path).shards()) {
    if (detail::has_originals(shard)) return true;
  }
  return false;
}

SBORA_INSTANCE_OF void unmerge_in_place(const std::filesystem::path& path) {
  const checkpoint model = checkpoint::open(path);
  std::vector<detail::patched_file> files;
  for (const safetensors_file& file : model.files()) {
    if (detail::has_originals(file.path())) files.emplace_back(file);
  }
  if (files.empty()) {
    throw merge_error("sbora: " + path.string() + ": nothing is merged in place, no file has .originals");
  }
  std::vector<detail::patched_file*> all;
  for (detail::patched_file& file : files) all.push_back(&file);
  detail::restore_files(all);
}

}  // namespace sbora::inline SBORA_ABI
