#pragma once

#include <sbora/io/ledger/task_adapters.hpp>
#include <sbora/io/merge/merge_checkpoint.hpp>

namespace sbora::inline SBORA_ABI {

/// Proves what a model is: the ledger's base and the updates of some of its tasks, each whole, and nothing else.
///
/// Effect      returns the tasks that are in the model, in the order of the ledger. Which ones those are the model
///             itself says: a task is taken to be in it where at least as many of the elements that it changes are
///             changed as aren't. Then every element has to be what the base and these tasks make of it, to the last
///             bit. A task that changes nothing counts as not in it.
/// Requires    `adapters` of all tasks, as load_task_adapters has them.
/// Cost        reads base and model twice, and the base once more for its fingerprint; a few MiB of memory.
/// Errors      checkpoint_error with every problem: a base that isn't the ledger's, tensors that are missing, too many
///             or of another shape, and the first 10,000 elements, with the tasks that own them.
SBORA_IN_IO_INSTANCES std::vector<std::string> verify_merged(const region_ledger& ledger, const task_adapters& adapters,
                                                             const checkpoint& base, const checkpoint& model,
                                                             const progress_callback& progress = {},
                                                             any_executor pool = {});

/// Errors: checkpoint_error where the base isn't the one that the ledger is of.
SBORA_IN_IO_INSTANCES void require_base(const region_ledger& ledger, const checkpoint& base);

}  // namespace sbora::inline SBORA_ABI
