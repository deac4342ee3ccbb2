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
#include <sbora/core/fnv1a.hpp>
#include <sbora/core/random.hpp>
#include <sbora/model/adapter_config.hpp>
#include <sbora/model/name_lists.hpp>
#include <sbora/model/replaced_values.hpp>

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
  std::span<T> parameters;  ///< keeps its contents: zeros for a new adapter, or what was trained
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
  if (name != head && !name.ends_with(message({".", head}))) return what;
  for (const model_module& module : modules) {
    if (!is_embedding_name(module.name)) continue;
    return what + ", where the head is the embedding '" + module.name + "' (tie_word_embeddings); save the base with " +
           "a copy of that as lm_head.weight and tie_word_embeddings false first";
  }
  return what;
}

/// Or where it has other sizes.
inline std::string unlike_module(const model_module& module, index_t d_out, index_t d_in) {
  return message({"module '", module.name, "' is ", shape_text(module.d_out, module.d_in), ", the adapter is for ",
                  shape_text(d_out, d_in)});
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// One adapter over several modules of a model, each FA or FB, and over tensors and tokens that it replaces, with one
/// flat array of parameters and one of gradients: what is trained, saved and loaded.
///
/// Effect      part i is a basic_adapter for module(i), on its piece of the arrays; pieces follow one another in
///             the order of the parts, without gaps, then those of full_tensors() and of tokens(), both in the order of
///             their names. New parts are zero; what is replaced begins as the values given.
/// Lifetime    owns the arrays, or uses the caller's, which have to outlive it; adapters, tensors, tokens, spans and
///             deltas stay valid after a move, and end with it.
/// Cost        2·parameter_count() numbers.
/// Thread      as basic_adapter.
/// Errors      config_error for nothing to train, a module or a tensor twice, an unknown module, FA asked of FB;
///             shape_error for memory of another size; and those of basic_adapter.
template <class T = float>
class model_adapter : public detail::trained_numbers<T> {
 public:
  /// `config` says use_rslora, lora_dropout and, in its record, the seed of dropout; it is kept for writing. Ranks
  /// and alphas are the parts', and kinds where they say one.
  model_adapter(adapter_kind kind, adapter_config config, std::vector<adapter_part> parts,
                replaced_values<T> replaced = {})
      : model_adapter(kind, std::move(config), std::move(parts), std::move(replaced), nullptr) {}

  /// On memory of the caller's, which keeps its contents: of `replaced`, names and shapes count, and not the values.
  model_adapter(adapter_kind kind, adapter_config config, std::vector<adapter_part> parts, adapter_memory<T> memory,
                replaced_values<T> replaced = {})
      : model_adapter(kind, std::move(config), std::move(parts), std::move(replaced), &memory) {}

  /// FA or FB where all parts are, nothing where there are both. A part's is its static member `kind`.
  std::optional<adapter_kind> kind() const noexcept { return kind_; }
  const adapter_config& config() const& noexcept { return config_; }
  adapter_config config() && noexcept { return std::move(config_); }

  index_t size() const noexcept { return static_cast<index_t>(modules_.size()); }
  const std::vector<std::string>& modules() const& noexcept { return modules_; }
  std::vector<std::string> modules() && noexcept { return std::move(modules_); }
  bool has(std::string_view module) const { return positions_.find(std::string(module)) != positions_.end(); }

  /// All that is in parameters(), as optimisers of matrices take it.
  std::vector<parameter_block> blocks() const {
    std::vector<parameter_block> all;
    index_t offset = 0;
    const auto add = [&](const auto& trained) {
      const auto [block] = trained.blocks();
      if (trained.parameter_count() > 0) all.push_back({offset, block.rows, block.cols});
      offset += trained.parameter_count();
    };
    for_each([&](const std::string&, const auto& adapter) { add(adapter); });
    for (const full_tensor<T>& tensor : full_tensors_) add(tensor);
    for (const table_tokens<T>& of : tokens_) add(of.tokens);
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

  /// What it replaces as a whole in the model, beside its parts: full_tensor_merger puts it there.
  std::span<full_tensor<T>> full_tensors() & noexcept { return full_tensors_; }
  std::span<const full_tensor<T>> full_tensors() const& noexcept { return full_tensors_; }
  std::span<const full_tensor<T>> full_tensors() const&& = delete;  // would dangle: name the adapter
  /// Tokens of its tables, which embeddings and token_merger take.
  std::span<table_tokens<T>> tokens() & noexcept { return tokens_; }
  std::span<const table_tokens<T>> tokens() const& noexcept { return tokens_; }
  std::span<const table_tokens<T>> tokens() const&& = delete;  // would dangle: name the adapter
  /// Those of one. Errors: config_error where it has none of this module.
  basic_trainable_tokens<T>& tokens(std::string_view module) & { return tokens_of(*this, module); }
  const basic_trainable_tokens<T>& tokens(std::string_view module) const& { return tokens_of(*this, module); }
  const basic_trainable_tokens<T>& tokens(std::string_view module) const&& = delete;  // would dangle: name the adapter

  /// Other ones than so far. Parts and their numbers stay, in new memory: spans, and references to what it trains, end.
  /// Errors: config_error, also for an adapter on memory of the caller's, which is made with them; it is as it was.
  void set_replaced(replaced_values<T> replaced) {
    if (!this->owns_memory()) {
      throw config_error("sbora::model_adapter: it is on memory of yours, and takes what it replaces when it is made");
    }
    model_adapter other(config_.kind.value_or(adapter_kind::fa), config_, parts(), std::move(replaced));
    other.take_state(*this);
    const std::size_t of_parts = static_cast<std::size_t>(part_parameters_);
    std::copy_n(this->parameters().begin(), of_parts, other.parameters().begin());
    std::copy_n(this->gradient().begin(), of_parts, other.gradient().begin());
    *this = std::move(other);
  }
  /// The same, and the tokens stay.
  void set_full_tensors(std::vector<full_tensor<T>> tensors) { set_replaced({std::move(tensors), copies(tokens_)}); }

  /// What it takes to make another one with the same parts.
  std::vector<adapter_part> parts() const {
    std::vector<adapter_part> all;
    for_each([&](const std::string& module, const auto& part) {
      all.push_back({module, part.d_out(), part.d_in(), part.target(), part.options().alpha, fingerprints_[all.size()],
                     part.kind});
    });
    return all;
  }
  /// Takes over multipliers, switches and dropout's steps. Requires: an adapter with the same parts.
  void take_state(const model_adapter& other) {
    for_each([&](const std::string& module, auto& part) {
      other.visit(module, [&](const auto& from) {
        part.set_multiplier(from.multiplier());
        part.set_enabled(from.enabled());
        part.set_dropout_step(from.dropout_step());
      });
    });
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

  model_adapter(adapter_kind kind, adapter_config config, std::vector<adapter_part> parts, replaced_values<T> replaced,
                const adapter_memory<T>* memory)
      : config_(std::move(config)) {
    if (parts.empty() && replaced.tensors.empty() && replaced.tokens.empty()) {
      throw config_error("sbora::model_adapter: no modules");
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      adapter_part& part = parts[i];
      part.kind = part.kind.value_or(kind);
      if (!positions_.emplace(part.module, i).second) {
        throw config_error("sbora::model_adapter: module '" + part.module + "' comes twice");
      }
      if (part.d_out < 1 || part.d_in < 1) {
        throw shape_error(detail::message({"sbora::model_adapter: module '", part.module, "' is ",
                                           detail::shape_text(part.d_out, part.d_in), ", both must be at least 1"}));
      }
      const std::optional<index_t> own = detail::size_product({part.target.rank(), geometry(part).lines});
      count(own, part_parameters_, "module '" + part.module + "'");
      modules_.push_back(part.module);
      fingerprints_.push_back(part.base_fingerprint);
    }
    const bool mixed =
        std::any_of(parts.begin(), parts.end(), [&](const adapter_part& part) { return part.kind != parts[0].kind; });
    kind_ = mixed ? std::nullopt : parts.empty() ? kind : parts[0].kind;
    if (kind_ || !config_.kind) config_.kind = kind_.value_or(kind);
    detail::check_names(replaced, [&](std::string_view module) { return has(module); });
    detail::sort_by_name(replaced);
    index_t all = part_parameters_;
    for (const full_tensor<T>& tensor : replaced.tensors) {
      count(tensor.parameter_count(), all, "full tensor '" + tensor.name() + "'");
    }
    for (const table_tokens<T>& of : replaced.tokens) {
      count(of.tokens.parameter_count(), all, "tokens of '" + of.module + "'");
    }
    if (memory == nullptr) this->own(all);
    else this->use("sbora::model_adapter", all, memory->parameters, memory->gradient);
    make_parts(std::move(parts));
    take_replaced(std::move(replaced), memory == nullptr);
  }

  static detail::region_geometry geometry(const adapter_part& part) {
    return {*part.kind, part.d_out, part.d_in, part.target.rank()};
  }

  /// all += own, where parameters and gradients can be counted in bytes.
  static void count(std::optional<index_t> own, index_t& all, const std::string& what) {
    if (own && !__builtin_add_overflow(all, *own, &all) && detail::size_product({2 * sizeof(T), all})) return;
    throw shape_error("sbora::model_adapter: up to " + what + " there are more parameters than can be counted");
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
    index_t at = 0;
    for (adapter_part& part : parts) {
      const adapter_options options = {.alpha = part.alpha,
                                       .rslora = config_.use_rslora,
                                       .dropout = config_.lora_dropout,
                                       .dropout_seed = module_seed(seed, part.module, 1)};
      const adapter_memory<T> piece = next_piece(at, part.target.rank() * geometry(part).lines);
      with_module(part.module, [&] {
        detail::with_kind(*part.kind, [&](auto kind) {
          parts_.emplace_back(std::in_place_type<basic_adapter<kind, T>>, part.d_out, part.d_in, std::move(part.target),
                              options, piece.parameters, piece.gradient);
        });
      });
    }
  }

  /// Their values are copied into memory of its own.
  void take_replaced(replaced_values<T> replaced, bool own) {
    index_t at = part_parameters_;
    const auto next_of = [&](const auto& given) {
      const adapter_memory<T> piece = next_piece(at, given.parameter_count());
      if (own) std::copy(given.parameters().begin(), given.parameters().end(), piece.parameters.begin());
      return piece;
    };
    full_tensors_.reserve(replaced.tensors.size());
    for (const full_tensor<T>& given : replaced.tensors) {
      const auto [parameters, gradient] = next_of(given);
      full_tensors_.emplace_back(given.name(), given.shape(), parameters, gradient);
    }
    tokens_.reserve(replaced.tokens.size());
    for (table_tokens<T>& given : replaced.tokens) {
      const basic_trainable_tokens<T>& of = given.tokens;
      const auto [parameters, gradient] = next_of(of);
      tokens_.push_back({std::move(given.module), {of.vocabulary(), of.features(), of.target(), parameters, gradient}});
    }
  }

  /// The `count` numbers from `at` on, which becomes where the next begin.
  adapter_memory<T> next_piece(index_t& at, index_t count) {
    const auto from = static_cast<std::size_t>(std::exchange(at, at + count)), size = static_cast<std::size_t>(count);
    const std::span<T> gradient = this->gradient();
    return {this->parameters().subspan(from, size), gradient.empty() ? gradient : gradient.subspan(from, size)};
  }

  static std::vector<table_tokens<T>> copies(std::span<table_tokens<T>> from) {
    std::vector<table_tokens<T>> all;
    for (table_tokens<T>& of : from) {
      basic_trainable_tokens<T>& t = of.tokens;
      all.push_back({of.module, {t.vocabulary(), t.features(), t.target(), t.parameters(), t.gradient()}});
    }
    return all;
  }

  std::size_t position_of(std::string_view module) const {
    const auto found = positions_.find(std::string(module));
    if (found == positions_.end()) {
      throw config_error(detail::message({"sbora::model_adapter: it has no part for module '", module, "'"}));
    }
    return found->second;
  }

  template <class Self>
  static auto& tokens_of(Self& self, std::string_view module) {
    for (auto& of : self.tokens_) {
      if (of.module == module) return of.tokens;
    }
    throw config_error(detail::message({"sbora::model_adapter: it has no tokens of module '", module, "'"}));
  }

  template <adapter_kind Kind, class Self>
  static auto& part(Self& self, std::string_view module) {
    auto& of_any_kind = self.parts_[self.position_of(module)];
    if (auto* const found = std::get_if<basic_adapter<Kind, T>>(&of_any_kind)) return *found;
    const adapter_kind is = std::visit([](const auto& adapter) { return adapter.kind; }, of_any_kind);
    throw config_error(detail::message(
        {"sbora::model_adapter: module '", module, "': it is ", to_string(is), ", asked for ", to_string(Kind)}));
  }

  std::optional<adapter_kind> kind_;
  adapter_config config_;
  std::vector<std::string> modules_;
  std::vector<std::optional<std::uint64_t>> fingerprints_;
  std::unordered_map<std::string, std::size_t> positions_;
  index_t part_parameters_ = 0;  // of all parts
  std::vector<any_adapter> parts_;
  std::vector<full_tensor<T>> full_tensors_;
  std::vector<table_tokens<T>> tokens_;
};

}  // namespace sbora::inline SBORA_ABI
