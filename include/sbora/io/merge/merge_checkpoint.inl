#pragma once

#include <sbora/io/file_access.hpp>
#include <sbora/io/merge/merge_checkpoint.hpp>
#include <sbora/io/merge/tensor_merge.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Counts bytes for a callback, which may be empty.
class progress_counter {
 public:
  progress_counter(const progress_callback& callback, std::uint64_t total) : callback_(callback), total_(total) {}
  progress_counter(const progress_callback&&, std::uint64_t) = delete;  // would dangle: name the callback
  void add(std::uint64_t bytes) {
    done_ += bytes;
    if (callback_) callback_(done_, total_);
  }

 private:
  const progress_callback& callback_;
  std::uint64_t done_ = 0;
  std::uint64_t total_;
};

/// Bytes of a file go to put() a few MiB at a time, and their pages are let go.
template <class File, class Put>
void copy_bytes(const File& from, std::span<const std::byte> bytes, progress_counter& progress, Put&& put) {
  constexpr std::size_t at_once = std::size_t{8} << 20;
  for (std::size_t at = 0; at < bytes.size(); at += at_once) {
    const auto piece = bytes.subspan(at, std::min(at_once, bytes.size() - at));
    put(piece);
    progress.add(piece.size());
    from.release(piece);
  }
}

/// A tensor's bytes as they are merged.
template <class Put>
void copy_merged(const safetensors_file& from, const tensor_view& tensor, const weight_change& change,
                 any_executor pool, progress_counter& progress, Put&& put) {
  const tensor_merge merge(tensor, change);
  if (merge.empty()) return copy_bytes(from, tensor.data, progress, put);
  std::vector<std::byte> merged;
  for_row_windows(from, tensor, {0, rows_in(tensor)}, [&](std::span<const std::byte> rows) {
    merge.apply(rows, merged, pool);
    put(merged);
    progress.add(merged.size());
  });
}

/// The file as it is, but for the merged tensors' bytes.
inline void copy_merged_file(const safetensors_file& from, const weight_changes& changes, atomic_file& to,
                             any_executor pool, progress_counter& progress) {
  const auto put = [&](std::span<const std::byte> bytes) { to.write(bytes); };
  const std::byte* done = from.bytes().data();
  for (const tensor_view& tensor : from.tensors()) {
    const auto change = changes.find(tensor.name);
    if (change == changes.end()) continue;
    copy_bytes(from, {done, tensor.data.data()}, progress, put);
    copy_merged(from, tensor, change->second, pool, progress, put);
    done = tensor.data.data() + tensor.data.size();
  }
  copy_bytes(from, {done, from.bytes().data() + from.bytes().size()}, progress, put);
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF void write_merged_tensors(const checkpoint& from, const weight_changes& changes,
                                            const std::filesystem::path& to,
                                            const std::map<std::string, std::string>& metadata,
                                            const progress_callback& progress, any_executor pool) {
  const weight_changes stored = detail::check_changes(from, changes);
  std::vector<tensor_view> tensors;
  std::uint64_t total = 0;
  for (const auto& [name, change] : stored) {
    tensors.push_back(from.at(name));
    tensors.back().name = name;
    total += tensors.back().data.size();
  }
  safetensors_stream_writer file(to, tensors, metadata, from.files().front().path());
  detail::progress_counter counter(progress, total);
  for (const tensor_view& tensor : file.tensors()) {
    const auto put = [&](std::span<const std::byte> bytes) { file.write(tensor.name, bytes); };
    for (const safetensors_file& shard : from.files()) {
      const tensor_view* const source = shard.find(tensor.name);
      if (source != nullptr) detail::copy_merged(shard, *source, stored.at(tensor.name), pool, counter, put);
    }
  }
  file.commit();
}

SBORA_INSTANCE_OF void write_merged_checkpoint(const checkpoint& from, const weight_changes& changes,
                                               const std::filesystem::path& to, const progress_callback& progress,
                                               any_executor pool) {
  const weight_changes stored = detail::check_changes(from, changes);
  const bool sharded = !from.index().empty();
  detail::made_directories made;  // before the files: those are gone first
  if (sharded) made.make(to);
  std::uint64_t total = 0;
  for (const safetensors_file& shard : from.files()) total += shard.bytes().size();
  detail::progress_counter counter(progress, total);
  std::vector<atomic_file> files;
  for (const safetensors_file& shard : from.files()) {
    std::filesystem::path target = to;
    if (sharded) {
      target /= shard.path().lexically_relative(from.index().parent_path());
      made.make(target.parent_path());
    } else if (std::error_code ignored; std::filesystem::is_directory(to, ignored)) {
      target /= shard.path().filename();
    }
    files.emplace_back(target, shard.path()).reserve(shard.bytes().size());
    detail::copy_merged_file(shard, stored, files.back(), pool, counter);
  }
  if (sharded) {
    const mapped_file index(from.index());
    files.emplace_back(to / from.index().filename(), from.index()).write(index.bytes());
  }
  for (atomic_file& file : files) file.prepare();
  made.keep();
  for (atomic_file& file : files) file.commit();
}

}  // namespace sbora::inline SBORA_ABI
