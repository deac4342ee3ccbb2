#pragma once

/// Files: safetensors, checkpoints, and adapters for a whole model. Needs nlohmann_json; in CMake link sbora::io.
/// sbora.hpp doesn't include this.

#include <sbora/io/adapter_config_text.hpp>
#include <sbora/io/adapter_set.hpp>
#include <sbora/io/base_fingerprint.hpp>
#include <sbora/io/bitsandbytes.hpp>
#include <sbora/io/bitsandbytes_writer.hpp>
#include <sbora/io/checkpoint.hpp>
#include <sbora/io/checkpoint_weights.hpp>
#include <sbora/io/merge_in_place.hpp>
#include <sbora/io/peft_lora.hpp>
#include <sbora/io/safetensors_writer.hpp>
#include <sbora/io/sbora_checkpoint.hpp>
