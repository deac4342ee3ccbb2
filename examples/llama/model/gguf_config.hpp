#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>
#include <sbora/io/gguf/gguf_file.hpp>

#include "model/config.hpp"

namespace llama {

/// Errors: input_error, also where it is no file.
sbora::gguf_file open_gguf(const std::filesystem::path& model);

/// What the config.json of the model that a GGUF file was made of says, as far as the file knows. Errors: input_error
/// that names what is missing or not supported.
nlohmann::json gguf_config(const sbora::gguf_file& file);

/// What no config.json says: which elements of a head the file's order of rows makes pairs of, and the divisors of
/// LLaMA-3.1's frequencies, which the file has ready.
void set_gguf_rotation(const sbora::gguf_file& file, model_config& config);

}  // namespace llama
