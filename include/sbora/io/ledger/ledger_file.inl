#pragma once

#include <sys/file.h>

#include <sbora/io/adapter/adapter_folder.hpp>
#include <sbora/io/atomic_file.hpp>
#include <sbora/io/ledger/ledger_file.hpp>
#include <sbora/io/ledger/ledger_json.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Errors: file_error where the system has no locks there. A file system whose locks are each machine's own can't be
/// told apart.
inline void lock(const file_descriptor& file, const std::filesystem::path& path) {
  while (::flock(file.get(), LOCK_EX) != 0) {
    if (errno != EINTR) throw file_error("locking", path, errno, "changes by several processes could be lost without");
  }
}

/// The file of that name, locked: it is replaced by others while one waits for it, and then the new one is waited for.
inline file_descriptor open_locked(const std::filesystem::path& path) {
  for (;;) {
    struct stat opened, named;
    file_descriptor file = open_regular_file(path, opened);
    lock(file, path);
    if (::stat(path.c_str(), &named) != 0) throw file_error("opening", path, errno);
    if (named.st_dev == opened.st_dev && named.st_ino == opened.st_ino) return file;
  }
}

inline void write_ledger(const std::filesystem::path& path, const region_ledger& ledger) {
  const std::string text = ledger_text(ledger);
  atomic_file file(path);
  file.write(text);
  file.commit();
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF std::string ledger_text(const region_ledger& ledger) {
  const auto check = [](const std::string& name) {
    if (name.size() <= detail::largest_module_name) return;
    throw config_error("sbora: a ledger's name '" + detail::shortened(name) + "' is longer than 1024 bytes");
  };
  for (const model_module& module : ledger.modules()) {
    check(module.name);
    if (std::max(module.d_out, module.d_in) <= detail::largest_ledger_dimension) continue;
    throw config_error("sbora: module '" + module.name +
                       "' is too large for a ledger's file: " + detail::shape_text(module.d_out, module.d_in));
  }
  for (const ledger_task& task : ledger.tasks()) check(task.name);
  std::string text;
  try {
    text = detail::ledger_lines(ledger);
  } catch (const nlohmann::json::exception& error) {
    throw config_error(std::string("sbora: the ledger: ") + error.what());
  }
  if (text.size() > detail::largest_config) {
    throw config_error("sbora: the ledger would have " + std::to_string(text.size()) + " bytes, more than the " +
                       std::to_string(detail::largest_config) + " that are read");
  }
  return text;
}

SBORA_INSTANCE_OF region_ledger parse_ledger(std::string_view text, const std::filesystem::path& path) {
  const detail::ordered_json document = detail::parse_json(text, path);
  if (!document.is_object()) throw format_error(format_fault::invalid_json, path, "a ledger is a JSON object");
  detail::problem_list problems;
  std::optional<region_ledger> ledger = detail::ledger_reader(document, problems).read();
  problems.throw_if_any(path.empty() ? "the ledger" : path.string(), "put back the file as sbora wrote it");
  return std::move(*ledger);
}

SBORA_INSTANCE_OF region_ledger load_ledger(const std::filesystem::path& path) {
  return parse_ledger(detail::read_text(path), path);
}

SBORA_INSTANCE_OF void create_ledger(const std::filesystem::path& path, const region_ledger& ledger) {
  const std::filesystem::path folder = detail::directory_of(path);
  const detail::file_descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) throw file_error("opening", folder, errno);
  detail::lock(directory, folder);  // of two that make it, one
  struct stat found;
  if (::lstat(path.c_str(), &found) == 0) throw file_error("writing", path, EEXIST, "there is one already");
  detail::write_ledger(path, ledger);
}

SBORA_INSTANCE_OF region_ledger change_ledger(const std::filesystem::path& path,
                                              const std::function<void(region_ledger&)>& change) {
  std::error_code status;
  std::filesystem::path itself = std::filesystem::canonical(path, status);  // a symbolic link stays one
  if (status) throw file_error("opening", path, status.value());
  const detail::file_descriptor locked = detail::open_locked(itself);
  const region_ledger before = load_ledger(itself);
  region_ledger ledger = before;
  change(ledger);
  if (ledger != before) detail::write_ledger(itself, ledger);
  return ledger;
}

}  // namespace sbora::inline SBORA_ABI
