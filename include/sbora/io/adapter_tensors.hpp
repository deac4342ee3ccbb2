#pragma once

#include <map>
#include <optional>
#include <string_view>

#include <sbora/io/model_adapter.hpp>
#include <sbora/io/problem_list.hpp>
#include <sbora/io/target_rules.hpp>
#include <sbora/io/tensor.hpp>

namespace sbora::inline SBORA_ABI::detail {

inline constexpr std::string_view adapter_key_prefix = "base_model.model.";

inline std::string adapter_key(std::string_view module, const char* ending) {
  return std::string(adapter_key_prefix) + std::string(module) + ending;
}

/// The tensors of one module in an adapter file. Null: not there.
struct module_tensors {
  const tensor_view* a = nullptr;          ///< lora_A.weight
  const tensor_view* a_indices = nullptr;  ///< lora_A
  const tensor_view* b = nullptr;          ///< lora_B.weight
  const tensor_view* b_indices = nullptr;  ///< lora_B
};

/// By module. What isn't one of the four is unexpected.
inline std::map<std::string, module_tensors> tensors_by_module(std::span<const tensor_view> tensors,
                                                               problem_list& problems) {
  std::map<std::string, module_tensors> modules;
  for (const tensor_view& tensor : tensors) {
    std::string_view rest = tensor.name;
    const auto drop = [&](std::string_view ending) {
      const bool has = rest.size() > ending.size() && rest.ends_with(ending);
      if (has) rest.remove_suffix(ending.size());
      return has;
    };
    const bool prefixed = rest.starts_with(adapter_key_prefix);
    if (prefixed) rest.remove_prefix(adapter_key_prefix.size());
    const bool dense = drop(".weight");
    const bool is_a = drop(".lora_A");
    if (!prefixed || !(is_a || drop(".lora_B"))) {
      problems.refuse_or_skip("unexpected tensor '" + shortened(tensor.name) + "'");
      continue;
    }
    if (rest.size() > largest_module_name) {
      problems.refuse_or_skip("tensor '" + shortened(tensor.name) + "': a name of " + std::to_string(rest.size()) +
                              " bytes, expected up to " + std::to_string(largest_module_name));
      continue;
    }
    module_tensors& of = modules[std::string(rest)];
    (is_a ? (dense ? of.a : of.a_indices) : (dense ? of.b : of.b_indices)) = &tensor;
  }
  return modules;
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

/// After modules were left out, rules would choose more than there is.
inline void choose_by_name(adapter_config& config, const std::vector<adapter_part>& parts) {
  config.target_modules = {};
  for (const adapter_part& part : parts) config.target_modules.names.push_back(part.module);
  config.exclude_modules = {};
  config.layers_to_transform.clear();
  config.layers_pattern.clear();
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
  switch (tensor.type) {
    case dtype::f32: return convert(float{});
    case dtype::f16: return convert(Eigen::half{});
    case dtype::bf16: return convert(Eigen::bfloat16{});
    case dtype::f64: return std::is_same_v<T, double> && convert(T{});
    default: return false;
  }
}

template <class T>
bool is_exact_type(dtype type) {
  return type == dtype::f32 || type == dtype::f16 || type == dtype::bf16 ||
         (type == dtype::f64 && std::is_same_v<T, double>);
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

  std::span<const tensor_view> tensors() const noexcept { return tensors_; }

 private:
  std::vector<tensor_view> tensors_;
  std::vector<std::shared_ptr<void>> kept_;
};

}  // namespace sbora::inline SBORA_ABI::detail
