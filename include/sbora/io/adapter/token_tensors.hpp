#pragma once

#include <sbora/io/adapter/adapter_tensors.hpp>

/// Trained tokens in adapter files: of table m, `m.token_adapter.trainable_tokens_delta` beside a LoRA's tensors, or
/// `m.trainable_tokens_delta` where they are all there is. Whatever PEFT calls it, it is the rows that replace the
/// table's, in the order of the config's indices.
namespace sbora::inline SBORA_ABI::detail {

/// Those of one table in a file.
struct table_rows {
  region target;
  index_t features;
  const tensor_view* rows;
};

/// Of this table, by a config; null where it says none. The longest of its names counts.
inline const std::vector<index_t>* tokens_of_table(const table_token_indices& indices, std::string_view module) {
  const std::vector<index_t>* found = nullptr;
  std::size_t longest = 0;
  for (const auto& [table, tokens] : indices) {
    if (!table.empty() && !is_name_or_suffix(module, table)) continue;
    if (found != nullptr && table.size() <= longest) continue;
    found = &tokens;
    longest = table.size();
  }
  return found;
}

inline bool same_values(const tensor_view& a, const tensor_view& b) {
  return a.type == b.type && a.shape == b.shape && std::ranges::equal(a.data, b.data);
}

/// The tokens' tables with their sizes: `modules` knows them, or the record of sbora's own files.
///
/// Effect      leaves out a table that the model doesn't have and whose rows one that it has has, too: a head that is
///             tied to it.
/// Errors      added to the problems: tables that nobody knows, or that the config says nothing of; rows that aren't
///             as many as the indices, or of another type than F32, F16, BF16 (F64 for double); indices that are no
///             region; tables of the config that the file doesn't have.
template <class T>
std::map<std::string, table_rows> read_tokens(const std::map<std::string, const tensor_view*>& found,
                                              std::span<const model_module> modules, const adapter_config& config,
                                              problem_list& problems) {
  std::map<std::string_view, std::pair<index_t, index_t>> sizes;
  if (config.sbora) {
    for (const recorded_module& table : config.sbora->tables) sizes[table.name] = {table.d_out, table.d_in};
  }
  for (const model_module& module : modules) sizes[module.name] = {module.d_out, module.d_in};
  const std::set<std::string_view> known = names_of(modules);
  std::map<std::string, table_rows> all;
  for (const auto& entry : found) {
    const std::string& module = entry.first;
    const tensor_view* const tensor = entry.second;
    const std::string who = "tensor '" + shortened(tensor->name) + "' ";
    const auto knows = [&](const std::string& name) {
      return modules.empty() ? sizes.contains(name) : known.contains(name);
    };
    const bool is_known = knows(module);
    const bool is_tied = !is_known && std::any_of(found.begin(), found.end(), [&](const auto& other) {
      return knows(other.first) && same_values(*other.second, *tensor);
    });
    if (is_tied) continue;
    const std::vector<index_t>* const indices = tokens_of_table(config.trainable_token_indices, module);
    std::string wrong;
    if (indices == nullptr) {
      wrong = "is of a table that trainable_token_indices says nothing of";
    } else if (!is_known && modules.empty()) {
      wrong = "doesn't say how large its table is; give the model's modules";
    } else if (!is_known) {
      wrong = ": " + unknown_module(module, modules);
    } else if (!is_exact_type<T>(tensor->type) || tensor->shape.size() != 2 ||
               tensor->shape[0] != std::ssize(*indices) || tensor->shape[1] != sizes[module].second) {
      wrong = "is " + type_and_shape(*tensor) + ", expected F32, F16 or BF16 " +
              shape_text(std::vector<index_t>{std::ssize(*indices), sizes[module].second});
    } else {
      try {
        all.emplace(module, table_rows{region(sizes[module].first, *indices), sizes[module].second, tensor});
      } catch (const region_error& error) {
        wrong = std::string("is of tokens that are none: ") + error.what();
      }
    }
    if (!wrong.empty()) problems.refuse_or_skip(who + wrong);
  }
  for (const auto& entry : config.trainable_token_indices) {
    const std::string& table = entry.first;
    const std::vector<index_t>& indices = entry.second;
    const bool is_there = std::any_of(found.begin(), found.end(), [&](const auto& of) {
      if (table.empty() || is_name_or_suffix(of.first, table)) return true;
      const auto* const its = tokens_of_table(config.trainable_token_indices, of.first);
      return its != nullptr && *its == indices;  // tied: PEFT saves one of them
    });
    if (!is_there) problems.refuse_or_skip("trainable_token_indices: no tensor of '" + table + "'");
  }
  return all;
}

/// As files have it.
template <class T>
std::string token_key(const model_adapter<T>& adapter, const std::string& module) {
  const bool alone = adapter.size() == 0 && adapter.full_tensors().empty();
  return adapter_key(module + std::string(alone ? "" : token_adapter), trained_tokens);
}

/// A config to be written with an adapter says all of its tokens.
template <class T>
adapter_config with_tokens(adapter_config config, const model_adapter<T>& adapter) {
  const auto is_said = [&](const table_tokens<T>& of) {
    const std::vector<index_t>* const said = tokens_of_table(config.trainable_token_indices, of.module);
    return said != nullptr && std::ranges::equal(*said, of.tokens.target().indices());
  };
  const bool all = std::all_of(adapter.tokens().begin(), adapter.tokens().end(), is_said) && !adapter.tokens().empty();
  if (all) return config;
  config.trainable_token_indices.clear();
  for (const table_tokens<T>& of : adapter.tokens()) {
    const std::span<const index_t> indices = of.tokens.target().indices();
    config.trainable_token_indices.emplace_back(of.module, std::vector<index_t>(indices.begin(), indices.end()));
  }
  return config;
}

}  // namespace sbora::inline SBORA_ABI::detail
