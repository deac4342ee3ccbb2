#pragma once

#include <filesystem>
#include <string>

#include "data/dataset.hpp"

namespace llama {

/// Of a model: all bytes of a GGUF file; of a folder its config.json, and every tensor's name, type, shape and all of
/// its bytes, in the order of their names. So any change of a weight is seen; how tensors are shared out to files, and
/// what a file says besides them, doesn't count. Tokenizers show in what they make of the data.
///
/// Cost        one read of the checkpoint, in 64 MiB of memory.
/// Errors      input_error, sbora::error.
std::string fingerprint_of(const std::filesystem::path& base_model);

/// Of data as they are trained on: tokens and labels of all examples, in their order. The file, the prompt and all that
/// the tokenizer is made from show in them.
std::string fingerprint_of(const dataset& data);

}  // namespace llama
