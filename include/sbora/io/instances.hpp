#pragma once

/// All that io's headers declare and don't define: JSON, files. In one unit of a program; CMake's sbora::io adds it.
/// Needs nlohmann_json.

#include <sbora/io/adapter/adapter_files.inl>
#include <sbora/io/adapter/base_fingerprint.inl>
#include <sbora/io/adapter/gguf_lora.inl>
#include <sbora/io/adapter/peft_lora.inl>
#include <sbora/io/adapter/sbora_checkpoint.inl>
#include <sbora/io/atomic_file.inl>
#include <sbora/io/bitsandbytes/bitsandbytes.inl>
#include <sbora/io/bitsandbytes/bitsandbytes_writer.inl>
#include <sbora/io/checkpoint/checkpoint.inl>
#include <sbora/io/checkpoint/checkpoint_weights.inl>
#include <sbora/io/checkpoint/expert_stacks.inl>
#include <sbora/io/checkpoint/fp8_weights.inl>
#include <sbora/io/gguf/gguf_file.inl>
#include <sbora/io/gguf/gguf_names.inl>
#include <sbora/io/gguf/gguf_weight.inl>
#include <sbora/io/gguf/gguf_writer.inl>
#include <sbora/io/ledger/ledger_file.inl>
#include <sbora/io/ledger/model_fingerprint.inl>
#include <sbora/io/ledger/task_adapters.inl>
#include <sbora/io/ledger/verify_merged.inl>
#include <sbora/io/mapped_file.inl>
#include <sbora/io/merge/merge_checkpoint.inl>
#include <sbora/io/merge/merge_gguf.inl>
#include <sbora/io/merge/merge_in_place.inl>
#include <sbora/io/optimiser/optimiser_state.inl>
#include <sbora/io/safetensors/safetensors_file.inl>
#include <sbora/io/safetensors/safetensors_writer.inl>
#include <sbora/io/tensor_index.inl>
#include <sbora/model/instances.hpp>
