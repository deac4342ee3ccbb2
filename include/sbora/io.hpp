#pragma once

/// Files: safetensors, checkpoints, and adapters for a whole model. Needs nlohmann_json; in CMake link sbora::io.
/// sbora.hpp doesn't include this.

#include <sbora/io/adapter/adapter_files.hpp>
#include <sbora/io/adapter/base_fingerprint.hpp>
#include <sbora/io/adapter/peft_lora.hpp>
#include <sbora/io/adapter/sbora_checkpoint.hpp>
#include <sbora/io/bitsandbytes/bitsandbytes.hpp>
#include <sbora/io/bitsandbytes/bitsandbytes_writer.hpp>
#include <sbora/io/checkpoint/checkpoint.hpp>
#include <sbora/io/checkpoint/checkpoint_weights.hpp>
#include <sbora/io/gguf/gguf_file.hpp>
#include <sbora/io/merge/adapter_changes.hpp>
#include <sbora/io/merge/merge_in_place.hpp>
#include <sbora/io/optimiser/optimiser_state.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/model/adapter_set.hpp>
