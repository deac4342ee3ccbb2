#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

#include <sbora/core/read_sections.hpp>
#include <sbora/model/stored_adapter.hpp>

namespace sbora::inline SBORA_ABI {

/// No adapter of that name, or none of that version, is in a store.
class unknown_adapter_error : public config_error {
 public:
  using config_error::config_error;
};

/// A store's budget has no room for an adapter, even without those that may go.
class store_full_error : public error {
 public:
  using error::error;
};

/// Makes an adapter that a store knows, from its files or from anything else: as often as it is asked for and isn't in
/// memory. A function that returns a model_adapter is one, too; load_frozen_adapter's leaves the numbers in their file.
template <class T = float>
using adapter_source = std::function<frozen_adapter<T>()>;

struct store_statistics {
  std::uint64_t hits = 0;       ///< calls of get and find that had it at once
  std::uint64_t misses = 0;     ///< those that hadn't
  std::uint64_t loads = 0;      ///< calls of sources that succeeded
  std::uint64_t evictions = 0;  ///< adapters put out for the budget
  index_t known = 0;            ///< adapters, each version counted
  index_t resident = 0;         ///< of them in memory
  index_t bytes = 0;            ///< of what is in memory
  index_t held_bytes = 0;       ///< of what was put out or dropped, or comes in just now, and is held somewhere
  index_t budget = 0;
};

/// Adapters over one base for serving, by name and version, as many in memory as a budget of bytes has room for.
///
/// Effect      A name's greatest version is what get(name) gives. An adapter that was added with a source is loaded
///             where it is asked for and isn't in memory. When room is needed, those go whose last use is longest ago,
///             and come again when they are asked for. Those stay that are pinned, have no source, or are held, as
///             putting these out frees nothing. bytes + held_bytes are within the budget, but for one adapter a thread
///             that loads: it is made before others go.
/// Lifetime    a handle keeps its adapter, whatever is evicted, replaced or dropped, also after the store.
/// Cost        of get and find of what is in memory: a binary search among the names and eight atomic operations; of
///             add and drop: a pointer for each known adapter is copied. What comes as a model_adapter is copied, for
///             it is kept without gradients.
/// Thread      all members may be called at once. get of what is in memory, find, and everything that is done with a
///             handle take no lock and never wait: see read_sections. Changes take turns; sources run beside them, one
///             call for each adapter, and may use the store, but for the adapter that they make.
/// Errors      unknown_adapter_error; config_error for what is empty, taken or not made for the model, store_full_error
///             (remedy: a greater budget, fewer pins or handles), what a source throws: the store is as it was.
template <class T = float>
class adapter_store {
 public:
  /// Errors: those of adapter_set for the modules; config_error for a negative budget.
  adapter_store(std::vector<model_module> modules, index_t budget_bytes)
      : modules_(who, std::move(modules)), budget_(checked_budget(budget_bytes)) {}
  adapter_store(const adapter_store&) = delete;
  adapter_store& operator=(const adapter_store&) = delete;
  ~adapter_store() { delete table_.load(); }

  const std::vector<model_module>& modules() const& noexcept { return modules_.modules(); }
  std::vector<model_module> modules() && noexcept { return std::move(modules_).modules(); }

  /// One that is loaded when it is first asked for. Replaces none: a greater version is what its name means from now
  /// on, and the others stay until they are dropped. Errors: config_error where this version is there already.
  void add(const std::string& name, std::uint64_t version, adapter_source<T> source) {
    if (!source) throw config_error(who + "adapter '" + name + "' has an empty source");
    const std::lock_guard<std::mutex> lock(changes_);
    insert(std::make_shared<entry>(name, version, std::move(source)));
  }

  /// One that is in memory, and stays until it is dropped. Errors: checkpoint_error where it isn't for these modules.
  void add(const std::string& name, std::uint64_t version, const frozen_adapter<T>& adapter) {
    modules_.check(name, *adapter);
    adapter_handle<T> made = make(name, version, adapter);
    const std::lock_guard<std::mutex> lock(changes_);
    auto added = std::make_shared<entry>(name, version, nullptr);
    check_new(*added);
    make_room(*made);
    show(*added, std::move(made));
    insert(std::move(added));
  }

  /// Forgets an adapter, or all versions of a name. Handles keep theirs.
  void drop(std::string_view name, std::uint64_t version) { drop_those(name, &version); }
  void drop(std::string_view name) { drop_those(name, nullptr); }

  /// The greatest version, or this one; loaded first where it isn't in memory.
  adapter_handle<T> get(std::string_view name) { return get_or_load(name, nullptr); }
  adapter_handle<T> get(std::string_view name, std::uint64_t version) { return get_or_load(name, &version); }

  /// The same where it is in memory, otherwise null: for callers that mustn't wait.
  adapter_handle<T> find(std::string_view name) const { return find_resident(name, nullptr); }
  adapter_handle<T> find(std::string_view name, std::uint64_t version) const { return find_resident(name, &version); }

  /// Loads what isn't in memory, and keeps it there until it is unpinned or dropped. Without a version: of what is the
  /// greatest now.
  adapter_handle<T> pin(std::string_view name) { return pin(get(name)); }
  adapter_handle<T> pin(std::string_view name, std::uint64_t version) { return pin(get(name, version)); }
  void unpin(std::string_view name, std::uint64_t version) {
    const std::lock_guard<std::mutex> lock(changes_);
    require(name, &version)->pinned = false;
  }

  store_statistics statistics() const {
    const std::lock_guard<std::mutex> lock(changes_);
    store_statistics now = counts_;
    now.hits = uses_.load() - shown_;
    now.misses = misses_.load();
    now.known = static_cast<index_t>(entries_.size());
    for (const auto& e : entries_) {
      if (!e->resident) continue;
      ++now.resident;
      now.bytes += (*e->resident)->bytes();
    }
    now.held_bytes = living_->load() - now.bytes;
    now.budget = budget_;
    return now;
  }

 private:
  static inline const std::string who = "sbora::adapter_store: ";

  static index_t checked_budget(index_t bytes) {
    if (bytes < 0) throw config_error(detail::message({who, "a budget of ", bytes, " bytes; give 0 or more"}));
    return bytes;
  }

  struct entry {
    entry(std::string name_, std::uint64_t version_, adapter_source<T> source_)
        : name(std::move(name_)), version(version_), source(std::move(source_)) {}

    const std::string name;
    const std::uint64_t version;
    const adapter_source<T> source;                        // empty: it is in memory for good
    std::atomic<const adapter_handle<T>*> shown{nullptr};  // to readers; null: not in memory
    std::atomic<std::uint64_t> last_use{0};
    // The rest is for who has the lock.
    std::unique_ptr<const adapter_handle<T>> resident = {};  // what `shown` points to
    bool pinned = false;
    bool loading = false;
    bool dropped = false;
  };
  using table = std::vector<entry*>;  // ascending by name and version

  /// Whether an entry comes before all of this name, or before this version of it.
  static bool is_before(const entry& e, std::string_view name, std::uint64_t version) {
    const int order = std::string_view(e.name).compare(name);
    return order < 0 || (order == 0 && e.version < version);
  }
  /// The place of a version, or of the first one.
  template <class Entries>
  static auto first_of(Entries& entries, std::string_view name, std::uint64_t version = 0) {
    return std::partition_point(entries.begin(), entries.end(),
                                [&](const auto& e) { return is_before(*e, name, version); });
  }
  template <class Entries>
  static auto end_of(Entries& entries, std::string_view name) {
    return std::partition_point(entries.begin(), entries.end(),
                                [&](const auto& e) { return std::string_view(e->name) <= name; });
  }
  /// A version of a name, or its greatest; end() where it isn't there.
  template <class Entries>
  static auto position(Entries& entries, std::string_view name, const std::uint64_t* version) {
    auto at = version ? first_of(entries, name, *version) : end_of(entries, name);
    if (!version) return at == entries.begin() || (*std::prev(at))->name != name ? entries.end() : std::prev(at);
    return at == entries.end() || (*at)->name != name || (*at)->version != *version ? entries.end() : at;
  }

  // ---- without a lock

  adapter_handle<T> find_resident(std::string_view name, const std::uint64_t* version) const {
    const detail::read_sections::section reading(readers_);
    const table& entries = *table_.load();
    const auto at = position(entries, name, version);
    if (at == entries.end()) throw_unknown(entries, name, version);
    entry& e = **at;
    const adapter_handle<T>* const shown = e.shown.load();
    if (shown == nullptr) {
      misses_.fetch_add(1, std::memory_order_relaxed);
      return nullptr;
    }
    e.last_use.store(uses_.fetch_add(1, std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return *shown;
  }

  template <class Entries>
  [[noreturn]] SBORA_COLD static void throw_unknown(const Entries& entries, std::string_view name,
                                                    const std::uint64_t* version) {
    const std::string quoted = detail::message({"'", name, "'"});
    const auto first = first_of(entries, name), end = end_of(entries, name);
    std::string has;
    for (auto at = first; at != end; ++at) has += detail::message({has.empty() ? "" : ", ", (*at)->version});
    if (version != nullptr && !has.empty()) {
      throw unknown_adapter_error(
          detail::message({who, "adapter ", quoted, " has no version ", *version, ", only ", has, "; add it"}));
    }
    throw unknown_adapter_error(detail::message({who, "no adapter ", quoted, " among ", entries.size(), "; add it"}));
  }

  // ---- for who has the lock

  adapter_handle<T> make(const std::string& name, std::uint64_t version, const frozen_adapter<T>& adapter) const {
    return std::make_shared<const stored_adapter<T>>(name, version, adapter, modules_, living_);
  }

  const std::shared_ptr<entry>& require(std::string_view name, const std::uint64_t* version) const {
    const auto at = position(entries_, name, version);
    if (at == entries_.end()) throw_unknown(entries_, name, version);
    return *at;
  }

  void check_new(const entry& e) const {
    if (e.name.empty()) throw config_error(who + "an adapter's name is empty");
    if (position(entries_, e.name, &e.version) == entries_.end()) return;
    throw config_error(detail::message({who, "adapter '", e.name, "' has a version ", e.version,
                                        " already; give another version, or drop that first"}));
  }

  void insert(std::shared_ptr<entry> added) {
    check_new(*added);
    entries_.reserve(entries_.size() + 1);
    const auto at = first_of(entries_, added->name, added->version) - entries_.begin();
    auto next = std::make_unique<table>(*table_.load());
    next->insert(next->begin() + at, added.get());
    entries_.insert(entries_.begin() + at, std::move(added));
    publish(std::move(next));
  }

  /// Readers see this table from now on, and nobody another one when it returns.
  void publish(std::unique_ptr<table> next) noexcept {
    const std::unique_ptr<const table> old(table_.exchange(next.release()));
    readers_.wait_for_readers();
  }

  void drop_those(std::string_view name, const std::uint64_t* version) {
    std::vector<std::shared_ptr<entry>> dropped;  // freed after the lock
    const std::lock_guard<std::mutex> lock(changes_);
    require(name, version);
    const auto first = version ? first_of(entries_, name, *version) : first_of(entries_, name);
    const auto end = version ? std::next(first) : end_of(entries_, name);
    auto next = std::make_unique<table>(*table_.load());
    next->erase(next->begin() + (first - entries_.begin()), next->begin() + (end - entries_.begin()));
    dropped.assign(first, end);
    entries_.erase(first, end);
    publish(std::move(next));
    for (const auto& e : dropped) e->dropped = true;
  }

  void show(entry& e, adapter_handle<T> made) {
    e.resident = std::make_unique<const adapter_handle<T>>(std::move(made));
    ++shown_;
    e.last_use.store(uses_.fetch_add(1) + 1);
    e.shown.store(e.resident.get());
  }

  /// Puts out adapters until all bytes that there are, those of `coming` among them, are within the budget.
  void make_room(const stored_adapter<T>& coming) {
    std::vector<std::pair<std::uint64_t, entry*>> may_go;  // by their last use, which readers may change meanwhile
    for (index_t over = living_->load() - budget_; over > 0; over = living_->load() - budget_) {
      may_go.clear();
      for (const auto& e : entries_) {
        const bool stays = !e->resident || !e->source || e->pinned || e->resident->use_count() > 1;
        if (!stays) may_go.emplace_back(e->last_use.load(), e.get());
      }
      std::sort(may_go.begin(), may_go.end());
      std::vector<entry*> going;
      for (std::size_t i = 0; i < may_go.size() && over > 0; ++i) {
        going.push_back(may_go[i].second);
        over -= (*going.back()->resident)->bytes();
      }
      if (over > 0) {
        throw store_full_error(detail::message(
            {who, "adapter '", coming.name(), "' of ", coming.bytes(), " bytes: the budget of ", budget_, " is ", over,
             " too few, whatever else is put out; give a greater one, or pin and hold less"}));
      }
      put_out(going);
    }
  }

  void put_out(const std::vector<entry*>& going) noexcept {
    for (entry* e : going) e->shown.store(nullptr);
    readers_.wait_for_readers();
    for (entry* e : going) {
      if (e->resident->use_count() > 1) {  // somebody took it a moment ago: nothing would be freed
        e->shown.store(e->resident.get());
        continue;
      }
      e->resident.reset();
      ++counts_.evictions;
    }
  }

  // ---- loading

  adapter_handle<T> get_or_load(std::string_view name, const std::uint64_t* version) {
    if (adapter_handle<T> found = find_resident(name, version)) return found;
    std::unique_lock<std::mutex> lock(changes_);
    std::shared_ptr<entry> e = require(name, version);
    while (e->loading) {
      loaded_.wait(lock);
      e = require(name, version);
    }
    if (e->resident) {  // another thread's load, or an eviction that was taken back
      e->last_use.store(uses_.load());
      return *e->resident;
    }
    return load(*e, lock);
  }

  adapter_handle<T> load(entry& e, std::unique_lock<std::mutex>& lock) {
    e.loading = true;
    const auto finish = [&] {
      e.loading = false;
      loaded_.notify_all();
    };
    lock.unlock();
    try {
      const frozen_adapter<T> adapter = e.source();
      modules_.check(e.name, *adapter);
      adapter_handle<T> made = make(e.name, e.version, adapter);
      lock.lock();
      if (!e.dropped) {  // who asked before that gets it none the less
        make_room(*made);
        show(e, made);
      }
      ++counts_.loads;
      finish();
      return made;
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      finish();
      throw;
    }
  }

  /// While it is held, it isn't put out.
  adapter_handle<T> pin(adapter_handle<T> held) {
    const std::lock_guard<std::mutex> lock(changes_);
    const std::uint64_t version = held->version();
    require(held->name(), &version)->pinned = true;
    return held;
  }

  const detail::module_list modules_;
  const index_t budget_;
  const std::shared_ptr<std::atomic<index_t>> living_ = std::make_shared<std::atomic<index_t>>(0);
  std::atomic<const table*> table_{new table};  // last of what may throw: a constructor that did would leave it behind
  mutable detail::read_sections readers_;
  mutable std::atomic<std::uint64_t> uses_{0};  // hits and shows: what the order of last uses is told by
  mutable std::atomic<std::uint64_t> misses_{0};
  mutable std::mutex changes_;
  std::condition_variable loaded_;
  std::vector<std::shared_ptr<entry>> entries_;  // as the table
  std::uint64_t shown_ = 0;
  store_statistics counts_;
};

}  // namespace sbora::inline SBORA_ABI
