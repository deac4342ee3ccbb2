#pragma once

#include <set>

#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/io/tensor_names.hpp>
#include <sbora/model/problem_list.hpp>

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
  static checkpoint open(const std::filesystem::path& path) {
    checkpoint opened;
    const std::filesystem::path file = file_of(path);
    if (file.filename().string().ends_with(".index.json")) {
      opened.open_index(file);
    } else {
      opened.files_.push_back(safetensors_file::open(file));
    }
    opened.list_tensors();
    return opened;
  }

  checkpoint(checkpoint&&) = default;
  checkpoint& operator=(checkpoint&&) = default;

  /// Shard after shard, in the order of their bytes.
  std::span<const tensor_view> tensors() const noexcept { return tensors_; }

  /// By the model's name, or else by that in the file. Null where there is none of that name.
  const tensor_view* find(std::string_view name) const noexcept {
    const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                     [&](std::size_t i, std::string_view key) { return tensors_[i].name < key; });
    if (at != by_name_.end() && tensors_[*at].name == name) return &tensors_[*at];
    const auto found = std::find(stored_names_.begin(), stored_names_.end(), name);
    return found != stored_names_.end() ? &tensors_[static_cast<std::size_t>(found - stored_names_.begin())] : nullptr;
  }

  const tensor_view& at(std::string_view name) const {
    if (const tensor_view* const found = find(name)) return *found;
    throw format_error(safetensors_fault::missing_tensor, index_.empty() ? files_.front().path() : index_,
                       "no tensor '" + std::string(name) + "'");
  }

  /// The name in its file of one of tensors().
  const std::string& stored_name(const tensor_view& tensor) const noexcept {
    const auto i = static_cast<std::size_t>(&tensor - tensors_.data());
    return stored_names_.empty() ? tensor.name : stored_names_[i];
  }

  /// Ascending; one where there is no index.
  std::vector<std::filesystem::path> shards() const {
    std::vector<std::filesystem::path> paths;
    for (const safetensors_file& file : files_) paths.push_back(file.path());
    return paths;
  }

  std::span<const safetensors_file> files() const noexcept { return files_; }

  /// Empty where there is none.
  const std::filesystem::path& index() const noexcept { return index_; }

 private:
  using weight_map = std::map<std::string, std::string>;  // from tensor to shard

  checkpoint() = default;

  static std::filesystem::path file_of(const std::filesystem::path& path) {
    std::error_code ignored;  // opening says what is wrong
    if (!std::filesystem::is_directory(path, ignored)) return path;
    for (const char* const name : {"model.safetensors", "model.safetensors.index.json"}) {
      if (std::filesystem::exists(path / name, ignored)) return path / name;
    }
    const auto has = [&](const char* name) { return std::filesystem::exists(path / name, ignored); };
    std::string what = "this directory has neither model.safetensors nor model.safetensors.index.json";
    if (has("adapter_config.json")) what += "; it is an adapter, give the model's";
    if (has("pytorch_model.bin") || has("pytorch_model.bin.index.json")) {
      what += "; its pytorch_model.bin is a pickle, which sbora doesn't read: save the model with safetensors";
    }
    throw file_error("opening", path, ENOENT, what);
  }

  static weight_map read_index(const std::filesystem::path& path) {
    const mapped_file mapping(path);
    const std::span<const std::byte> bytes = mapping.bytes();
    detail::refuse_other_file({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
    const detail::ordered_json index =
        detail::parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, detail::largest_header);
    const auto refuse = [&](const std::string& what) {
      throw format_error(safetensors_fault::invalid_json, path, what);
    };
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
      refuse("expected an object with an object weight_map");
    }
    weight_map map;
    for (const auto& [tensor, shard] : index["weight_map"].items()) {
      if (!shard.is_string()) refuse("weight_map: '" + tensor + "' has to be the name of a file");
      map.emplace(tensor, shard.get<std::string>());
    }
    return map;
  }

  /// Below the index's directory, whatever the index says: it may come from anywhere.
  static bool stays_below(const std::filesystem::path& shard) {
    return !shard.empty() && shard.is_relative() &&
           std::find(shard.begin(), shard.end(), std::filesystem::path("..")) == shard.end();
  }

  void open_index(const std::filesystem::path& path) {
    index_ = path;
    const weight_map map = read_index(path);
    std::map<std::string, const safetensors_file*> shards;  // null where it can't be opened
    for (const auto& [tensor, shard] : map) shards.emplace(shard, nullptr);
    files_.reserve(shards.size());
    std::vector<std::string> problems;
    for (auto& [shard, file] : shards) {
      if (!stays_below(shard)) {
        problems.push_back("shard '" + shard + "' isn't below the directory of the index");
        continue;
      }
      try {
        files_.push_back(safetensors_file::open(path.parent_path() / shard));
        file = &files_.back();
      } catch (const error& problem) {
        problems.push_back(problem.what());
      }
    }
    for (const auto& [tensor, shard] : map) {
      const safetensors_file* const file = shards.at(shard);
      if (file != nullptr && file->find(tensor) == nullptr) {
        problems.push_back("tensor '" + tensor + "' isn't in '" + shard + "', where the index has it");
      }
    }
    for (const auto& [shard, file] : shards) {
      if (file == nullptr) continue;
      for (const tensor_view& tensor : file->tensors()) {
        const auto indexed = map.find(tensor.name);
        if (indexed == map.end()) {
          problems.push_back("tensor '" + tensor.name + "' is in '" + shard + "' and not in the index");
        } else if (indexed->second != shard) {
          problems.push_back("tensor '" + tensor.name + "' is in '" + shard + "', the index has it in '" +
                             indexed->second + "'");
        }
      }
    }
    if (problems.empty()) return;
    throw checkpoint_error(path.string() + ": the index and its shards don't fit; download or save all of them again",
                           std::move(problems));
  }

  void list_tensors() {
    for (const safetensors_file& file : files_) {
      tensors_.insert(tensors_.end(), file.tensors().begin(), file.tensors().end());
    }
    unwrap_names();
    by_name_.resize(tensors_.size());
    std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
    std::sort(by_name_.begin(), by_name_.end(),
              [&](std::size_t a, std::size_t b) { return tensors_[a].name < tensors_[b].name; });
  }

  /// Where that leaves every tensor a name of its own.
  void unwrap_names() {
    std::vector<std::string> stored;
    for (const tensor_view& tensor : tensors_) stored.push_back(tensor.name);
    const std::vector<std::string> names = detail::without_wrappers(stored);
    if (names == stored || std::set<std::string_view>(names.begin(), names.end()).size() != names.size()) return;
    for (std::size_t i = 0; i < names.size(); ++i) tensors_[i].name = names[i];
    stored_names_ = std::move(stored);
  }

  std::filesystem::path index_;
  std::vector<safetensors_file> files_;
  std::vector<tensor_view> tensors_;
  std::vector<std::string> stored_names_;  // of tensors_, where they differ
  std::vector<std::size_t> by_name_;
};

}  // namespace sbora::inline SBORA_ABI
