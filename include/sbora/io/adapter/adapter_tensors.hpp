#pragma once

#include <map>
#include <optional>
#include <set>
#include <string_view>

#include <sbora/model/describe_adapter.hpp>
#include <sbora/model/model_adapter.hpp>
#include <sbora/model/name_lists.hpp>
#include <sbora/model/problem_list.hpp>
#include <sbora/model/target_rules.hpp>
#include <sbora/io/limits.hpp>
#include <sbora/io/tensor.hpp>
#include <sbora/io/tensor_names.hpp>

namespace sbora::inline SBORA_ABI::detail {

inline std::string adapter_key(std::string_view module, std::string_view ending) {
  return std::string(peft_prefix).append(module).append(ending);
}

/// The tensors of one module in an adapter file. Null: not there.
struct module_tensors {
  const tensor_view* a = nullptr;          ///< lora_A.weight
  const tensor_view* a_indices = nullptr;  ///< lora_A
  const tensor_view* b = nullptr;          ///< lora_B.weight
  const tensor_view* b_indices = nullptr;  ///< lora_B
  bool of_embedding = false;               ///< a is lora_embedding_A, and b lora_embedding_B
  bool of_paca = false;                    ///< a_indices is paca_indices, and b paca_delta
};

/// What an adapter file holds, whatever wraps the names: see tensor_names.hpp.
struct file_tensors {
  std::map<std::string, module_tensors> halves;      ///< by module
  std::map<std::string, const tensor_view*> tokens;  ///< by the table's module
  /// With their names, empty where they are no adapter's; full_tensors.hpp says what they are.
  std::vector<std::pair<std::string, const tensor_view*>> others;
};

/// `modules` may be empty.
inline file_tensors sort_tensors(std::span<const tensor_view> tensors, std::span<const model_module> modules,
                                 problem_list& problems) {
  std::vector<std::string> names;
  for (const tensor_view& tensor : tensors) names.push_back(tensor.name);
  names = adapter_names_without_wrappers(std::move(names));
  file_tensors file;
  std::map<std::string, module_tensors>& found = file.halves;
  std::optional<std::string> adapter;  // the first one's name
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string quoted = "'" + shortened(tensors[i].name) + "'";
    const std::optional<adapter_tensor_name> name = parse_adapter_tensor(names[i]);
    if (!name) {
      file.others.emplace_back(names[i], &tensors[i]);
      continue;
    }
    if (!adapter) adapter = name->adapter;
    if (name->adapter.empty() != adapter->empty()) {
      problems.refuse_or_skip("unexpected tensor " + quoted);
      continue;
    }
    if (name->adapter != *adapter) {
      problems.add("tensor " + quoted + " is of the adapter '" + name->adapter + "', others are of '" + *adapter +
                   "': save one adapter alone, as PEFT's save_pretrained does");
      continue;
    }
    if (name->module.size() > largest_module_name) {
      problems.refuse_or_skip("tensor " + quoted + ": a name of " + std::to_string(name->module.size()) +
                              " bytes, expected up to " + std::to_string(largest_module_name));
      continue;
    }
    const auto take = [&](const tensor_view*& place) {
      if (place != nullptr) problems.add("tensors '" + place->name + "' and " + quoted + " are for one place");
      place = &tensors[i];
    };
    if (name->tokens) {
      take(file.tokens[name->module]);
      continue;
    }
    module_tensors& of = found[name->module];
    const bool is_new = of.a == nullptr && of.a_indices == nullptr && of.b == nullptr && of.b_indices == nullptr;
    if (!is_new && (of.of_embedding != name->of_embedding || of.of_paca != name->of_paca)) {
      problems.refuse_or_skip("unexpected tensor " + quoted);  // of an embedding, its module a linear layer, or so
      continue;
    }
    of.of_embedding = name->of_embedding;
    of.of_paca = name->of_paca;
    take(name->is_a ? (name->dense ? of.a : of.a_indices) : (name->dense ? of.b : of.b_indices));
  }
  const auto is_parallel = [](const std::string& named) { return named.starts_with(parallel_prefix); };
  const auto all_parallel = [&](const auto& all) {
    return std::all_of(all.begin(), all.end(), [&](const auto& of) { return is_parallel(of.first); });
  };
  const bool wrapped =
      !modules.empty() && found.size() + file.tokens.size() > 0 && all_parallel(found) && all_parallel(file.tokens);
  if (!wrapped || std::any_of(modules.begin(), modules.end(),
                              [&](const model_module& module) { return is_parallel(module.name); })) {
    return file;
  }
  file_tensors unwrapped;  // the model was wrapped before PEFT came
  for (const auto& [module, of] : found) unwrapped.halves.emplace(module.substr(parallel_prefix.size()), of);
  for (const auto& [module, tensor] : file.tokens) {
    unwrapped.tokens.emplace(is_parallel(module) ? module.substr(parallel_prefix.size()) : module, tensor);
  }
  for (const auto& [name, tensor] : file.others) {
    unwrapped.others.emplace_back(is_parallel(name) ? name.substr(parallel_prefix.size()) : name, tensor);
  }
  return unwrapped;
}

inline std::set<std::string_view> names_of(std::span<const model_module> modules) {
  std::set<std::string_view> names;
  for (const model_module& module : modules) names.insert(module.name);
  return names;
}

/// What all problems of an adapter's file come from, with what helps; empty where there is no one cause.
/// chooses(module): whether the config does.
template <class Chooses>
std::string one_cause(std::span<const tensor_view> tensors, const file_tensors& file,
                      std::span<const model_module> modules, const adapter_config& config, const Chooses& chooses) {
  const std::map<std::string, module_tensors>& found = file.halves;
  const auto quoted = [](const std::string& name) { return "'" + name + "'"; };
  if (tensors.empty()) {
    return "its file has no tensors, so nothing was trained or saved; save the adapter again, with "
           "PeftModel.save_pretrained, after gathering its weights where DeepSpeed ZeRO-3 or FSDP hold parts of them";
  }
  const bool nothing_in_them =
      std::all_of(tensors.begin(), tensors.end(), [](const tensor_view& tensor) { return tensor.data.empty(); });
  if (nothing_in_them) {
    return "its tensors have no elements, as DeepSpeed ZeRO-3 saves what it didn't gather; save the adapter again, "
           "with stage3_gather_16bit_weights_on_model_save or zero_to_fp32.py";
  }
  if (found.empty() && !file.tokens.empty()) return {};
  if (found.empty()) {
    return "none of its " + std::to_string(tensors.size()) + " tensors, such as " + quoted(tensors.front().name) +
           ", is MODULE.lora_A or MODULE.lora_B; save the adapter alone, with PeftModel.save_pretrained, or convert "
           "it where another program made it";
  }
  const std::string& first = found.begin()->first;
  const std::string count = std::to_string(found.size());
  if (std::none_of(found.begin(), found.end(), [&](const auto& of) { return chooses(of.first); })) {
    return "target_modules and its like in adapter_config.json choose none of the " + count +
           " modules that it has tensors of, such as " + quoted(first) + "; correct them there";
  }
  const std::set<std::string_view> known = names_of(modules);
  const auto is_known = [&](const auto& of) { return known.contains(of.first); };
  if (modules.empty() || std::any_of(found.begin(), found.end(), is_known)) return {};
  const std::string made_from = config.base_model_name_or_path ? ", " + quoted(*config.base_model_name_or_path) : "";
  for (const model_module& module : modules) {
    const bool longer = is_name_or_suffix(first, module.name), shorter = is_name_or_suffix(module.name, first);
    if (!longer && !shorter) continue;
    const std::string& whole = longer ? first : module.name;
    const std::string prefix = whole.substr(0, whole.size() - std::min(first.size(), module.name.size()));
    return "the names of its modules " + std::string(longer ? "have " : "lack ") + quoted(prefix) +
           " in front, unlike the model's: " + quoted(first) + " is " + quoted(module.name) +
           " there; give the base that it was trained on" + made_from + ", or rename its tensors";
  }
  const std::string why = unknown_module(first, modules);
  if (why != unknown_module(first, {})) return why;  // a head alone, tied to the embedding
  return "none of its " + count + " modules, such as " + quoted(first) + ", is one of the model's " +
         std::to_string(modules.size()) + ", such as " + quoted(modules.front().name) +
         "; give the base that it was trained on" + made_from;
}

/// The rules of a config that came with tensors. Where a regular expression of its choice of modules can't be used, the
/// tensors choose instead, and the config that the adapter keeps has no choice; one of ranks or alphas that can't is a
/// problem in every mode.
inline target_rules rules_of_file(adapter_config& config, problem_list& problems) {
  std::string problem;
  try {
    return target_rules(config);
  } catch (const config_error& error) {
    problem = error.what();
  }
  config.target_modules = config.exclude_modules = {};
  config.layers_pattern.clear();
  try {
    target_rules rules(config);
    problems.refuse_or_skip(problem);
    return rules;
  } catch (const config_error& error) {
    problems.add(error.what());
  }
  config.rank_pattern.clear();
  config.alpha_pattern.clear();
  return target_rules(config);
}

/// What a tensor is in a message.
inline std::string type_and_shape(const tensor_view& tensor) {
  return std::string(to_string(tensor.type)) + " " + shape_text(tensor.shape);
}

/// Whether `into` was filled with the tensor's values, each exactly as it is: F32, F16 and BF16, and F64 for double.
template <class T>
bool copy_exactly(const tensor_view& tensor, std::span<T> into) {
  const auto convert = [&]<class From>(From) {
    const std::vector<From> values = tensor.copy<From>();
    std::transform(values.begin(), values.end(), into.begin(), [](From value) {
      if constexpr (std::is_same_v<From, T>) return value;
      else return static_cast<T>(static_cast<float>(value));
    });
    return true;
  };
  if (tensor.data.size() * 8 != into.size() * static_cast<std::size_t>(bits_of(tensor.type))) return false;
  if (tensor.type == dtype::f64) return std::is_same_v<T, double> && convert(T{});
  return visit_dense_dtype(tensor.type, convert).value_or(false);
}

template <class T>
bool is_exact_type(dtype type) {
  return is_dense_dtype(type) || (type == dtype::f64 && std::is_same_v<T, double>);
}

/// A region's indices as I64 or I32; nothing for other types.
inline std::optional<std::vector<index_t>> read_indices(const tensor_view& tensor) {
  if (tensor.type == dtype::i64) {
    const auto values = tensor.copy<std::int64_t>();
    return std::vector<index_t>(values.begin(), values.end());
  }
  if (tensor.type != dtype::i32) return std::nullopt;
  const auto values = tensor.copy<std::int32_t>();
  return std::vector<index_t>(values.begin(), values.end());
}

/// Memory for tensors that are made to be written.
class tensor_pool {
 public:
  template <class Scalar>
  void add(std::string name, std::vector<index_t> shape, std::span<const Scalar> values) {
    tensors_.push_back({std::move(name), dtype_of<Scalar>, std::move(shape), std::as_bytes(values)});
  }
  template <class Scalar>
  void add_owned(std::string name, std::vector<index_t> shape, std::vector<Scalar> values) {
    auto kept = std::make_shared<std::vector<Scalar>>(std::move(values));
    add<Scalar>(std::move(name), std::move(shape), *kept);
    kept_.push_back(std::move(kept));
  }

  /// Bytes of somebody else's.
  void add_bytes(std::string name, dtype type, std::vector<index_t> shape, std::span<const std::byte> data) {
    tensors_.push_back({std::move(name), type, std::move(shape), data});
  }

  std::span<const tensor_view> tensors() const& noexcept { return tensors_; }
  std::span<const tensor_view> tensors() const&& = delete;  // would dangle: name the object

 private:
  std::vector<tensor_view> tensors_;
  std::vector<std::shared_ptr<void>> kept_;
};

}  // namespace sbora::inline SBORA_ABI::detail
