#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <sbora/core/errors.hpp>

namespace sbora::inline SBORA_ABI {

/// The token without an adapter.
inline constexpr index_t no_adapter = -1;

/// The tokens of a batch, by the adapters that they use: sorted once, and used by every layer of the model.
///
/// Effect      Token t uses adapter ids[t]; or, with offsets, ids[offsets[t]], …, ids[offsets[t + 1] − 1] in this
///             order. An id is a place in the list of adapters that a call is given (layers/mixed.hpp), or no_adapter.
///             The same id may come twice.
/// Cost        assign(): O(tokens + ids + adapters), a counting sort. Its arrays are kept for the next batch, so it
///             doesn't allocate after warm-up.
/// Thread      a value: calls only read it.
/// Errors      config_error for an id outside [0, adapters) and for offsets that don't add up; nothing is changed then.
/// Source      batches of many adapters: S-LoRA, arXiv 2311.03285; Punica, arXiv 2310.18547.
class adapter_rows {
 public:
  /// Tokens of one adapter, one after the other where `is_run`.
  struct group {
    index_t adapter;
    index_t first;  ///< of its tokens in rows()
    index_t count;
    bool is_run;
  };

  adapter_rows() = default;
  adapter_rows(std::span<const index_t> ids, index_t adapters) { assign(ids, adapters); }
  adapter_rows(std::span<const index_t> ids, std::span<const index_t> offsets, index_t adapters) {
    assign(ids, offsets, adapters);
  }

  /// One adapter for each token, or none.
  void assign(std::span<const index_t> ids, index_t adapters) {
    check_ids(ids, adapters);
    start(static_cast<index_t>(ids.size()), ids.size(), adapters);
    add_stage([&](index_t token) { return ids[static_cast<std::size_t>(token)]; });
  }

  /// A list of adapters for each token; offsets are tokens + 1 numbers, ascending from 0 to ids.size().
  void assign(std::span<const index_t> ids, std::span<const index_t> offsets, index_t adapters) {
    check_ids(ids, adapters);
    const index_t longest = check_offsets(ids, offsets);
    const auto count = static_cast<index_t>(offsets.size()) - 1;
    start(count, ids.size(), adapters);
    for (index_t stage = 0; stage < longest; ++stage) {
      add_stage([&](index_t token) {
        const index_t at = offsets[static_cast<std::size_t>(token)] + stage;
        return at < offsets[static_cast<std::size_t>(token) + 1] ? ids[static_cast<std::size_t>(at)] : no_adapter;
      });
    }
  }

  index_t tokens() const noexcept { return tokens_; }
  /// The number of adapters that ids are places in.
  index_t adapters() const noexcept { return adapters_; }

  /// For every place in the tokens' lists, those of one adapter together. Within a stage no token and no adapter comes
  /// twice; stage i is groups()[stage_begin(i)] to groups()[stage_begin(i + 1)].
  std::span<const group> groups() const& noexcept { return groups_; }
  std::span<const group> groups() const&& = delete;  // would dangle: name the rows
  index_t stages() const noexcept { return static_cast<index_t>(stages_.size()); }
  std::span<const group> stage(index_t number) const& noexcept {
    const auto at = static_cast<std::size_t>(number);
    const std::size_t end = at + 1 < stages_.size() ? stages_[at + 1] : groups_.size();
    return groups().subspan(stages_[at], end - stages_[at]);
  }
  std::span<const group> stage(index_t number) const&& = delete;  // would dangle: name the rows
  /// Tokens as the groups have them, ascending in each.
  std::span<const index_t> rows() const& noexcept { return rows_; }
  std::span<const index_t> rows() const&& = delete;  // would dangle: name the rows

 private:
  static constexpr const char* name = "sbora::adapter_rows: ";

  static void check_ids(std::span<const index_t> ids, index_t adapters) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == no_adapter || (ids[i] >= 0 && ids[i] < adapters)) continue;
      throw config_error(detail::message({name, "id ", ids[i], " at position ", i, " is outside [0, ", adapters,
                                          ") and isn't no_adapter; ids are places in the list of adapters"}));
    }
  }

  static index_t check_offsets(std::span<const index_t> ids, std::span<const index_t> offsets) {
    const auto size = static_cast<index_t>(ids.size());
    if (offsets.empty() || offsets.front() != 0 || offsets.back() != size) {
      const detail::message_part nothing = "nothing";
      throw config_error(detail::message({name, "offsets go from ", offsets.empty() ? nothing : offsets.front(), " to ",
                                          offsets.empty() ? nothing : offsets.back(),
                                          ", expected tokens + 1 numbers from 0 to ", size, ", the number of ids"}));
    }
    index_t longest = 0;
    for (std::size_t token = 0; token + 1 < offsets.size(); ++token) {
      const index_t length = offsets[token + 1] - offsets[token];
      if (length < 0) {
        throw config_error(detail::message(
            {name, "offsets fall from ", offsets[token], " to ", offsets[token + 1], " at token ", token}));
      }
      longest = std::max(longest, length);
    }
    return longest;
  }

  void start(index_t tokens, std::size_t ids, index_t adapters) {
    rows_.reserve(ids);
    next_.resize(static_cast<std::size_t>(adapters));
    groups_.clear();
    rows_.clear();
    stages_.clear();
    tokens_ = tokens;
    adapters_ = adapters;
  }

  /// id_of(token): its adapter at this place of the lists.
  template <class IdOf>
  void add_stage(const IdOf& id_of) {
    stages_.push_back(groups_.size());
    std::fill(next_.begin(), next_.end(), 0);
    for (index_t token = 0; token < tokens_; ++token) {
      if (const index_t id = id_of(token); id != no_adapter) ++next_[static_cast<std::size_t>(id)];
    }
    auto end = static_cast<index_t>(rows_.size());
    for (index_t id = 0; id < adapters_; ++id) {
      index_t& next = next_[static_cast<std::size_t>(id)];
      if (next == 0) continue;
      groups_.push_back({id, end, next, false});
      end += next;
      next = groups_.back().first;
    }
    rows_.resize(static_cast<std::size_t>(end));
    for (index_t token = 0; token < tokens_; ++token) {
      if (const index_t id = id_of(token); id != no_adapter) {
        rows_[static_cast<std::size_t>(next_[static_cast<std::size_t>(id)]++)] = token;
      }
    }
    for (std::size_t at = stages_.back(); at < groups_.size(); ++at) {
      group& g = groups_[at];
      g.is_run = rows_[static_cast<std::size_t>(g.first + g.count - 1)] - rows_[static_cast<std::size_t>(g.first)] ==
                 g.count - 1;
    }
  }

  index_t tokens_ = 0;
  index_t adapters_ = 0;
  std::vector<group> groups_;
  std::vector<std::size_t> stages_;
  std::vector<index_t> rows_;
  std::vector<index_t> next_;
};

}  // namespace sbora::inline SBORA_ABI
