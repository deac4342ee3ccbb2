#pragma once

#include <functional>

#include <sbora/core/executor.hpp>
#include <sbora/io/checkpoint/checkpoint.hpp>
#include <sbora/io/merge/weight_change.hpp>

namespace sbora::inline SBORA_ABI {

/// Called after every few MiB of long work, with bytes done and bytes in all. An exception from it ends the work
/// like any error.
using progress_callback = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Writes a safetensors file of the changed tensors alone, merged, under the names that they have in their files.
///
/// Numerics    see weight_change: the bits of merging in memory.
/// Cost        one pass over those tensors, merged in tasks of rows; a few MiB of memory.
/// Errors      checkpoint_error with every change for a tensor that isn't there, or is of another shape or type than
///             F32, BF16 or F16, such as codes; not_finite_error; file_error. The file is as it was.
SBORA_IN_IO_INSTANCES void write_merged_tensors(const checkpoint& from, const weight_changes& changes,
                                                const std::filesystem::path& to,
                                                const std::map<std::string, std::string>& metadata = {},
                                                const progress_callback& progress = {}, any_executor pool = {});

/// Copies a whole checkpoint with the changed tensors merged: the same bytes elsewhere, headers and metadata too.
///
/// Effect      one file: `to` is the new file, or a directory that is there. Shards: `to` is a directory, made where
///             it isn't there; shards and index keep their names, and other files of the model aren't copied. All
///             files are complete before the first takes its name, and the index takes its name last; a crash in
///             between leaves some new shards beside old ones.
/// Numerics    see weight_change: the bits of merging in memory.
/// Cost        one pass over the files, changed tensors merged in tasks of rows; a few MiB of memory, whatever their
///             size.
/// Errors      as write_merged_tensors; also where `to` is `from`, which is mapped: merge_in_place does that. No file
///             is changed then.
SBORA_IN_IO_INSTANCES void write_merged_checkpoint(const checkpoint& from, const weight_changes& changes,
                                                   const std::filesystem::path& to,
                                                   const progress_callback& progress = {}, any_executor pool = {});

}  // namespace sbora::inline SBORA_ABI
