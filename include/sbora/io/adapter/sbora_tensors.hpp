#pragma once

#include <sbora/io/adapter/adapter_config_json.hpp>
#include <sbora/io/adapter/full_tensors.hpp>
#include <sbora/io/adapter/sbora_checkpoint.hpp>
#include <sbora/io/adapter/trained_tensors.hpp>
#include <sbora/model/make_adapter.hpp>
#include <sbora/model/name_lists.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What a module's tensors end in.
struct part_endings {
  const char* indices;
  const char* trained;
};
constexpr part_endings endings_of(bool paca, bool fa) noexcept {
  if (paca) return {".paca_indices", ".paca_delta"};
  return fa ? part_endings{".lora_A", ".lora_B.weight"} : part_endings{".lora_B", ".lora_A.weight"};
}

/// The tensors of an SBoRA checkpoint as an adapter.
template <class T>
class sbora_tensor_reader {
 public:
  sbora_tensor_reader(std::span<const tensor_view> tensors, adapter_config config,
                      std::span<const model_module> modules, problem_list& problems)
      : sbora_tensor_reader(tensors, sort_tensors(tensors, modules, problems), std::move(config), modules, problems) {}

 private:
  sbora_tensor_reader(std::span<const tensor_view> tensors, file_tensors file, adapter_config config,
                      std::span<const model_module> modules, problem_list& problems)
      : config_(std::move(config)),
        rules_(rules_of_file(config_, problems)),
        endings_(config_.target_modules.names),
        problems_(problems),
        trained_(trained_tensors<T>::replaced_in(file, modules, config_, problems)),
        found_(file.halves),
        kind_(kind_of_tensors()) {
    problems.set_cause(one_cause(tensors, file, modules, config_, [&](const std::string& module) {
      return is_recorded() || config_.target_modules.empty() || is_chosen(module);
    }));
    list_expected(modules);
  }

 public:
  /// On the tensors where it may be and can. Errors: those collected. Nothing where no part could be read.
  std::optional<model_adapter<T>> read(bool in_place = false) {
    for (const model_module& module : expected_) read_part(module);
    for (const auto& [module, tensors] : found_) {
      for (const tensor_view* tensor : {tensors.a, tensors.a_indices, tensors.b, tensors.b_indices}) {
        if (tensor != nullptr) problems_.refuse_or_skip("unexpected tensor '" + tensor->name + "'");
      }
    }
    if (trained_.empty() && problems_.empty()) problems_.add("there is no module with all that it takes");
    if (!problems_.empty()) return std::nullopt;
    if (left_out_ || parts_.size() < expected_.size()) choose_by_name(config_, parts_);
    return adapter_of<T>(kind_, std::move(config_), std::move(parts_), trained_, in_place);
  }

 private:
  adapter_kind kind_of_tensors() const {
    bool fa = false, fb = false;
    bool asked = found_.empty() && trained_.tokens.empty();
    for (const auto& [module, tensors] : found_) {
      if (rules_.kind_of(module)) continue;
      asked = true;
      fa = fa || tensors.a_indices != nullptr;
      fb = fb || tensors.b_indices != nullptr;
    }
    if (config_.kind) {
      if (trains_b(*config_.kind) ? fb && !fa : fa && !fb) {
        problems_.add(std::string("the config says ") + to_string(*config_.kind) + ", the tensors are " +
                      (fa ? "FA" : "FB"));
      }
      return *config_.kind;
    }
    if (asked && !fa && !fb) problems_.add("no tensor of indices: neither lora_A nor lora_B without .weight");
    if (fa && fb) problems_.add("indices in both lora_A and lora_B: FA and FB in one file");
    return fa ? adapter_kind::fa : adapter_kind::fb;
  }

  /// The official code takes any name that ends like this, with a dot before it or not.
  bool ends_like_a_target(std::string_view module) const {
    return config_.layers_to_transform.empty() && config_.exclude_modules.empty() && endings_.of(module);
  }

  bool is_recorded() const { return config_.sbora && !config_.sbora->modules.empty(); }
  bool is_chosen(const std::string& module) const { return rules_.matches(module) || ends_like_a_target(module); }

  void list_expected(std::span<const model_module> modules) {
    if (!is_recorded()) {
      if (modules.empty() && !found_.empty()) {
        problems_.add("these files don't say how large the weights are; give the model's modules");
        found_.clear();  // nothing to say about their tensors
      }
      for (const model_module& module : modules) {
        const bool chosen = config_.target_modules.empty() ? found_.count(module.name) > 0 : is_chosen(module.name);
        if (chosen) expected_.push_back(module);
      }
      return;
    }
    std::unordered_map<std::string_view, const model_module*> of_model;
    for (const model_module& module : modules) of_model.emplace(module.name, &module);
    for (const recorded_module& module : config_.sbora->modules) {
      const auto same = of_model.find(module.name);
      fingerprints_.emplace(module.name, module.base_fingerprint);
      if (modules.empty()) {
        expected_.push_back({module.name, module.d_out, module.d_in});
      } else if (same == of_model.end()) {
        leave_out(module.name, unknown_module(module.name, modules));
      } else if (same->second->d_out != module.d_out || same->second->d_in != module.d_in) {
        leave_out(module.name, unlike_module(*same->second, module.d_out, module.d_in));
      } else {
        expected_.push_back(*same->second);
      }
    }
  }

  void leave_out(const std::string& module, const std::string& why) {
    problems_.refuse_or_skip(why);
    found_.erase(module);
    left_out_ = true;
  }

  void read_part(const model_module& module) {
    const adapter_kind kind = rules_.kind_of(module.name).value_or(kind_);
    const bool fa = trains_b(kind);
    const auto entry = found_.find(module.name);
    const bool paca = config_.peft_type == paca_type, is_there = entry != found_.end() && entry->second.of_paca == paca;
    const module_tensors tensors = is_there ? entry->second : module_tensors{};
    const part_endings endings = endings_of(paca, fa);
    const tensor_view* const indices = fa ? tensors.a_indices : tensors.b_indices;
    const tensor_view* const trained = fa ? tensors.b : tensors.a;
    std::vector<std::string> wrong;
    const auto missing = [&](const char* ending) {
      wrong.push_back("missing tensor '" + adapter_key(module.name, ending) + "'");
    };
    if (indices == nullptr) missing(endings.indices);
    if (trained == nullptr) missing(endings.trained);
    std::optional<region> target;
    const index_t rank = rules_.rank_of(module.name);
    if (indices != nullptr)
      target = read_region(*indices, region_geometry(kind, module.d_out, module.d_in, rank).dim, wrong);
    if (target && target->rank() != rank) {
      problems_.refuse_or_skip("tensor '" + indices->name + "' has " + std::to_string(target->rank()) +
                               " indices, the config says rank " + std::to_string(rank));
    }
    if (trained != nullptr) {
      check_trained(*trained, {kind, module.d_out, module.d_in, target ? target->rank() : rank}, wrong);
    }
    for (const std::string& problem : wrong) problems_.refuse_or_skip(problem);
    if (is_there) {
      // What is left afterwards is unexpected.
      (fa ? entry->second.a_indices : entry->second.b_indices) = nullptr;
      (fa ? entry->second.b : entry->second.a) = nullptr;
    }
    if (!wrong.empty()) return;
    parts_.push_back({module.name, module.d_out, module.d_in, std::move(*target), rules_.alpha_of(module.name),
                      fingerprints_[module.name], kind});
    trained_.halves.push_back(trained);
  }

  static std::optional<region> read_region(const tensor_view& tensor, index_t dim, std::vector<std::string>& wrong) {
    const std::string name = "tensor '" + tensor.name + "' ";
    std::optional<std::vector<index_t>> indices = read_indices(tensor);
    if (!indices || tensor.shape.size() != 1) {
      wrong.push_back(name + "is " + type_and_shape(tensor) + ", expected I64 or I32 [rank]");
      return std::nullopt;
    }
    try {
      return region(dim, std::move(*indices));
    } catch (const region_error& error) {
      wrong.push_back(name + "isn't a region: " + error.what());
      return std::nullopt;
    }
  }

  static void check_trained(const tensor_view& tensor, const region_geometry& geometry,
                            std::vector<std::string>& wrong) {
    const std::vector<index_t> shape = {geometry.rows(), geometry.cols()};
    if (is_exact_type<T>(tensor.type) && tensor.shape == shape) return;
    wrong.push_back("tensor '" + tensor.name + "' is " + type_and_shape(tensor) + ", expected F32, F16 or BF16 " +
                    shape_text(shape));
  }

  adapter_config config_;
  target_rules rules_;
  text_endings endings_;  ///< of target_modules
  problem_list& problems_;
  trained_tensors<T> trained_;
  std::map<std::string, module_tensors> found_;
  adapter_kind kind_;  ///< of modules whose kind the config doesn't say
  std::vector<model_module> expected_;
  bool left_out_ = false;
  std::vector<adapter_part> parts_;
  std::unordered_map<std::string, std::optional<std::uint64_t>> fingerprints_;
};

/// The tensors to write, numbers in the adapter's order. They point into the adapter.
template <class T>
tensor_pool sbora_tensors(const model_adapter<T>& adapter, sbora_layout layout) {
  const bool paca = layout == sbora_layout::paca;
  tensor_pool pool;
  adapter.for_each([&](const std::string& module, const auto& part) {
    const part_endings endings = endings_of(paca, trains_b(part.kind));
    const auto indices = part.target().indices();
    pool.add_owned(adapter_key(module, endings.indices), {part.rank()},
                   std::vector<std::int64_t>(indices.begin(), indices.end()));
    pool.add<T>(adapter_key(module, endings.trained), {part.matrix().rows(), part.matrix().cols()}, part.parameters());
  });
  for (const full_tensor<T>& tensor : adapter.full_tensors()) {
    pool.add<T>(full_tensor_key(adapter, tensor.name(), paca), tensor.shape(), tensor.parameters());
  }
  for (const table_tokens<T>& of : adapter.tokens()) {
    pool.add<T>(token_key(adapter, of.module), {of.tokens.target().rank(), of.tokens.features()},
                of.tokens.parameters());
  }
  return pool;
}

}  // namespace sbora::inline SBORA_ABI::detail
