#pragma once

#include <algorithm>
#include <cerrno>
#include <set>

#include <sbora/io/checkpoint/checkpoint.hpp>
#include <sbora/io/file_kind.hpp>
#include <sbora/io/json_text.hpp>
#include <sbora/io/tensor_names.hpp>
#include <sbora/model/problem_list.hpp>

namespace sbora::inline SBORA_ABI::detail {

using weight_map = std::map<std::string, std::string>;  // from tensor to shard

/// The file or index that `path` means. Errors: file_error.
inline std::filesystem::path model_file(const std::filesystem::path& path) {
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

/// Errors: file_error, format_error.
inline weight_map read_weight_map(const std::filesystem::path& path) {
  const mapped_file mapping(path);
  const std::span<const std::byte> bytes = mapping.bytes();
  refuse_other_file({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
  const ordered_json index =
      parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, largest_header);
  const auto refuse = [&](const std::string& what) { throw format_error(format_fault::invalid_json, path, what); };
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
inline bool stays_below(const std::filesystem::path& shard) {
  return !shard.empty() && shard.is_relative() &&
         std::find(shard.begin(), shard.end(), std::filesystem::path("..")) == shard.end();
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF checkpoint checkpoint::open(const std::filesystem::path& path) {
  checkpoint opened;
  const std::filesystem::path file = detail::model_file(path);
  if (file.filename().string().ends_with(".index.json")) {
    opened.open_index(file);
  } else {
    opened.files_.push_back(safetensors_file::open(file));
  }
  for (const safetensors_file& shard : opened.files_) {
    opened.tensors_.insert(opened.tensors_.end(), shard.tensors().begin(), shard.tensors().end());
  }
  opened.unwrap_names();
  opened.index_ = detail::tensor_index(opened.tensors_);
  return opened;
}

SBORA_INSTANCE_OF const tensor_view* checkpoint::find(std::string_view name) const& noexcept {
  if (const tensor_view* const found = index_.find(tensors_, name)) return found;
  const auto stored = std::find(stored_names_.begin(), stored_names_.end(), name);
  return stored != stored_names_.end() ? &tensors_[static_cast<std::size_t>(stored - stored_names_.begin())] : nullptr;
}

SBORA_INSTANCE_OF const tensor_view& checkpoint::at(std::string_view name) const& {
  if (const tensor_view* const found = find(name)) return *found;
  throw format_error(format_fault::missing_tensor, index_path_.empty() ? files_.front().path() : index_path_,
                     "no tensor '" + std::string(name) + "'");
}

SBORA_INSTANCE_OF const std::string& checkpoint::stored_name(const tensor_view& tensor) const& noexcept {
  const auto i = static_cast<std::size_t>(&tensor - tensors_.data());
  return stored_names_.empty() ? tensor.name : stored_names_[i];
}

SBORA_INSTANCE_OF std::vector<std::filesystem::path> checkpoint::shards() const {
  std::vector<std::filesystem::path> paths;
  for (const safetensors_file& file : files_) paths.push_back(file.path());
  return paths;
}

SBORA_INSTANCE_OF void checkpoint::open_index(const std::filesystem::path& path) {
  index_path_ = path;
  const detail::weight_map map = detail::read_weight_map(path);
  std::map<std::string, const safetensors_file*> shards;  // null where it can't be opened
  for (const auto& [tensor, shard] : map) shards.emplace(shard, nullptr);
  files_.reserve(shards.size());
  std::vector<std::string> problems;
  for (auto& [shard, file] : shards) {
    if (!detail::stays_below(shard)) {
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

/// Where that leaves every tensor a name of its own.
SBORA_INSTANCE_OF void checkpoint::unwrap_names() {
  std::vector<std::string> stored;
  for (const tensor_view& tensor : tensors_) stored.push_back(tensor.name);
  const std::vector<std::string> names = detail::without_wrappers(stored);
  if (names == stored || std::set<std::string_view>(names.begin(), names.end()).size() != names.size()) return;
  for (std::size_t i = 0; i < names.size(); ++i) tensors_[i].name = names[i];
  stored_names_ = std::move(stored);
}

}  // namespace sbora::inline SBORA_ABI
