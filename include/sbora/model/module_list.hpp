#pragma once

#include <sbora/model/model_adapter.hpp>
#include <sbora/model/problem_list.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A model's modules, each by its name, and what adapters may be on them.
class module_list {
 public:
  /// Errors: config_error for a name that comes twice or is empty, shape_error for sizes below 1; `who` comes first.
  module_list(const std::string& who, std::vector<model_module> modules) : modules_(std::move(modules)) {
    for (std::size_t i = 0; i < modules_.size(); ++i) {
      const model_module& module = modules_[i];
      if (module.name.empty()) throw config_error(who + "a module without a name");
      if (module.d_out < 1 || module.d_in < 1) {
        throw shape_error(message({who, "module '", module.name, "' is ", shape_text(module.d_out, module.d_in),
                                   ", both must be at least 1"}));
      }
      if (!positions_.emplace(module.name, i).second) {
        throw config_error(who + "module '" + module.name + "' comes twice");
      }
    }
  }

  const std::vector<model_module>& modules() const& noexcept { return modules_; }
  std::vector<model_module> modules() && noexcept { return std::move(modules_); }

  std::optional<std::size_t> position(std::string_view module) const {
    const auto found = positions_.find(std::string(module));
    return found == positions_.end() ? std::nullopt : std::optional(found->second);
  }

  /// Errors: checkpoint_error with every module of the adapter that the model lacks or has in another shape.
  template <class T>
  void check(const std::string& name, const model_adapter<T>& adapter) const {
    problem_list problems;
    adapter.for_each([&](const std::string& module, const auto& part) {
      const std::optional<std::size_t> found = position(module);
      if (!found) return problems.add(unknown_module(module, modules_));
      const model_module& has = modules_[*found];
      if (has.d_out == part.d_out() && has.d_in == part.d_in()) return;
      problems.add(unlike_module(has, part.d_out(), part.d_in()));
    });
    problems.throw_if_any("adapter '" + name + "' isn't for this model", "give one that was made for it");
  }

 private:
  std::vector<model_module> modules_;
  std::unordered_map<std::string, std::size_t> positions_;
};

}  // namespace sbora::inline SBORA_ABI::detail
