#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include <sbora/adapters/adapter.hpp>
#include <sbora/adapters/full_tensor.hpp>
#include <sbora/core/random.hpp>
#include <sbora/model/adapter_config.hpp>
#include <sbora/core/fnv1a.hpp>

namespace sbora::inline SBORA_ABI {

/// A linear layer of a model, by the name that its adapters' files use: `model.layers.0.self_attn.q_proj`.
struct model_module {
  std::string name;
  index_t d_out;
  index_t d_in;
};

/// The module's part of an adapter: what it takes to make a basic_adapter.
struct adapter_part {
  std::string module;
  index_t d_out;
  index_t d_in;
  region target;
  double alpha;
  std::optional<std::uint64_t> base_fingerprint = {};  ///< see base_fingerprint.hpp
  std::optional<adapter_kind> kind = {};               ///< none: that of the whole
};

/// Memory of the caller's for all of an adapter's numbers: model_adapter::parameter_count() each.
template <class T>
struct adapter_memory {
  std::span<T> parameters;  ///< keeps its contents: zeros for a new adapter, or trained halves
  std::span<T> gradient;    ///< empty: for inference
};

/// What a module's random numbers are drawn from: regions (use 0) and dropout (use 1). A function of one seed and
/// the module's name, so that other modules, their number and their order change nothing.
///
/// Numerics    philox4x32({h, h >> 32, use, 0}, seed), words 0 and 1, where h is the 64-bit FNV-1a of the name.
constexpr std::uint64_t module_seed(std::uint64_t seed, std::string_view module, std::uint32_t use) noexcept {
  const std::uint64_t hash = detail::fnv1a(module);
  const auto words =
      philox4x32({static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(hash >> 32), use, 0}, seed);
  return words[0] | std::uint64_t{words[1]} << 32;
}

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Why an adapter's module isn't for this model.
inline std::string unknown_module(const std::string& name, std::span<const model_module> modules) {
  const std::string what = "module '" + name + "' is none of the model's";
  constexpr std::string_view head = "lm_head";
  if (name != head && !name.ends_with("." + std::string(head))) return what;
  for (const model_module& module : modules) {
    if (!module.name.ends_with("embed_tokens") && !module.name.ends_with("wte")) continue;
    return what + ", where the head is the embedding '" + module.name + "' (tie_word_embeddings); save the base with " +
           "a copy of that as lm_head.weight and tie_word_embeddings false first";
  }
  return what;
}

/// Or where it has other sizes.
inline std::string unlike_module(const model_module& module, index_t d_out, index_t d_in) {
  return "module '" + module.name + "' is " + shape_text(module.d_out, module.d_in) + ", the adapter is for " +
         shape_text(d_out, d_in);
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// One adapter over several modules of a model, each FA or FB, with one flat array of parameters and one of gradients:
/// what is trained, saved and loaded.
///
/// Effect      part i is a basic_adapter for module(i), on its piece of the arrays; pieces follow one another in
///             the order of the parts, without gaps. New ones are zero.
/// Lifetime    owns the arrays, or uses the caller's, which have to outlive it; adapters, spans and deltas stay valid
///             after a move, and end with it.
/// Cost        2·parameter_count() numbers.
/// Thread      as basic_adapter.
/// Errors      config_error for no parts, a module twice, an unknown module, FA asked of FB; shape_error for memory of
///             another size; and those of basic_adapter.
template <class T = float>
class model_adapter {
 public:
  /// `config` says use_rslora, lora_dropout and, in its record, the seed of dropout; it is kept for writing. Ranks
  /// and alphas are the parts', and kinds where they say one.
  model_adapter(adapter_kind kind, adapter_config config, std::vector<adapter_part> parts)
      : model_adapter(kind, std::move(config), std::move(parts), nullptr) {}

  /// On memory of the caller's.
  model_adapter(adapter_kind kind, adapter_config config, std::vector<adapter_part> parts, adapter_memory<T> memory)
      : model_adapter(kind, std::move(config), std::move(parts), &memory) {}

  /// FA or FB where all parts are, nothing where there are both. A part's is its static member `kind`.
  std::optional<adapter_kind> kind() const noexcept { return kind_; }
  const adapter_config& config() const& noexcept { return config_; }
  adapter_config config() && noexcept { return std::move(config_); }

  index_t size() const noexcept { return static_cast<index_t>(modules_.size()); }
  const std::vector<std::string>& modules() const& noexcept { return modules_; }
  std::vector<std::string> modules() && noexcept { return std::move(modules_); }
  bool has(std::string_view module) const { return positions_.find(std::string(module)) != positions_.end(); }

  /// Trainable parameters, exactly; indices don't count.
  index_t parameter_count() const noexcept { return static_cast<index_t>(parameters_.value.size()); }
  std::span<T> parameters() & noexcept { return parameters_.value; }
  std::span<const T> parameters() const& noexcept { return parameters_.value; }
  std::span<const T> parameters() const&& = delete;  // would dangle: name the adapter
  std::span<T> gradient() & noexcept { return gradient_.value; }
  std::span<const T> gradient() const& noexcept { return gradient_.value; }
  std::span<const T> gradient() const&& = delete;  // would dangle: name the adapter
  void zero_gradient() noexcept { std::fill(gradient_.value.begin(), gradient_.value.end(), T{0}); }

  /// The trained halves in parameters(), as optimisers of matrices take them.
  std::vector<parameter_block> blocks() const {
    std::vector<parameter_block> all;
    index_t offset = 0;
    for_each([&](const std::string&, const auto& adapter) {
      const auto [block] = adapter.blocks();
      all.push_back({offset, block.rows, block.cols});
      offset += adapter.parameter_count();
    });
    return all;
  }

  /// A module's adapter, for layers and mergers.
  fa_adapter<T>& fa(std::string_view module) & { return part<adapter_kind::fa>(*this, module); }
  fb_adapter<T>& fb(std::string_view module) & { return part<adapter_kind::fb>(*this, module); }
  const fa_adapter<T>& fa(std::string_view module) const& { return part<adapter_kind::fa>(*this, module); }
  const fb_adapter<T>& fb(std::string_view module) const& { return part<adapter_kind::fb>(*this, module); }
  const fa_adapter<T>& fa(std::string_view module) const&& = delete;  // would dangle: name the adapter
  const fb_adapter<T>& fb(std::string_view module) const&& = delete;  // would dangle: name the adapter

  /// f(const std::string& module, adapter) for every part in order; adapter is an fa_adapter<T>& or fb_adapter<T>&.
  template <class Function>
  void for_each(Function&& f) {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      std::visit([&](auto& adapter) { f(modules_[i], adapter); }, parts_[i]);
    }
  }
  template <class Function>
  void for_each(Function&& f) const {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      std::visit([&](const auto& adapter) { f(modules_[i], adapter); }, parts_[i]);
    }
  }

  /// f(adapter) of one module.
  template <class Function>
  decltype(auto) visit(std::string_view module, Function&& f) const {
    return std::visit(std::forward<Function>(f), parts_[position_of(module)]);
  }

  weight_delta<T> delta(std::string_view module) const& {
    return visit(module, [](const auto& adapter) { return adapter.delta(); });
  }
  weight_delta<T> delta(std::string_view module) const&& = delete;  // would dangle: name the adapter

  /// What it replaces as a whole in the model, beside its parts: full_tensor_merger puts it there. Not among
  /// parameters().
  const std::vector<full_tensor<T>>& full_tensors() const& noexcept { return full_tensors_; }
  std::vector<full_tensor<T>> full_tensors() && noexcept { return std::move(full_tensors_); }
  /// Errors: config_error for a name that is empty, comes twice, or is the weight of a part's module; shape_error for
  /// another number of values than the shape has.
  void set_full_tensors(std::vector<full_tensor<T>> tensors) {
    std::unordered_map<std::string_view, bool> names;
    for (const full_tensor<T>& tensor : tensors) {
      const std::string who = "sbora::model_adapter: full tensor '" + tensor.name + "' ";
      if (tensor.name.empty()) throw config_error(who + "has no name");
      if (!names.emplace(tensor.name, true).second) throw config_error(who + "comes twice");
      if (tensor.name.ends_with(".weight") && has(std::string_view(tensor.name).substr(0, tensor.name.size() - 7))) {
        throw config_error(who + "is the weight of a module that has an adapter");
      }
      if (detail::require_product(who.c_str(), tensor.shape) != std::ssize(tensor.values)) {
        throw shape_error(who + "has " + std::to_string(tensor.values.size()) + " values, its shape has " +
                          std::to_string(*detail::size_product(tensor.shape)));
      }
    }
    full_tensors_ = std::move(tensors);
  }

  void set_enabled(bool enabled) noexcept {
    for_each([&](const std::string&, auto& adapter) { adapter.set_enabled(enabled); });
  }
  /// Of all parts, or of none where it is out of range for one: config_error. A run-time choice: files don't keep it.
  void set_multiplier(double multiplier) {
    for_each([&](const std::string& module, const auto& adapter) {
      with_module(module, [&] { adapter.check_multiplier(multiplier); });
    });
    for_each([&](const std::string&, auto& adapter) { adapter.set_multiplier(multiplier); });
  }

  /// What the base weight was that it was trained on; see base_fingerprint.hpp.
  std::optional<std::uint64_t> base_fingerprint(std::string_view module) const {
    return fingerprints_[position_of(module)];
  }
  void set_base_fingerprint(std::string_view module, std::uint64_t fingerprint) {
    fingerprints_[position_of(module)] = fingerprint;
  }

 private:
  using any_adapter = std::variant<fa_adapter<T>, fb_adapter<T>>;

  model_adapter(adapter_kind kind, adapter_config config, std::vector<adapter_part> parts,
                const adapter_memory<T>* memory)
      : config_(std::move(config)) {
    if (parts.empty()) throw config_error("sbora::model_adapter: no modules");
    index_t bytes = 0;  // of parameters and gradients
    for (std::size_t i = 0; i < parts.size(); ++i) {
      adapter_part& part = parts[i];
      part.kind = part.kind.value_or(kind);
      if (!positions_.emplace(part.module, i).second) {
        throw config_error("sbora::model_adapter: module '" + part.module + "' comes twice");
      }
      if (part.d_out < 1 || part.d_in < 1) {
        throw shape_error("sbora::model_adapter: module '" + part.module + "' is " +
                          detail::shape_text(part.d_out, part.d_in) + ", both must be at least 1");
      }
      const std::optional<index_t> own =
          detail::size_product({2 * sizeof(T), part.target.rank(), geometry(part).lines});
      if (!own || __builtin_add_overflow(bytes, *own, &bytes)) {
        throw shape_error("sbora::model_adapter: up to module '" + part.module +
                          "' there are more parameters than can be counted");
      }
      modules_.push_back(part.module);
      fingerprints_.push_back(part.base_fingerprint);
    }
    const bool mixed =
        std::any_of(parts.begin(), parts.end(), [&](const adapter_part& part) { return part.kind != parts[0].kind; });
    kind_ = mixed ? std::nullopt : parts[0].kind;
    if (kind_ || !config_.kind) config_.kind = kind_.value_or(kind);
    take_memory(static_cast<std::size_t>(bytes) / (2 * sizeof(T)), memory);
    make_parts(std::move(parts));
  }

  static detail::region_geometry geometry(const adapter_part& part) {
    return {*part.kind, part.d_out, part.d_in, part.target.rank()};
  }

  void take_memory(std::size_t count, const adapter_memory<T>* memory) {
    if (memory == nullptr) {
      const auto size = static_cast<index_t>(2 * count);
      memory_ = detail::make_aligned_array<T>(size);
      std::fill_n(memory_.get(), size, T{0});
      parameters_.value = {memory_.get(), count};
      gradient_.value = {memory_.get() + count, count};
      return;
    }
    const auto check = [&](const char* what, std::span<const T> given) {
      if (given.size() == count) return;
      throw shape_error("sbora::model_adapter: " + std::to_string(count) + " " + what + " needed, the span given has " +
                        std::to_string(given.size()));
    };
    check("parameters", memory->parameters);
    if (!memory->gradient.empty()) check("gradients", memory->gradient);
    parameters_.value = memory->parameters;
    gradient_.value = memory->gradient;
  }

  /// f(), its errors with the module's name.
  template <class Function>
  static void with_module(const std::string& module, Function&& f) {
    try {
      f();
    } catch (const shape_error& error) {
      throw shape_error("module '" + module + "': " + error.what());
    } catch (const config_error& error) {
      throw config_error("module '" + module + "': " + error.what());
    }
  }

  void make_parts(std::vector<adapter_part> parts) {
    const std::uint64_t seed = config_.sbora && config_.sbora->seed ? *config_.sbora->seed : 0;
    parts_.reserve(parts.size());
    std::size_t at = 0;
    for (adapter_part& part : parts) {
      const auto count = static_cast<std::size_t>(part.target.rank() * geometry(part).lines);
      const adapter_options options = {.alpha = part.alpha,
                                       .rslora = config_.use_rslora,
                                       .dropout = config_.lora_dropout,
                                       .dropout_seed = module_seed(seed, part.module, 1)};
      const std::span<T> parameters = parameters_.value.subspan(at, count);
      const std::span<T> gradient = gradient_.value.empty() ? std::span<T>() : gradient_.value.subspan(at, count);
      with_module(part.module, [&] {
        detail::with_kind(*part.kind, [&](auto kind) {
          parts_.emplace_back(std::in_place_type<basic_adapter<kind, T>>, part.d_out, part.d_in, std::move(part.target),
                              options, parameters, gradient);
        });
      });
      at += count;
    }
  }

  std::size_t position_of(std::string_view module) const {
    const auto found = positions_.find(std::string(module));
    if (found == positions_.end()) {
      throw config_error("sbora::model_adapter: it has no part for module '" + std::string(module) + "'");
    }
    return found->second;
  }

  template <adapter_kind Kind, class Self>
  static auto& part(Self& self, std::string_view module) {
    auto& of_any_kind = self.parts_[self.position_of(module)];
    if (auto* const found = std::get_if<basic_adapter<Kind, T>>(&of_any_kind)) return *found;
    const adapter_kind is = std::visit([](const auto& adapter) { return adapter.kind; }, of_any_kind);
    throw config_error("sbora::model_adapter: module '" + std::string(module) + "': it is " + to_string(is) +
                       ", asked for " + to_string(Kind));
  }

  std::optional<adapter_kind> kind_;
  adapter_config config_;
  std::vector<std::string> modules_;
  std::vector<std::optional<std::uint64_t>> fingerprints_;
  std::unordered_map<std::string, std::size_t> positions_;
  detail::aligned_array<T> memory_;
  detail::reset_on_move<std::span<T>> parameters_;
  detail::reset_on_move<std::span<T>> gradient_;
  std::vector<any_adapter> parts_;
  std::vector<full_tensor<T>> full_tensors_;
};

}  // namespace sbora::inline SBORA_ABI
