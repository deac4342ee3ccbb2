#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <sbora/model/model_adapter.hpp>

#include "model/model.hpp"

namespace llama {

/// The linear layers that may have an adapter, with their shapes.
std::vector<sbora::model_module> modules_of(const model& of);

/// How adapter_model.safetensors names its halves. LoRA adapters are PEFT's in either.
enum class adapter_format {
  official,  ///< the SBoRA authors': indices and the trained half
  peft       ///< LoRA with the one-hot half written out, which peft and others load
};

/// The model's FA or FB adapters as one, with their numbers; rows are in the order of the model's weights.
sbora::model_adapter<float> adapter_of(const model& of, sbora::adapter_config config = {});

/// Writes adapter_config.json and adapter_model.safetensors into the directory, which is made where it
/// doesn't exist. `base_model` is what the configuration names as the base.
/// Errors: input_error where the model has no adapters; sbora::file_error.
void save_adapter(const model& of, const std::filesystem::path& directory, adapter_format format,
                  const std::string& base_model);

/// FA and FB of save_adapter, or others' of the same layouts, as one; rows are in the order of the model's weights.
/// Errors: input_error for files that are no adapter of this model, and for what is none of regions: LoRA, biases,
/// trained tokens.
sbora::model_adapter<float> read_adapter(const model& of, const std::filesystem::path& directory);

/// Attaches what save_adapter wrote, the adapters on the same modules with the same regions.
/// Errors: input_error for files that are no adapter of this model.
void load_adapter(model& into, const std::filesystem::path& directory);

/// Saves the model as model::save does, with its adapters added to the weights.
void save_merged(const model& of, const std::filesystem::path& directory);

}  // namespace llama
