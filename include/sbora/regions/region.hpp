#pragma once

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <sbora/core/aligned_memory.hpp>
#include <sbora/core/errors.hpp>

namespace sbora::inline SBORA_ABI::detail {

template <class T>
concept integer = std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char>;

template <class Range>
concept integer_range = requires(const Range& range) {
  requires integer<std::remove_cvref_t<decltype(*std::begin(range))>>;
  std::end(range);
};

/// Sorted in one place, and as a heap, since each std::sort is 0.1 s of what a unit takes to compile.
using index_pairs = std::vector<std::pair<index_t, index_t>>;
SBORA_NO_INLINE inline void sort_pairs(index_pairs& pairs) {
  std::make_heap(pairs.begin(), pairs.end());
  std::sort_heap(pairs.begin(), pairs.end());
}

/// Errors: region_error for a number above all index_t.
template <class Range>
std::vector<index_t> to_indices(const Range& range) {
  std::vector<index_t> indices;
  for (const auto value : range) {
    if (!std::in_range<index_t>(value)) {
      throw region_error(message({"sbora: index ", value, " at position ", indices.size(), " is no index"}));
    }
    indices.push_back(static_cast<index_t>(value));
  }
  return indices;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Which columns (FA) or rows (FB) of a weight an adapter touches: `rank` distinct indices in [0, dim).
///
/// Effect      A value: copy, compare, move (what was moved from has dim 0, and fits nothing). Keeps the order that was
///             given, since column j of the trained half belongs to indices()[j]; sorted() is the same set ascending.
/// Cost        O(rank·log rank) to make, 3·rank indices of memory.
/// Thread      immutable.
/// Errors      region_error at construction for rank 0, rank > dim, dim < 1, an index out of range or
///             one that comes twice; the message names the value and its position.
/// Source      The standard basis of SBoRA, arXiv 2407.05413.
class region {
 public:
  region(index_t dim, std::vector<index_t> indices) : dim_(dim), indices_(std::move(indices)) {
    if (dim < 1) throw region_error(detail::message({"sbora::region: dim must be at least 1, got ", dim}));
    const index_t count = rank();
    if (count < 1 || count > dim) {
      throw region_error(detail::message({"sbora::region: rank must be in [1, dim = ", dim, "], got ", count}));
    }
    detail::index_pairs places;  // (index, position)
    places.reserve(indices_.size());
    for (index_t position = 0; position < count; ++position) {
      if (at(position) < 0 || at(position) >= dim) {
        throw region_error(detail::message(
            {"sbora::region: index ", at(position), " at position ", position, " is outside [0, ", dim, ")"}));
      }
      places.emplace_back(at(position), position);
    }
    detail::sort_pairs(places);
    order_.reserve(indices_.size());
    sorted_.reserve(indices_.size());
    for (const auto& [index, position] : places) {
      if (!sorted_.empty() && sorted_.back() == index) {
        throw region_error(
            detail::message({"sbora::region: index ", index, " comes twice, again at position ", position}));
      }
      sorted_.push_back(index);
      order_.push_back(position);
    }
  }

  /// Of any integers: a list, an array, a span, an Eigen vector. bool and char count as what they are, so don't.
  template <detail::integer Integer>
  region(index_t dim, std::initializer_list<Integer> indices) : region(dim, detail::to_indices(indices)) {}
  template <class Range>
    requires detail::integer_range<Range>
  region(index_t dim, const Range& indices) : region(dim, detail::to_indices(indices)) {}

  index_t dim() const noexcept { return dim_.value; }
  index_t rank() const noexcept { return static_cast<index_t>(indices_.size()); }

  /// In the order given. Of a temporary region these three are values, which live on.
  std::span<const index_t> indices() const& noexcept { return indices_; }
  std::vector<index_t> indices() && noexcept {
    region whole = std::move(*this);
    return std::move(whole.indices_);
  }
  /// Ascending.
  std::span<const index_t> sorted() const& noexcept { return sorted_; }
  std::vector<index_t> sorted() && noexcept {
    region whole = std::move(*this);
    return std::move(whole.sorted_);
  }
  /// Where they came from: sorted()[i] == indices()[order()[i]].
  std::span<const index_t> order() const& noexcept { return order_; }
  std::vector<index_t> order() && noexcept {
    region whole = std::move(*this);
    return std::move(whole.order_);
  }

  bool contains(index_t index) const noexcept { return position_of(index) >= 0; }
  /// j with indices()[j] == index, or -1. Cost: O(log rank).
  index_t position_of(index_t index) const noexcept {
    const auto found = std::lower_bound(sorted_.begin(), sorted_.end(), index);
    if (found == sorted_.end() || *found != index) return -1;
    return order_[static_cast<std::size_t>(found - sorted_.begin())];
  }

  /// Same dim, same indices in the same order.
  friend bool operator==(const region& a, const region& b) noexcept {
    return a.dim() == b.dim() && a.indices_ == b.indices_;
  }

 private:
  index_t at(index_t position) const { return indices_[static_cast<std::size_t>(position)]; }

  detail::reset_on_move<index_t> dim_;
  std::vector<index_t> indices_;
  std::vector<index_t> order_;
  std::vector<index_t> sorted_;
};

}  // namespace sbora::inline SBORA_ABI
