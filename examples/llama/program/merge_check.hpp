#pragma once

#include <filesystem>

#include "model/model.hpp"

namespace llama {

/// What a merge and its undoing do to the bits of the adapted weights.
struct merge_report {
  index_t changed = 0;              ///< weights that differ between base and merged checkpoint
  index_t outside = 0;              ///< of those, outside the adapters' rows or columns (LoRA has no outside)
  index_t unmerge_differences = 0;  ///< weights that aren't the base's again after unmerging in memory
};

/// Compares a merged checkpoint with its base, and merges and unmerges once more in memory: SBoRA by
/// sbora::merger, which puts the original numbers back; LoRA by adding and subtracting s·B·A. Both checkpoints
/// hold float32. Errors: sbora::error where a tensor is missing.
merge_report check_merge(const model& adapted, const std::filesystem::path& base, const std::filesystem::path& merged);

}  // namespace llama
