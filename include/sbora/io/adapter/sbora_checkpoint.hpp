#pragma once

#include <filesystem>

#include <sbora/io/adapter/adapter_files.hpp>
#include <sbora/model/model_adapter.hpp>

namespace sbora::inline SBORA_ABI {

/// What was read, and what wasn't.
template <class T = float>
struct loaded_adapter {
  model_adapter<T> adapter;
  std::vector<std::string> skipped;  ///< unknown keys of the config, and whatever a lenient read left out
};

/// Layouts of the same two files, adapter_config.json and adapter_model.safetensors, for adapters as SBoRA's
/// authors keep them: of module m, FA is `base_model.model.m.lora_A` (I64 [r], the region) and
/// `base_model.model.m.lora_B.weight` (F32 [d_out, r]), FB is `….lora_A.weight` (F32 [r, d_in]) and `….lora_B`.
///   native    all that an adapter is: ranks and alphas by module, rsLoRA, the weights' sizes, the seed, fingerprints
///             of the base. Read by the official code too, where none of the former is used.
///   official  what the official code reads: one rank and one scale for all modules; rsLoRA folded into alpha.
///   paca      PEFT's PaCA, which is FA: the same as `….paca_indices` and `….paca_delta`, and paca_alpha; one rank and
///             scale too, no dropout, no biases. FB is refused: PaCA has no rows.
enum class sbora_layout { native, official, paca };

/// An SBoRA adapter from its folder, or from the only adapter's folder below it (checkpoint-N/adapter_model/NAME).
///
/// Effect      FA or FB by the config's adapter_name, or by which half is indices. I32 and I64 indices, in any order,
///             which is kept. Parts are in the order in which they were written, or in that of `modules`.
///             Strict: every module that the config chooses has to be there, and nothing else. Lenient: modules that
///             aren't whole are left out and listed.
/// Requires    `modules`, the model's linear layers, for official and PaCA files, which don't say how large the weights
///             are.
///             Where given, names and sizes have to fit.
/// Numerics    bits come back exactly; F16 and BF16 are widened.
/// Errors      file_error, format_error; checkpoint_error with every problem.
/// Source      the official SBoRA and QSBoRA code; PEFT's tuners/paca.
template <class T = float>
SBORA_IN_IO_INSTANCES loaded_adapter<T> load_sbora(const std::filesystem::path& path,
                                                   std::span<const model_module> modules = {},
                                                   strictness mode = strictness::strict);

/// Writes an adapter's folder, made if it isn't there.
///
/// Effect      Both files or none are replaced; if it is interrupted, the old adapter or the new one can be loaded
///             (official, paca: or none, but no mixture). Other files there stay. The run-time multiplier isn't kept.
/// Cost        a copy of the indices; the trained halves are written from where they are.
/// Errors      file_error; config_error for what the layout can't say, or where a name isn't UTF-8.
template <class T>
SBORA_IN_IO_INSTANCES void save_sbora(const model_adapter<T>& adapter, const std::filesystem::path& folder,
                                      sbora_layout layout = sbora_layout::native);

}  // namespace sbora::inline SBORA_ABI
