#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include <sbora/adapters/weight_delta.hpp>
#include <sbora/core/executor.hpp>
#include <sbora/core/finite.hpp>
#include <sbora/simd/opaque.hpp>
#include <sbora/weights/convert.hpp>

namespace sbora::inline SBORA_ABI::detail {

class merged_row;

/// Where deltas are merged in a matrix of memory: into those rows and columns of it.
struct merged_place {
  const merged_row* what;
  index_range rows, columns;
};

/// Elements of a row that are in float at a time, on the stack.
inline constexpr index_t merged_piece = 1024;
/// Elements of a task: what is copied for it stays in the L2 cache.
inline constexpr index_t merged_task = 65536;

/// What deltas add to the rows of a weight's memory: all merges that don't keep originals are made of this.
///
/// Effect      w becomes w + round(s·b₁) + round(s·b₂) + …, in the order of the deltas.
/// Shapes      rows and columns are those of the memory, W's or, where the order is in_by_out, those of its transpose.
/// Requires    deltas of one shape, the weight's. Disabled ones are left out.
/// Lifetime    points to the deltas' parameters and regions.
/// Cost        made in O(rank·log rank), then O(touched elements) a row; a row's calls allocate nothing.
/// Numerics    sums in float; where regions don't share an element, the bits of a merger.
/// Thread      const: rows may be done at the same time.
class merged_row {
 public:
  explicit merged_row(std::span<const weight_delta<float>> deltas, storage order = storage::out_by_in) {
    for (const weight_delta<float>& delta : deltas) {
      if (!delta.enabled) continue;
      const region_geometry geometry = delta.geometry();
      const bool whole = geometry.form(order) == region_form::rows;
      std::vector<index_t>& touched = whole ? rows_ : columns_;
      touched.insert(touched.end(), delta.target->sorted().begin(), delta.target->sorted().end());
      parts_.push_back({&delta, whole, geometry.line_stride(), geometry.index_stride(), {}});
    }
    for (std::vector<index_t>* const touched : {&rows_, &columns_}) {
      std::sort(touched->begin(), touched->end());
      touched->erase(std::unique(touched->begin(), touched->end()), touched->end());
    }
    for (part& p : parts_) {
      if (p.whole) continue;
      for (const index_t column : p.delta->target->sorted()) {
        p.places.push_back(std::lower_bound(columns_.begin(), columns_.end(), column) - columns_.begin());
      }
    }
  }

  bool empty() const noexcept { return parts_.empty(); }
  /// Touched as a whole, ascending.
  const std::vector<index_t>& rows() const& noexcept { return rows_; }
  const std::vector<index_t>& rows() const&& = delete;  // would dangle: name the object
  /// Touched in all rows, ascending.
  const std::vector<index_t>& columns() const& noexcept { return columns_; }
  const std::vector<index_t>& columns() const&& = delete;  // would dangle: name the object
  bool is_whole(index_t row) const { return std::binary_search(rows_.begin(), rows_.end(), row); }
  /// Whether any of a row's elements [begin, end) is touched.
  bool touches(index_t row, index_t begin, index_t end) const {
    const auto column = std::lower_bound(columns_.begin(), columns_.end(), begin);
    return (column != columns_.end() && *column < end) || is_whole(row);
  }

  /// values[k - begin] becomes merged element k of the row, for k in [begin, end).
  void add(index_t row, index_t begin, index_t end, float* values) const {
    for (const part& p : parts_) {
      p.whole ? add_run(p, row, begin, end, values)
              : add_elements(p, p.delta->target->sorted(), row, begin, end, values);
    }
  }

  /// Merges into a row in place; returns the column of the first element that isn't finite, or -1.
  template <class Storage>
  index_t merge_row(index_t row, index_t width, Storage* elements) const {
    float values[merged_piece];
    Storage gathered[merged_piece];
    const bool whole = is_whole(row);
    const index_t count = whole ? width : static_cast<index_t>(columns_.size());
    for (index_t begin = 0; begin < count; begin += merged_piece) {
      const index_t end = std::min(count, begin + merged_piece), n = end - begin;
      const index_t* const column = whole ? nullptr : columns_.data() + begin;
      Storage* const piece = whole ? elements + begin : gathered;
      for (index_t i = 0; !whole && i < n; ++i) gathered[i] = elements[column[i]];
      widen_run(conversions_, piece, values, n);
      if (whole) {
        add(row, begin, end, values);
      } else {
        for (const part& p : parts_) {
          if (!p.whole) add_elements(p, p.places, row, begin, end, values);
        }
      }
      narrow_run(conversions_, values, piece, n);
      widen_run(conversions_, piece, values, n);  // as stored: bf16 and f16 overflow when rounded
      for (index_t i = 0; i < n; ++i) {
        if (!is_finite(values[i])) return whole ? begin + i : column[i];
      }
      for (index_t i = 0; !whole && i < n; ++i) elements[column[i]] = gathered[i];
    }
    return -1;
  }

  /// The whole of a weight: see merge_rows below.
  template <class Storage>
  index_t merge_rows(index_t begin, index_t end, index_t width, const void* from, Storage* to, any_executor pool) const;

 private:
  struct part {
    const weight_delta<float>* delta;
    bool whole;  ///< its region is of whole rows
    index_t line_stride;
    index_t index_stride;
    std::vector<index_t> places;  ///< of its columns, ascending, in columns_
  };

  /// Of a region of whole rows, which are few: vectors wouldn't be seen beside reading the weight.
  static void add_run(const part& p, index_t row, index_t begin, index_t end, float* values) {
    const index_t position = p.delta->target->position_of(row);
    if (position < 0) return;
    const float* const trained = p.delta->parameters + position * p.index_stride;
    for (index_t k = begin; k < end; ++k) values[k - begin] += opaque(p.delta->scale * trained[k * p.line_stride]);
  }

  /// Of one of columns: those of its elements that are in [begin, end) of `where`, ascending.
  static void add_elements(const part& p, std::span<const index_t> where, index_t row, index_t begin, index_t end,
                           float* values) {
    const auto order = p.delta->target->order();
    const float* const trained = p.delta->parameters + row * p.line_stride;
    auto i = static_cast<std::size_t>(std::lower_bound(where.begin(), where.end(), begin) - where.begin());
    for (; i < where.size() && where[i] < end; ++i) {
      values[where[i] - begin] += opaque(p.delta->scale * trained[order[i] * p.index_stride]);
    }
  }

  const conversion_kernels<float>& conversions_ = get_kernels<conversion_kernels<float>>();
  std::vector<part> parts_;
  std::vector<index_t> rows_;
  std::vector<index_t> columns_;
};

/// Merges rows [begin, end) of a dense matrix of `width` columns, copied from the bytes `from` to `to`, without gaps,
/// and touches only what the deltas do. Returns row·width + column of the first element that isn't finite; -1: none.
template <class Storage>
index_t merge_rows(std::span<const merged_place> places, index_t begin, index_t end, index_t width, const void* from,
                   Storage* to, any_executor pool) {
  const index_t rows = std::max<index_t>(1, merged_task / width);
  std::vector<index_t> faults(static_cast<std::size_t>(ceil_div(end - begin, rows)), -1);
  for_ranges(end - begin, rows, pool, [&](index_t first, index_t last) {
    const index_t at = first * width;
    std::memcpy(to + at, static_cast<const char*>(from) + at * static_cast<index_t>(sizeof(Storage)),
                static_cast<std::size_t>((last - first) * width) * sizeof(Storage));
    index_t& fault = faults[static_cast<std::size_t>(first / rows)];
    for (const merged_place& place : places) {
      const index_t row_end = std::min(begin + last, place.rows.end);
      for (index_t row = std::max(begin + first, place.rows.begin); row < row_end && fault < 0; ++row) {
        const index_t column = place.what->merge_row(row - place.rows.begin, place.columns.size(),
                                                     to + (row - begin) * width + place.columns.begin);
        if (column >= 0) fault = row * width + place.columns.begin + column;
      }
    }
  });
  const auto found = std::find_if(faults.begin(), faults.end(), [](index_t fault) { return fault >= 0; });
  return found == faults.end() ? -1 : *found;
}

template <class Storage>
index_t merged_row::merge_rows(index_t begin, index_t end, index_t width, const void* from, Storage* to,
                               any_executor pool) const {
  const merged_place all = {this, {0, end}, {0, width}};
  return detail::merge_rows(std::span(&all, 1), begin, end, width, from, to, pool);
}

}  // namespace sbora::inline SBORA_ABI::detail
