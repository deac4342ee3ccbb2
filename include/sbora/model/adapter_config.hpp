#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sbora/adapters/region_geometry.hpp>

namespace sbora::inline SBORA_ABI {

/// Modules by name as PEFT chooses them: a list of suffixes, or one regular expression over the whole name.
struct module_filter {
  std::vector<std::string> names = {};
  std::optional<std::string> regex = {};

  bool empty() const noexcept { return names.empty() && !regex; }
  bool operator==(const module_filter&) const = default;
};

/// A regular expression over module names, and what it sets where it matches. The first of several counts.
template <class Value>
using module_pattern = std::pair<std::string, Value>;

/// Which biases an adapter trains beside its halves, PEFT's `bias`: none, all, or those of modules with an adapter
/// (lora_only). They are full tensors of it.
enum class bias_training { none, all, adapted };

/// Rows of tables that an adapter trains, PEFT's `trainable_token_indices`: ends of the tables' modules' names, with the
/// tokens in the order of the trained rows. An empty name: whichever table the files have tokens of.
using table_token_indices = std::vector<std::pair<std::string, std::vector<index_t>>>;

/// What sbora's own files say of a module beyond PEFT's keys.
struct recorded_module {
  std::string name;
  index_t d_out;
  index_t d_in;
  std::optional<std::uint64_t> base_fingerprint = {};  ///< of the region of the weight it was trained on

  bool operator==(const recorded_module&) const = default;
};

/// What sbora's own files add to an adapter_config.json, under the key `sbora`, which others ignore.
struct sbora_record {
  std::string version = {};                   ///< of sbora, that wrote it
  std::optional<std::uint64_t> seed = {};     ///< that regions and dropout come from
  std::optional<std::uint64_t> save = {};     ///< hash of the config, which the tensors repeat: no mixing of two saves
  std::vector<recorded_module> modules = {};  ///< in the order of the flat parameters
  std::vector<recorded_module> tables = {};   ///< of which tokens are trained

  bool operator==(const sbora_record&) const = default;
};

/// An adapter_config.json: PEFT's LoraConfig and PacaConfig and the official SBoRA code's SBoRAConfig, under their names,
/// as far as they say what an adapter computes. io/adapter/adapter_files.hpp reads and writes it.
///
/// Effect      A value. An adapter of module m has the kind of kind_pattern's first match or `kind`, the rank of
///             rank_pattern's or r, the alpha of alpha_pattern's or lora_alpha, and the scale alpha/rank, or
///             alpha/√rank with use_rslora.
struct adapter_config {
  std::string peft_type = "SBORA";        ///< SBORA, LORA, PACA or TRAINABLE_TOKENS
  std::optional<adapter_kind> kind = {};  ///< adapter_name sbora_fa, sbora_fb; none: the tensors say it
  std::vector<module_pattern<adapter_kind>> kind_pattern = {};  ///< modules of the other kind; in the record
  index_t r = 8;
  double lora_alpha = 8;  ///< PaCA's paca_alpha
  bool use_rslora = false;
  double lora_dropout = 0;
  bool fan_in_fan_out = false;  ///< the weights lie d_in × d_out
  module_filter target_modules = {};
  module_filter exclude_modules = {};
  std::vector<std::string> target_parameters = {};  ///< ends of names of stacks, whose members are NAME[0], NAME[1] …
  bias_training bias = bias_training::none;
  std::vector<std::string> modules_to_save = {};  ///< ends of names: all their tensors are full tensors
  table_token_indices trainable_token_indices = {};
  bool ensure_weight_tying = false;                 ///< PEFT gives a tied head what it gives the embedding
  std::vector<std::string> embedding_modules = {};  ///< ends of tables' names, beside usual ones; in the record
  std::vector<index_t> layers_to_transform = {};
  std::vector<std::string> layers_pattern = {};
  std::vector<module_pattern<index_t>> rank_pattern = {};
  std::vector<module_pattern<double>> alpha_pattern = {};
  std::optional<std::string> base_model_name_or_path = {};
  std::optional<std::string> revision = {};
  std::optional<std::string> task_type = {};
  std::optional<std::uint64_t> random_seed = {};  ///< that PaCA chose the columns from; kept for it
  bool inference_mode = true;
  std::optional<sbora_record> sbora = {};  ///< in sbora's own files

  bool operator==(const adapter_config&) const = default;
};

/// Of a whole model's adapter, whose modules may be of both kinds.
constexpr const char* to_string(std::optional<adapter_kind> kind) noexcept {
  return kind ? to_string(*kind) : "FA and FB";
}

}  // namespace sbora::inline SBORA_ABI
