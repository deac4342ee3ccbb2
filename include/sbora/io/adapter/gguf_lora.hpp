#pragma once

#include <sbora/io/gguf/gguf_names.hpp>
#include <sbora/model/model_adapter.hpp>

namespace sbora::inline SBORA_ABI {

/// Writes an adapter as the GGUF file that llama.cpp loads beside a model (`--lora`): a LoRA one half of which is
/// one-hot, which computes the same.
///
/// Effect      general.type "adapter", lora_a and lora_b of every module in F32 under the model's names, rows as the
///             model's file has them. The file is there as a whole, or as it was.
/// Requires    an adapter of the model that `names` are of, as Hugging Face orders it.
/// Cost        rank·(d_out + d_in) numbers a module on disk; a copy of the adapter in memory.
/// Numerics    llama.cpp multiplies by adapter.lora.alpha/rank, in float, with one alpha for all modules: trained
///             halves of those whose own is another are rescaled, each number rounded once.
/// Errors      file_error; checkpoint_error with every part that llama.cpp has no place for: experts, embeddings, full
///             tensors, tokens, modules that the architecture doesn't have; config_error as save_peft_lora.
SBORA_IN_IO_INSTANCES void save_gguf_lora(const model_adapter<float>& adapter, const gguf_names& names,
                                          const std::filesystem::path& path);

}  // namespace sbora::inline SBORA_ABI
