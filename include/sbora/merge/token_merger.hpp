#pragma once

#include <sbora/layers/trainable_tokens.hpp>
#include <sbora/merge/merge_rules.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI {

/// Puts trained tokens' rows into a table, and the table's own back, to the last bit. A head that is tied to the table
/// has them, too.
///
/// Effect      merge: row target()[j] of the table becomes row j of the tokens, rounded to its type (to nearest even).
///             unmerge writes back what was there. What is merged is known by region.
/// Requires    regions that are merged at the same time share no token; nobody else, a merger of the same weight
///             included, writes their rows meanwhile.
/// Lifetime    keeps the view of the table. Destroying it leaves the table as it is.
/// Cost        O(rank·features); keeps as many originals.
/// Thread      one call at a time; nobody may use the table meanwhile.
/// Errors      shape_error, merge_error; not_finite_error with row and column of the first element that isn't finite in
///             the table's type. The table is as it was then.
template <class Scalar>
class token_merger {
  static_assert(!std::is_const_v<Scalar> && std::is_same_v<typename weight_view<Scalar>::compute_scalar, float>,
                "sbora::token_merger: it writes the table, a writable view of float, bfloat16 or half");

 public:
  explicit token_merger(weight_view<Scalar> table) : table_(table) {}

  void merge(const trainable_tokens& tokens) {
    check(tokens);
    detail::check_region_free<entry>(name, entries_, nullptr, detail::row_kind, tokens.target());
    const index_t features = table_.d_in();
    entry added = {detail::row_kind, tokens.target(),
                   std::vector<Scalar>(static_cast<std::size_t>(tokens.parameter_count()))};
    const weight_view<Scalar> rounded(added.values.data(), tokens.target().rank(), features);
    for (index_t j = 0; j < tokens.target().rank(); ++j) {
      detail::write_row(rounded, j, 0, features, tokens.parameters().data() + j * features);
      for (index_t k = 0; k < features; ++k) {
        if (detail::is_finite(static_cast<float>(added.values[static_cast<std::size_t>(j * features + k)]))) continue;
        detail::throw_merge_not_finite(name, tokens.target().indices()[static_cast<std::size_t>(j)], k, "the table");
      }
    }
    entries_.reserve(entries_.size() + 1);
    swap_rows(added.target, added.values);
    entries_.push_back(std::move(added));
  }

  /// Errors: merge_error where this region isn't merged.
  void unmerge(const trainable_tokens& tokens) {
    check(tokens);
    const auto merged = detail::require_merged(name, entries_, detail::row_kind, tokens.target());
    swap_rows(merged->target, merged->values);
    entries_.erase(merged);
  }

  bool is_merged(const trainable_tokens& tokens) const {
    return std::any_of(entries_.begin(), entries_.end(),
                       [&](const entry& e) { return e.is(detail::row_kind, tokens.target()); });
  }

 private:
  static constexpr const char* name = "sbora::token_merger";

  struct entry {
    adapter_kind kind;
    region target;
    std::vector<Scalar> values;  ///< what isn't in the table now: the tokens', and once merged the table's

    const region& where() const { return target; }
    bool is(adapter_kind other_kind, const region& other) const { return kind == other_kind && target == other; }
  };

  void check(const trainable_tokens& tokens) const {
    detail::check_merge_shape(name, tokens.vocabulary(), tokens.features(), table_.d_out(), table_.d_in());
  }

  /// As bits: an exchange rounds nothing, not even a NaN.
  void swap_rows(const region& target, std::vector<Scalar>& values) noexcept {
    const bool straight = table_.order() == storage::out_by_in;
    const index_t line = straight ? table_.stride() : 1, next = straight ? 1 : table_.stride(),
                  features = table_.d_in();
    for (index_t j = 0; j < target.rank(); ++j) {
      Scalar* const row = table_.data() + target.indices()[static_cast<std::size_t>(j)] * line;
      for (index_t k = 0; k < features; ++k) {
        std::swap(row[k * next], values[static_cast<std::size_t>(j * features + k)]);
      }
    }
  }

  weight_view<Scalar> table_;
  std::vector<entry> entries_;
};

template <class Scalar>
token_merger(weight_view<Scalar>) -> token_merger<Scalar>;

}  // namespace sbora::inline SBORA_ABI
