#pragma once

#include <string>
#include <vector>

#include <sbora/core/executor.hpp>
#include <sbora/io/gguf/gguf_file.hpp>
#include <sbora/io/merge/merge_checkpoint.hpp>
#include <sbora/merge/requantize_ggml.hpp>
#include <sbora/model/model_adapter.hpp>

namespace sbora::inline SBORA_ABI {

/// What a tensor of blocks becomes that an adapter is merged into: blocks of its type, or a tensor of floats.
enum class gguf_merge { requantised, f16, f32 };

/// A tensor that was merged into.
struct gguf_merge_report {
  std::string tensor;  ///< as the file names it
  ggml_type from, to;
  ggml_merge_report rounding;  ///< of blocks that stayed blocks; nothing where `to` is a type of floats
};

/// Writes a GGUF model with an adapter, as Hugging Face orders it, merged into it: metadata and the tensors that it
/// doesn't change are copied byte for byte.
///
/// Effect      F32, F16 and BF16 become the merge in their type, full tensors and tokens of the adapter too. Of blocks
///             (the types that ggml_view reads), the touched elements get the nearest codes, and a block other scales
///             where its own have no room; or the whole tensor becomes floats, which nothing is lost by. The file is
///             there as a whole, or as it was.
/// Cost        one pass over the file, changed tensors merged in tasks of rows; a copy of the adapter and a few MiB.
/// Numerics    sums as export_merged's. Equal bytes and reports for any executor.
/// Errors      checkpoint_error with every module that the model hasn't, of another shape or type; not_finite_error;
///             file_error, also where `to` is `from`, which is mapped. No file is changed then.
SBORA_IN_IO_INSTANCES std::vector<gguf_merge_report> write_merged_gguf(
    const gguf_file& from, const model_adapter<float>& adapter, const std::filesystem::path& to,
    gguf_merge blocks = gguf_merge::requantised, const progress_callback& progress = {}, any_executor pool = {});

}  // namespace sbora::inline SBORA_ABI
