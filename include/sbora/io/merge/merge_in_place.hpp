#pragma once

#include <sbora/io/merge/merge_checkpoint.hpp>

namespace sbora::inline SBORA_ABI {

/// Merges into the files of a checkpoint where they lie, and keeps what was there in "FILE.originals" beside each.
///
/// Effect      the touched rows of the changed tensors are written, or all of their rows where columns are touched;
///             no other byte is. To make it permanent, remove the .originals.
///             Nothing happens where all deltas are disabled. The .originals can be read by whoever may read the file.
/// Requires    nobody else reads the files as weights meanwhile; the .originals stay with the file that they are of;
///             a file has one name: checked. Symbolic links are followed.
/// Cost        reads the changed tensors twice, a few MiB of memory; .originals of the regions' size.
/// Numerics    see weight_change: the bits of merging in memory.
/// Errors      as write_merged_checkpoint, and merge_error where a file has .originals already or
///             several names (hard links); file_error where another process merges into it. After an error the
///             files are as before. Not so where the process is killed or the machine stops: then a file can be
///             part old, part new. Its .originals are on disk before its first byte changes, and unmerge_in_place
///             makes it the old one from whatever state; it does too where putting back after an error failed.
SBORA_IN_IO_INSTANCES void merge_in_place(const std::filesystem::path& path, const weight_changes& changes,
                                          const progress_callback& progress = {}, any_executor pool = {});

/// Whether a file of the checkpoint has .originals.
SBORA_IN_IO_INSTANCES bool is_merged_in_place(const std::filesystem::path& path);

/// Puts back what merge_in_place overwrote, to the last bit, whether that came to its end or not.
///
/// Errors      merge_error where nothing is merged; checkpoint_error for .originals of another file, before anything
///             is written; file_error: the .originals stay until everything is back, so call it again.
SBORA_IN_IO_INSTANCES void unmerge_in_place(const std::filesystem::path& path);

}  // namespace sbora::inline SBORA_ABI
