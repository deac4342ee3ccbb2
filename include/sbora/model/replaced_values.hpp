#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <sbora/adapters/full_tensor.hpp>
#include <sbora/adapters/trainable_tokens.hpp>
#include <sbora/model/name_lists.hpp>

namespace sbora::inline SBORA_ABI {

/// Trained tokens of a table, by its module's name: model.embed_tokens.
template <class T>
struct table_tokens {
  std::string module;
  basic_trainable_tokens<T> tokens;
};

/// What an adapter of a model trains and puts in the place of the model's numbers, beside the updates of its parts.
template <class T>
struct replaced_values {
  std::vector<full_tensor<T>> tensors = {};
  std::vector<table_tokens<T>> tokens = {};
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Errors: config_error for a name that is empty, comes twice, or is of a module that `has_part` says has an adapter.
template <class T, class HasPart>
void check_names(const replaced_values<T>& replaced, const HasPart& has_part) {
  std::unordered_set<std::string_view> tables, tensors;
  for (const table_tokens<T>& of : replaced.tokens) {
    const std::string who = "sbora::model_adapter: tokens of '" + of.module + "' ";
    if (of.module.empty()) throw config_error(who + "have no module");
    if (!tables.insert(of.module).second) throw config_error(who + "come twice");
    if (has_part(of.module)) throw config_error(who + "are of a module that has an adapter");
  }
  for (const full_tensor<T>& tensor : replaced.tensors) {
    const std::string who = "sbora::model_adapter: full tensor '" + tensor.name() + "' ";
    if (tensor.name().empty()) throw config_error(who + "has no name");
    if (!tensors.insert(tensor.name()).second) throw config_error(who + "comes twice");
    const std::string_view module = module_of_weight(tensor.name());
    if (has_part(module)) throw config_error(who + "is the weight of a module that has an adapter");
    if (tables.contains(module)) throw config_error(who + "is the weight of a module that has tokens");
  }
}

/// So that files, which have names in their order, give back the order of the numbers.
template <class T>
void sort_by_name(replaced_values<T>& replaced) {
  std::ranges::sort(replaced.tensors, {},
                    [](const full_tensor<T>& tensor) -> const std::string& { return tensor.name(); });
  std::ranges::sort(replaced.tokens, {}, &table_tokens<T>::module);
}

}  // namespace sbora::inline SBORA_ABI::detail
