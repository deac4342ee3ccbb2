#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <sbora/core/errors.hpp>

namespace sbora::inline SBORA_ABI {

/// The expert of a token that was dropped.
inline constexpr index_t no_expert = -1;

/// Tokens sorted by expert: those of expert e are places offsets[e] to offsets[e + 1]; place p is token rows[p], or
/// token p where rows is empty and there are as many tokens as places.
/// Lifetime    refers to memory of somebody else.
struct expert_groups {
  std::span<const index_t> offsets;
  std::span<const index_t> rows;
  index_t tokens;

  index_t experts() const noexcept { return static_cast<index_t>(offsets.size()) - 1; }
  /// Of all experts.
  index_t places() const noexcept { return offsets.empty() ? 0 : offsets.back(); }
  bool in_order() const noexcept { return rows.empty() && tokens == places(); }
};

/// A router's choice, sorted once for all layers of the experts.
///
/// Effect      ids: per_token experts of each token, the router's top k, or no_expert. groups(): the tokens of each
///             expert, ascending, for layers whose input is the tokens; sorted(): for those whose input is another such
///             layer's result. choices(): of each place, its position in ids, and so in the router's weights.
/// Cost        assign(): O(ids + experts), a counting sort. Its arrays are kept for the next batch, so it doesn't
///             allocate after warm-up.
/// Thread      a value: calls only read it.
/// Errors      config_error for an id outside [0, experts), and for ids that aren't per_token for each token; nothing
///             is changed then.
class expert_tokens {
 public:
  expert_tokens() = default;
  expert_tokens(std::span<const index_t> ids, index_t per_token, index_t experts) { assign(ids, per_token, experts); }

  void assign(std::span<const index_t> ids, index_t per_token, index_t experts) {
    if (per_token < 1 || std::ssize(ids) % per_token != 0 || experts < 1) {
      throw config_error(detail::message({name, ids.size(), " ids, ", per_token, " for each token, of ", experts,
                                          " experts: expected a multiple, and at least one expert"}));
    }
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == no_expert || (ids[i] >= 0 && ids[i] < experts)) continue;
      throw config_error(detail::message(
          {name, "id ", ids[i], " at position ", i, " is outside [0, ", experts, ") and isn't no_expert"}));
    }
    rows_.reserve(ids.size());
    choices_.reserve(ids.size());
    offsets_.resize(static_cast<std::size_t>(experts) + 1);
    std::fill(offsets_.begin(), offsets_.end(), 0);
    tokens_ = std::ssize(ids) / per_token;
    // offsets_[e + 1] is where e's next goes, and when all are put, where the next expert's begin.
    for (const index_t id : ids) {
      if (id + 2 <= experts && id >= 0) ++offsets_[static_cast<std::size_t>(id) + 2];
    }
    for (std::size_t e = 2; e < offsets_.size(); ++e) offsets_[e] += offsets_[e - 1];
    const auto count =
        static_cast<std::size_t>(std::count_if(ids.begin(), ids.end(), [](index_t id) { return id != no_expert; }));
    rows_.resize(count);
    choices_.resize(count);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == no_expert) continue;
      const auto place = static_cast<std::size_t>(offsets_[static_cast<std::size_t>(ids[i]) + 1]++);
      rows_[place] = static_cast<index_t>(i) / per_token;
      choices_[place] = static_cast<index_t>(i);
    }
  }

  expert_groups groups() const& noexcept { return {offsets_, rows_, tokens_}; }
  expert_groups groups() const&& = delete;  // would dangle: name the tokens
  expert_groups sorted() const& noexcept { return {offsets_, {}, std::ssize(rows_)}; }
  expert_groups sorted() const&& = delete;  // would dangle: name the tokens
  std::span<const index_t> choices() const& noexcept { return choices_; }
  std::span<const index_t> choices() const&& = delete;  // would dangle: name the tokens

 private:
  static constexpr const char* name = "sbora::expert_tokens: ";

  std::vector<index_t> offsets_ = {0};
  std::vector<index_t> rows_;
  std::vector<index_t> choices_;
  index_t tokens_ = 0;
};

}  // namespace sbora::inline SBORA_ABI
