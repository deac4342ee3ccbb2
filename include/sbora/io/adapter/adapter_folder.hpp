#pragma once

#include <cerrno>

#include <sbora/io/adapter/adapter_files.hpp>
#include <sbora/io/file_access.hpp>
#include <sbora/io/file_kind.hpp>
#include <sbora/io/limits.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/model/problem_list.hpp>

namespace sbora::inline SBORA_ABI::detail {

inline constexpr const char* config_name = "adapter_config.json";
inline constexpr const char* tensors_name = "adapter_model.safetensors";
/// Where sbora's own files repeat the config, in the metadata of the tensors.
inline constexpr const char* config_key = "sbora_config";

/// An adapter's folder, opened.
struct adapter_files {
  std::filesystem::path folder;
  read_config config;
  safetensors_file tensors;
};

/// The folder that holds an adapter: `path` itself, or the only one below it (checkpoint-N/adapter_model/NAME of
/// QSBoRA, NAME of PEFT), at most two levels down.
inline std::filesystem::path adapter_folder(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::exists(path / config_name, ignored)) return path;
  std::vector<fs::path> found;
  const auto look = [&](const fs::path& folder, auto&& again, int levels) -> void {
    for (fs::directory_iterator at(folder, ignored), end; !ignored && at != end; at.increment(ignored)) {
      if (!at->is_directory(ignored)) continue;
      if (fs::exists(at->path() / config_name, ignored)) {
        found.push_back(at->path());
      } else if (levels > 1) {
        again(at->path(), again, levels - 1);
      }
    }
  };
  look(path, look, 2);
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    throw file_error("opening", path, ENOENT, std::string("no ") + config_name + " there or in a folder below");
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> names;
  for (const fs::path& folder : found) names.push_back(folder.string());
  throw checkpoint_error(path.string() + " holds several adapters; name one of them", names);
}

/// Errors: file_error, with a hint where there is only a pickle.
inline safetensors_file open_tensors(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder / tensors_name, ignored) &&
      std::filesystem::exists(folder / "adapter_model.bin", ignored)) {
    throw file_error("opening", folder / tensors_name, ENOENT,
                     "there is only adapter_model.bin, a pickle, which sbora doesn't read; "
                     "convert it with examples/sbora_tool/bin_to_safetensors.py");
  }
  if (!std::filesystem::exists(folder / tensors_name, ignored)) {
    throw file_error("opening", folder / tensors_name, ENOENT,
                     std::string("no such file; give a folder with ") + config_name + " and " + tensors_name);
  }
  return safetensors_file::open(folder / tensors_name);
}

inline std::string read_text(const std::filesystem::path& path) {
  struct stat status;
  const file_descriptor file = open_regular_file(path, status);
  if (static_cast<std::uint64_t>(status.st_size) > largest_config) {  // before memory is taken for it
    throw format_error(format_fault::invalid_json, path,
                       std::to_string(status.st_size) + " bytes, expected up to " + std::to_string(largest_config));
  }
  // Read, not mapped: while it is mapped, another thread couldn't replace it.
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = ::read(file.get(), text.data() + size, text.size() - size);
    if (count < 0 && errno != EINTR) throw file_error("reading", path, errno);
    if (count == 0) break;
    if (count > 0) size += static_cast<std::size_t>(count);
  }
  text.resize(size);
  refuse_other_file(text, path);
  return text;
}

/// The config that belongs to the tensors.
///
/// Effect      sbora's own files are replaced one after the other, tensors first. Where that was interrupted, the
///             config is still the old one: the two don't have the same save number, and the config in the tensors'
///             metadata counts.
inline read_config config_of(const safetensors_file& tensors, std::string_view text, strictness mode,
                             const std::filesystem::path& folder) {
  const auto repeated = tensors.metadata().find(config_key);
  if (repeated != tensors.metadata().end()) {
    read_config saved_with = parse_adapter_config(repeated->second, mode, folder / tensors_name);
    const auto number = [](const read_config& of) {
      return of.config.sbora ? of.config.sbora->save : std::optional<std::uint64_t>();
    };
    // The old config may have been one that a strict read refuses.
    const read_config in_folder = parse_adapter_config(text, strictness::lenient, folder / config_name);
    if (number(saved_with) != number(in_folder)) return saved_with;
  }
  return parse_adapter_config(text, mode, folder / config_name);
}

/// Opens config and tensors that belong together.
inline adapter_files open_adapter(const std::filesystem::path& path, strictness mode) {
  std::filesystem::path folder = adapter_folder(path);
  safetensors_file tensors = open_tensors(folder);
  read_config config = config_of(tensors, read_text(folder / config_name), mode, folder);
  return {std::move(folder), std::move(config), std::move(tensors)};
}

/// Writes both files of an adapter so that they never disagree, whenever it is interrupted.
///
/// Effect      Both are on disk beside their places before anything is changed. With `repeated`, the config is in the
///             tensors' metadata too, the tensors lie as they are given, for load_frozen_adapter, and are put in place
///             first: see open_adapter. Without, as others
///             read only adapter_config.json, an old one is moved aside first (".adapter_config.json.old"), and back
///             after an error: killed in between, there is no adapter rather than a mixed one.
///             write_tensor(name, put) gives a tensor's bytes to put, in pieces of any size.
/// Errors      file_error; the old files are as they were, unless only the second couldn't take its name.
template <class WriteTensor>
void write_adapter(const std::filesystem::path& folder, const std::string& config, std::span<const tensor_view> adapter,
                   bool repeated, WriteTensor&& write_tensor) {
  namespace fs = std::filesystem;
  std::error_code status;
  made_directories made;
  made.make(folder);
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (repeated) metadata[config_key] = config;
  atomic_file config_file(folder / config_name);
  config_file.write(config);
  safetensors_stream_writer tensors(folder / tensors_name, adapter, metadata, {},
                                    repeated ? tensor_order::as_given : tensor_order::by_name);
  for (const tensor_view& tensor : tensors.tensors()) {
    write_tensor(tensor.name, [&](std::span<const std::byte> piece) { tensors.write(tensor.name, piece); });
  }
  tensors.prepare();
  config_file.prepare();
  const fs::path old = folder / ("." + std::string(config_name) + ".old");
  const bool aside = !repeated && fs::exists(folder / config_name, status);
  if (aside) fs::rename(folder / config_name, old, status);
  if (aside && status) throw file_error("replacing", folder / config_name, status.value());
  try {
    tensors.commit();
  } catch (...) {
    if (aside) fs::rename(old, folder / config_name, status);
    throw;
  }
  made.keep();
  config_file.commit();
  fs::remove(old, status);  // of this save, or of one that was killed
}

}  // namespace sbora::inline SBORA_ABI::detail
