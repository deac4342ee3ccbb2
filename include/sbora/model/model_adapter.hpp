#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include <sbora/adapters/adapter.hpp>
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

/// One adapter over several modules of a model, FA for all or FB for all, with one flat array of parameters and
/// one of gradients: what is trained, saved and loaded.
///
/// Effect      part i is a basic_adapter for module(i), on its piece of the arrays; pieces follow one another in
///             the order of the parts, without gaps. New ones are zero.
/// Lifetime    owns the arrays; adapters, spans and deltas stay valid after a move, and end with it.
/// Cost        2·parameter_count() numbers.
/// Thread      as basic_adapter.
/// Errors      config_error for no parts, a module twice, an unknown module, FA asked of FB; and those of
///             basic_adapter.
template <class T = float>
class model_adapter {
 public:
  /// `config` says use_rslora, lora_dropout and, in its record, the seed of dropout; it is kept for writing. Ranks
  /// and alphas are the parts'.
  model_adapter(adapter_kind kind, adapter_config config, std::vector<adapter_part> parts)
      : kind_(kind), config_(std::move(config)) {
    if (parts.empty()) throw config_error("sbora::model_adapter: no modules");
    config_.kind = kind;
    index_t bytes = 0;  // of parameters and gradients
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const adapter_part& part = parts[i];
      if (!positions_.emplace(part.module, i).second) {
        throw config_error("sbora::model_adapter: module '" + part.module + "' comes twice");
      }
      if (part.d_out < 1 || part.d_in < 1) {
        throw shape_error("sbora::model_adapter: module '" + part.module + "' is " +
                          detail::shape_text(part.d_out, part.d_in) + ", both must be at least 1");
      }
      const std::optional<index_t> own =
          detail::size_product({2 * sizeof(T), part.target.rank(), kind == adapter_kind::fa ? part.d_out : part.d_in});
      if (!own || __builtin_add_overflow(bytes, *own, &bytes)) {
        throw shape_error("sbora::model_adapter: up to module '" + part.module +
                          "' there are more parameters than can be counted");
      }
      modules_.push_back(part.module);
      fingerprints_.push_back(part.base_fingerprint);
    }
    const auto count = bytes / static_cast<index_t>(2 * sizeof(T));
    memory_ = detail::make_aligned_array<T>(2 * count);
    std::fill_n(memory_.get(), 2 * count, T{0});
    parameters_.value = {memory_.get(), static_cast<std::size_t>(count)};
    gradient_.value = {memory_.get() + count, static_cast<std::size_t>(count)};
    kind == adapter_kind::fa ? make_parts<adapter_kind::fa>(std::move(parts))
                             : make_parts<adapter_kind::fb>(std::move(parts));
  }

  adapter_kind kind() const noexcept { return kind_; }
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
    std::visit(
        [&](auto& adapters) {
          for (std::size_t i = 0; i < adapters.size(); ++i) f(modules_[i], adapters[i]);
        },
        adapters_);
  }
  template <class Function>
  void for_each(Function&& f) const {
    std::visit(
        [&](const auto& adapters) {
          for (std::size_t i = 0; i < adapters.size(); ++i) f(modules_[i], adapters[i]);
        },
        adapters_);
  }

  /// f(adapter) of one module.
  template <class Function>
  decltype(auto) visit(std::string_view module, Function&& f) const {
    const std::size_t position = position_of(module);
    return std::visit([&](const auto& adapters) -> decltype(auto) { return f(adapters[position]); }, adapters_);
  }

  weight_delta<T> delta(std::string_view module) const& {
    return visit(module, [](const auto& adapter) { return adapter.delta(); });
  }
  weight_delta<T> delta(std::string_view module) const&& = delete;  // would dangle: name the adapter

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

  template <adapter_kind Kind>
  void make_parts(std::vector<adapter_part> parts) {
    const std::uint64_t seed = config_.sbora && config_.sbora->seed ? *config_.sbora->seed : 0;
    std::vector<basic_adapter<Kind, T>> made;
    made.reserve(parts.size());
    std::size_t at = 0;
    for (adapter_part& part : parts) {
      const index_t length = Kind == adapter_kind::fa ? part.d_out : part.d_in;
      const auto count = static_cast<std::size_t>(part.target.rank() * length);
      const adapter_options options = {.alpha = part.alpha,
                                       .rslora = config_.use_rslora,
                                       .dropout = config_.lora_dropout,
                                       .dropout_seed = module_seed(seed, part.module, 1)};
      with_module(part.module, [&] {
        made.emplace_back(part.d_out, part.d_in, std::move(part.target), options, parameters_.value.subspan(at, count),
                          gradient_.value.subspan(at, count));
      });
      at += count;
    }
    adapters_ = std::move(made);
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
    if (self.kind_ != Kind) {
      throw config_error(std::string("sbora::model_adapter: it is ") + to_string(self.kind_) + ", asked for " +
                         to_string(Kind));
    }
    return std::get<std::vector<basic_adapter<Kind, T>>>(self.adapters_)[self.position_of(module)];
  }

  adapter_kind kind_;
  adapter_config config_;
  std::vector<std::string> modules_;
  std::vector<std::optional<std::uint64_t>> fingerprints_;
  std::unordered_map<std::string, std::size_t> positions_;
  detail::aligned_array<T> memory_;
  detail::reset_on_move<std::span<T>> parameters_;
  detail::reset_on_move<std::span<T>> gradient_;
  std::variant<std::vector<fa_adapter<T>>, std::vector<fb_adapter<T>>> adapters_;
};

}  // namespace sbora::inline SBORA_ABI
