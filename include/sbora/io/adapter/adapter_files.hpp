#pragma once

#include <sbora/core/compiled_once.hpp>
#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/model/adapter_config.hpp>

namespace sbora::inline SBORA_ABI {

/// strict: refuse a file with anything that can't be honoured, and list all of it. lenient: leave it out and list it.
enum class strictness { strict, lenient };

/// A config, and what of its file was left out: keys that nobody knows, as PEFT ignores them, and, read
/// leniently, what sbora can't honour.
struct read_config {
  adapter_config config;
  std::vector<std::string> skipped;
};

/// The text of an adapter_config.json.
///
/// Effect      Strict: what would change the adapter and can't be honoured (DoRA, LoRA biases, layer replication,
///             aLoRA …) is refused. Lenient: it is left out and listed. Unknown keys are left out and
///             listed in either mode, as PEFT ignores them, so that files of later versions stay readable; keys of
///             PEFT's that change nothing (auto_mapping, peft_version …) are left out silently.
/// Numerics    numbers come back to the last bit.
/// Errors      format_error where it isn't JSON, is too deep, or has a key twice. checkpoint_error with every
///             problem: values of the wrong type or out of range, and in strict mode what isn't supported.
/// Source      PEFT's LoraConfig; SBoRAConfig of the official code.
SBORA_IN_IO_INSTANCES read_config parse_adapter_config(std::string_view text, strictness mode = strictness::strict,
                                                       const std::filesystem::path& path = {});

/// The text of an adapter_config.json that PEFT (LORA) or the official SBoRA code (SBORA) accepts: keys ascending,
/// patterns in their order, options that older versions don't know only where they aren't at their defaults.
///
/// Numerics    parse_adapter_config gives the same config back.
/// Errors      config_error where a name isn't UTF-8.
SBORA_IN_IO_INSTANCES std::string adapter_config_text(const adapter_config& config);

/// An adapter's config alone, of any layout, from the folder that the loaders would take.
///
/// Errors      file_error, format_error, checkpoint_error: as theirs.
SBORA_IN_IO_INSTANCES read_config load_adapter_config(const std::filesystem::path& path,
                                                      strictness mode = strictness::strict);

/// An adapter's tensors, in place, whatever they are. Errors: file_error, format_error.
SBORA_IN_IO_INSTANCES safetensors_file open_adapter_tensors(const std::filesystem::path& path);

}  // namespace sbora::inline SBORA_ABI
