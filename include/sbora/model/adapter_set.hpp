#pragma once

#include <memory>

#include <sbora/model/make_adapter.hpp>
#include <sbora/model/module_list.hpp>

namespace sbora::inline SBORA_ABI {

/// An adapter of a set, as adapter_set::status() tells it.
struct adapter_status {
  std::string name;
  std::optional<adapter_kind> kind;  ///< nothing: FA and FB
  bool active;                       ///< chosen by set_active
  bool enabled;                      ///< active, and the set isn't disabled: takes part in forward and backward
  index_t modules;
  index_t parameters;  ///< trainable

  bool operator==(const adapter_status&) const = default;
};

/// Named adapters over one model's linear layers.
///
/// Effect      The first adapter added is active; set_active chooses others, several at once too. set_enabled(false)
///             puts all out of action and leaves the choice. Adapters outside the choice are disabled, so layers skip
///             them.
/// Lifetime    references to an adapter stay valid until it is removed; the set may move.
/// Thread      one changing call at a time, and none while a layer uses an adapter of the set.
/// Errors      config_error that names what is unknown, taken or empty; nothing is changed then.
template <class T = float>
class adapter_set {
 public:
  /// Errors: config_error for a name that comes twice or is empty, shape_error for sizes below 1.
  explicit adapter_set(std::vector<model_module> modules) : modules_(who, std::move(modules)) {}

  const std::vector<model_module>& modules() const& noexcept { return modules_.modules(); }
  std::vector<model_module> modules() && noexcept { return std::move(modules_).modules(); }

  /// A new adapter, as make_adapter.
  template <class Choose = region_choice>
  model_adapter<T>& add(const std::string& name, adapter_config config, std::uint64_t seed,
                        const Choose& choose = uniform_region) & {
    check_free(name);
    return insert(name, make_adapter<T>(std::move(config), modules(), seed, choose));
  }

  /// One that was made or loaded. Errors: checkpoint_error with every module that the model lacks or has in another
  /// shape.
  model_adapter<T>& add(const std::string& name, model_adapter<T> adapter) & {
    check_free(name);
    modules_.check(name, adapter);
    return insert(name, std::move(adapter));
  }

  /// Frees an adapter. If it was the only active one, none is afterwards.
  void remove(const std::string& name) {
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(require(name)));
  }

  void rename(const std::string& from, const std::string& to) {
    const std::size_t found = require(from);
    if (from == to) return;
    check_free(to);
    entries_[found].name = to;
  }

  index_t size() const noexcept { return static_cast<index_t>(entries_.size()); }
  bool has(const std::string& name) const noexcept { return position(name) < entries_.size(); }
  model_adapter<T>& at(const std::string& name) & { return *entries_[require(name)].adapter; }
  const model_adapter<T>& at(const std::string& name) const& { return *entries_[require(name)].adapter; }
  const model_adapter<T>& at(const std::string& name) const&& = delete;  // would dangle: name the set

  /// These are active, all others aren't. Empty: none.
  void set_active(std::span<const std::string> names) {
    for (const std::string& name : names) require(name);
    for (entry& e : entries_) e.active = std::find(names.begin(), names.end(), e.name) != names.end();
    apply();
  }
  void set_active(const std::string& name) { set_active(std::span(&name, 1)); }

  /// Whether active adapters take part in anything.
  bool enabled() const noexcept { return enabled_; }
  void set_enabled(bool enabled) noexcept {
    enabled_ = enabled;
    apply();
  }

  /// In the order in which they were added.
  std::vector<adapter_status> status() const {
    std::vector<adapter_status> list;
    for (const entry& e : entries_) {
      list.push_back(
          {e.name, e.adapter->kind(), e.active, e.active && enabled_, e.adapter->size(), e.adapter->parameter_count()});
    }
    return list;
  }

  /// Trainable parameters of all adapters.
  index_t parameter_count() const noexcept {
    index_t count = 0;
    for (const entry& e : entries_) count += e.adapter->parameter_count();
    return count;
  }

  /// What a layer of this module computes with: the deltas of all enabled adapters that have it, in the order of
  /// status(). Errors: config_error where the model has no such module.
  delta_list<T> deltas(std::string_view module) const& {
    if (!modules_.position(module)) {
      throw config_error(detail::message({who, "the model has no module '", module, "'"}));
    }
    delta_list<T> list;
    for (const entry& e : entries_) {
      if (enabled_ && e.active && e.adapter->has(module)) list.push_back(e.adapter->delta(module));
    }
    return list;
  }
  delta_list<T> deltas(std::string_view module) const&& = delete;  // would dangle: name the set

 private:
  static inline const std::string who = "sbora::adapter_set: ";

  struct entry {
    std::string name;
    std::unique_ptr<model_adapter<T>> adapter;
    bool active;
  };

  std::size_t position(const std::string& name) const noexcept {
    std::size_t i = 0;
    while (i < entries_.size() && entries_[i].name != name) ++i;
    return i;
  }

  std::size_t require(const std::string& name) const {
    const std::size_t i = position(name);
    if (i < entries_.size()) return i;
    std::string names;
    for (const entry& e : entries_) names += (names.empty() ? "'" : ", '") + e.name + "'";
    throw config_error(who + "no adapter '" + name + "'; there " +
                       (names.empty()          ? "are none"
                        : entries_.size() == 1 ? "is " + names
                                               : "are " + names));
  }

  void check_free(const std::string& name) const {
    if (name.empty()) throw config_error(who + "an adapter's name is empty");
    if (has(name)) throw config_error(who + "there is an adapter '" + name + "' already");
  }

  model_adapter<T>& insert(const std::string& name, model_adapter<T> adapter) {
    entries_.push_back({name, std::make_unique<model_adapter<T>>(std::move(adapter)), entries_.empty()});
    apply();
    return *entries_.back().adapter;
  }

  void apply() noexcept {
    for (entry& e : entries_) e.adapter->set_enabled(e.active && enabled_);
  }

  detail::module_list modules_;
  std::vector<entry> entries_;
  bool enabled_ = true;
};

/// Disables all adapters of a set for a scope: the base model alone.
///
/// Lifetime    the set has to outlive it and stay where it is.
template <class T>
class [[nodiscard]] scoped_base_model {
 public:
  explicit scoped_base_model(adapter_set<T>& set) : set_(&set), enabled_(set.enabled()) { set.set_enabled(false); }
  scoped_base_model(const scoped_base_model&) = delete;
  scoped_base_model& operator=(const scoped_base_model&) = delete;
  ~scoped_base_model() { set_->set_enabled(enabled_); }

 private:
  adapter_set<T>* set_;
  bool enabled_;
};

template <class T>
scoped_base_model(adapter_set<T>&) -> scoped_base_model<T>;

}  // namespace sbora::inline SBORA_ABI
