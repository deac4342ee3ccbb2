#pragma once

#include <sbora/io/adapter/sbora_checkpoint.hpp>
#include <sbora/model/frozen_adapter.hpp>

namespace sbora::inline SBORA_ABI {

/// How an export says rsLoRA's scale: in alpha, which everybody multiplies by, or as use_rslora, which llama.cpp and
/// others don't know.
enum class rslora_export { folded, flag };

/// Writes an adapter as an ordinary PEFT LoRA, which computes exactly the same.
///
/// Effect      lora_A and lora_B of every module in the adapter's scalar, of which one is the region's one-hot
///             vectors; ranks and alphas that differ as rank_pattern and alpha_pattern; full tensors under
///             PEFT's names, with bias and modules_to_save that say them; no DoRA. An old
///             adapter there is replaced: interrupted, there is the old one, the new one, or none, but no mixture.
///             A stack's experts (NAME[0], NAME[1] …) become one LoRA of target_parameters; of several stacks of one
///             module, the order of the parts is that of the module's parameters.
/// Cost        rank·(d_out + d_in) numbers a module on disk; 1 MiB of memory, and the halves of stacks.
/// Numerics    alpha/rank is the adapter's scale to the last bit (of float, where alpha can't be exact in double).
/// Errors      file_error; config_error where a name isn't UTF-8, or the one-hot halves would take more than 64 GiB.
template <class T>
SBORA_IN_IO_INSTANCES void save_peft_lora(const model_adapter<T>& adapter, const std::filesystem::path& folder,
                                          rslora_export rslora = rslora_export::folded);

/// A PEFT LoRA as an SBoRA adapter: FA where all rows of every lora_A, FB where all columns of every lora_B are
/// distinct standard-basis vectors, exactly.
///
/// Effect      Nothing is approximated: any other LoRA is refused. FA where both hold. `modules` are optional: if
///             given, names and sizes have to fit, all that the config chooses have to be there, and parts are in their
///             order; in that of the names otherwise.
/// Errors      file_error, format_error; checkpoint_error with every problem: module, row or column, and value of the
///             first element that isn't as needed.
template <class T = float>
SBORA_IN_IO_INSTANCES loaded_adapter<T> load_peft_lora(const std::filesystem::path& path,
                                                       std::span<const model_module> modules = {},
                                                       strictness mode = strictness::strict);

/// load_sbora where a tensor of indices is there, load_peft_lora otherwise.
template <class T = float>
SBORA_IN_IO_INSTANCES loaded_adapter<T> load_adapter(const std::filesystem::path& path,
                                                     std::span<const model_module> modules = {},
                                                     strictness mode = strictness::strict);

/// The same for inference, without gradients and without a copy where the file allows it: what adapter_store's sources
/// return.
///
/// Effect      On the mapped file where all of its numbers are of T, aligned, and one run in the adapter's order: what
///             save_sbora writes natively is so. Copies otherwise, as from the halves of a LoRA.
/// Lifetime    keeps the file mapped, see mapped_file: others may replace it meanwhile, this program's writers refuse.
/// Cost        in place: the regions, and reading names and shapes; the numbers' pages come when they are read.
/// Errors      as load_adapter.
template <class T = float>
SBORA_IN_IO_INSTANCES frozen_adapter<T> load_frozen_adapter(const std::filesystem::path& path,
                                                            std::span<const model_module> modules = {},
                                                            strictness mode = strictness::strict);

}  // namespace sbora::inline SBORA_ABI
