#pragma once

#include <filesystem>
#include <memory>

#include "text/tokenizer.hpp"

namespace llama {

/// The tokenizer in a GGUF file's metadata: byte-level BPE (tokenizer.ggml.model "gpt2") that splits text as gpt-2,
/// smollm, llama-bpe (LLaMA-3) or qwen2 do. Errors: input_error that names what is missing, wrong or not supported.
std::unique_ptr<tokenizer> read_gguf_tokenizer(const std::filesystem::path& file);

}  // namespace llama
