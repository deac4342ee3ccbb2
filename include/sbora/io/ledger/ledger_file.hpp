#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include <sbora/core/compiled_once.hpp>
#include <sbora/model/region_ledger.hpp>

namespace sbora::inline SBORA_ABI {

/// A ledger as JSON: `sbora_ledger` (1), `base` (16 hex digits), `crossing`, `modules` (name, d_out, d_in), `tasks`
/// (name, version, adapter, regions of module, kind and indices).
///
/// Numerics    parse_ledger gives the same ledger back.
/// Errors      config_error where a name isn't UTF-8 or longer than 1024 bytes, or the text would be too long to read.
SBORA_IN_IO_INSTANCES std::string ledger_text(const region_ledger& ledger);

/// Cost        linear in the text, which has up to 16 MiB.
/// Errors      format_error where it isn't JSON; checkpoint_error with everything else that is wrong with it, unknown
///             keys and tasks that own the same too.
SBORA_IN_IO_INSTANCES region_ledger parse_ledger(std::string_view text, const std::filesystem::path& path = {});

/// Errors: file_error, and as parse_ledger.
SBORA_IN_IO_INSTANCES region_ledger load_ledger(const std::filesystem::path& path);

/// A new file. Errors: file_error where there is one of that name, whoever else is making it.
SBORA_IN_IO_INSTANCES void create_ledger(const std::filesystem::path& path, const region_ledger& ledger);

/// Changes a ledger's file: nobody else changes it from before it is read until after it is written.
///
/// Effect      reads it, calls change(ledger), and puts the result in its place as a whole (atomic_file), on disk when
///             this returns; returns it. Where nothing changed, nothing is written. Whoever is killed meanwhile leaves
///             the old file or the new one, and no lock.
/// Requires    a file system with locks (flock) that all processes share: checked, as far as the system tells.
/// Thread      any threads and processes at once; they wait for one another. change() must not call this again.
/// Errors      file_error, and as parse_ledger; what change() throws. The file is as it was then.
SBORA_IN_IO_INSTANCES region_ledger change_ledger(const std::filesystem::path& path,
                                                  const std::function<void(region_ledger&)>& change);

}  // namespace sbora::inline SBORA_ABI
