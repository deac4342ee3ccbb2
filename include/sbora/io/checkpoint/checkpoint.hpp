#pragma once

#include <sbora/io/safetensors/safetensors_file.hpp>

namespace sbora::inline SBORA_ABI {

/// The tensors of a model's checkpoint, in place, in one file or over many.
///
/// Effect      opens a .safetensors file; or an index (*.index.json) with its shards; or a directory that holds
///             model.safetensors or model.safetensors.index.json, the first where there are both.
///             Tensors have the model's names, without what torch.compile, DistributedDataParallel, FSDP or PEFT put
///             around it (`_orig_mod.`, `module.` …, see tensor_names.hpp); files() have them as they are.
/// Lifetime    as safetensors_file.
/// Cost        as safetensors_file, for every shard: headers only.
/// Thread      read-only once it is open.
/// Errors      checkpoint_error with all shards that are missing or broken, and all tensors that are in another
///             shard than the index says, in two, in none, or not in the index; file_error and format_error where
///             it is the one file, or the index itself.
/// Source      the sharded checkpoints of transformers.
class checkpoint {
 public:
  SBORA_IN_IO_INSTANCES static checkpoint open(const std::filesystem::path& path);

  checkpoint(checkpoint&&) = default;
  checkpoint& operator=(checkpoint&&) = default;

  /// Shard after shard, in the order of their bytes.
  std::span<const tensor_view> tensors() const& noexcept { return tensors_; }
  std::span<const tensor_view> tensors() const&& = delete;  // would dangle: name the object

  /// By the model's name, or else by that in the file. Null where there is none of that name.
  SBORA_IN_IO_INSTANCES const tensor_view* find(std::string_view name) const& noexcept;
  const tensor_view* find(std::string_view name) const&& = delete;  // would dangle: name the object
  SBORA_IN_IO_INSTANCES const tensor_view& at(std::string_view name) const&;
  const tensor_view& at(std::string_view name) const&& = delete;  // would dangle: name the object

  /// The name in its file of one of tensors().
  SBORA_IN_IO_INSTANCES const std::string& stored_name(const tensor_view& tensor) const& noexcept;
  const std::string& stored_name(const tensor_view& tensor) const&& = delete;  // would dangle: name the object

  /// Ascending; one where there is no index.
  SBORA_IN_IO_INSTANCES std::vector<std::filesystem::path> shards() const;

  std::span<const safetensors_file> files() const& noexcept { return files_; }
  std::span<const safetensors_file> files() const&& = delete;  // would dangle: name the object

  /// Empty where there is none.
  const std::filesystem::path& index() const& noexcept { return index_path_; }
  const std::filesystem::path& index() const&& = delete;  // would dangle: name the object

 private:
  checkpoint() = default;
  void open_index(const std::filesystem::path& path);
  void unwrap_names();

  std::filesystem::path index_path_;
  std::vector<safetensors_file> files_;
  std::vector<tensor_view> tensors_;
  std::vector<std::string> stored_names_;  // of tensors_, where they differ
  detail::tensor_index index_;
};

}  // namespace sbora::inline SBORA_ABI
