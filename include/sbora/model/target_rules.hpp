#pragma once

#include <memory>
#include <string_view>

#include <sbora/core/compiled_once.hpp>
#include <sbora/model/adapter_config.hpp>

namespace sbora::inline SBORA_ABI::detail {

class compiled_rules;

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Which modules a config's adapter is for, and with which rank, alpha and kind: PEFT's rules.
///
/// Effect      exclude_modules first. target_modules: a list names modules exactly or by a suffix that starts after
///             a dot, and layers_to_transform then keeps those whose layer number it has (not asked of modules that
///             are named exactly); a string is a regular expression over the whole name. "all-linear" is every
///             module that it is asked about. The layer number is the first part of only digits with two parts
///             before it and one after, or what follows the first match of layers_pattern, which may stand at the
///             root. rank_pattern,
///             alpha_pattern and kind_pattern: the first key that matches the name from its start or from after a dot.
///             A member of a stack of weights, NAME[3], is chosen by target_parameters alone, as a suffix of NAME, and
///             a module besides by a suffix of NAME.weight; keys of patterns match NAME[3], or else NAME.
/// Cost        compiles the regular expressions once; a name costs a match of each, and a look-up among all that are
///             plain names.
/// Errors      config_error that names a regular expression that can't be used.
/// Source      PEFT 0.21's check_target_module_exists and get_pattern_key; tests/interop/test_target_rules.py compares.
class target_rules {
 public:
  SBORA_IN_MODEL_INSTANCES explicit target_rules(const adapter_config& config);

  /// Whether the config says anything about which modules.
  SBORA_IN_MODEL_INSTANCES bool chooses() const noexcept;
  SBORA_IN_MODEL_INSTANCES bool matches(std::string_view module) const;
  SBORA_IN_MODEL_INSTANCES index_t rank_of(std::string_view module) const;
  SBORA_IN_MODEL_INSTANCES double alpha_of(std::string_view module) const;
  /// Nothing where kind_pattern doesn't match: then it is the config's kind.
  SBORA_IN_MODEL_INSTANCES std::optional<adapter_kind> kind_of(std::string_view module) const;

 private:
  std::shared_ptr<const detail::compiled_rules> rules_;
};

}  // namespace sbora::inline SBORA_ABI
