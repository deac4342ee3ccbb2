#pragma once

#include <cmath>

#include <sbora/core/finite.hpp>
#include <sbora/model/problem_list.hpp>
#include <sbora/io/bitsandbytes/quantised_names.hpp>
#include <sbora/io/merge/weight_change.hpp>
#include <sbora/io/tensor.hpp>
#include <sbora/simd/opaque.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Merges deltas into rows of a tensor, as they lie in its file, and touches nothing but the deltas' regions.
///
/// Numerics    round(w + round(s·b₁) + round(s·b₂) + …), sums in float, as export_merged; where regions don't
///             share an element, the bits of a merger.
/// Errors      not_finite_error naming the tensor, before its row is written.
class tensor_merge {
 public:
  /// Empty, or why it can't be done.
  static std::string problem(const tensor_view& tensor, const weight_change& change) {
    const std::string who = "tensor '" + tensor.name + "' ";
    if (!is_dense_dtype(tensor.type)) {
      return who + "is " + to_string(tensor.type) + ", expected F32, BF16 or F16";
    }
    for (const weight_delta<float>& delta : change.deltas) {
      const bool straight = change.order == storage::out_by_in;
      const std::vector<index_t> shape = {straight ? delta.d_out : delta.d_in, straight ? delta.d_in : delta.d_out};
      if (tensor.shape != shape) {
        return who + "has shape " + shape_text(tensor.shape) + ", the adapter is for " + shape_text(shape);
      }
    }
    return {};
  }

  /// Requires: no problem. Disabled deltas are left out.
  tensor_merge(const tensor_view& tensor, const weight_change& change)
      : tensor_(tensor), transposed_(change.order == storage::in_by_out) {
    for (const weight_delta<float>& delta : change.deltas) {
      if (!delta.enabled) continue;
      const bool fa = delta.kind == adapter_kind::fa;
      std::vector<index_t>& touched = fa == transposed_ ? rows_ : columns_;
      touched.insert(touched.end(), delta.target->sorted().begin(), delta.target->sorted().end());
      parts_.push_back({&delta, fa == transposed_, fa ? delta.target->rank() : 1, fa ? 1 : delta.d_in, {}});
    }
    for (std::vector<index_t>* const touched : {&rows_, &columns_}) {
      std::sort(touched->begin(), touched->end());
      touched->erase(std::unique(touched->begin(), touched->end()), touched->end());
    }
    for (part& p : parts_) {
      if (p.of_rows) continue;
      for (const index_t column : p.delta->target->sorted()) {
        p.places.push_back(std::lower_bound(columns_.begin(), columns_.end(), column) - columns_.begin());
      }
    }
    if (!parts_.empty()) values_.resize(static_cast<std::size_t>(tensor.shape[1]));
  }

  const tensor_view& tensor() const& noexcept { return tensor_; }
  const tensor_view& tensor() const&& = delete;  // would dangle: name the object
  bool empty() const noexcept { return parts_.empty(); }
  /// Touched as a whole, ascending.
  const std::vector<index_t>& rows() const& noexcept { return rows_; }
  const std::vector<index_t>& rows() const&& = delete;  // would dangle: name the object
  /// Touched in all rows, ascending.
  const std::vector<index_t>& columns() const& noexcept { return columns_; }
  const std::vector<index_t>& columns() const&& = delete;  // would dangle: name the object

  std::size_t row_bytes() const noexcept {
    return static_cast<std::size_t>(tensor_.shape[1]) * static_cast<std::size_t>(bits_of(tensor_.type)) / 8;
  }

  /// `bytes`: rows [begin, end) of the tensor, aligned to its elements.
  void apply(index_t begin, index_t end, std::byte* bytes) {
    for (index_t row = begin; row < end; ++row, bytes += row_bytes()) {
      void* const elements = bytes;
      visit_dense_dtype(tensor_.type, [&]<class Scalar>(Scalar) {
        apply_row(row, static_cast<Scalar*>(elements));
        return true;
      });
    }
  }

 private:
  struct part {
    const weight_delta<float>* delta;
    bool of_rows;
    index_t line_stride;
    index_t position_stride;
    std::vector<index_t> places;  ///< of its sorted columns among all that are touched
  };

  template <class Scalar>
  void apply_row(index_t row, Scalar* elements) {
    const bool whole = std::binary_search(rows_.begin(), rows_.end(), row);
    const index_t count = whole ? tensor_.shape[1] : static_cast<index_t>(columns_.size());
    const auto column = [&](index_t k) { return whole ? k : columns_[static_cast<std::size_t>(k)]; };
    float* const values = values_.data();
    for (index_t k = 0; k < count; ++k) values[k] = static_cast<float>(elements[column(k)]);
    for (const part& p : parts_) p.of_rows ? add_row(p, row) : add_columns(p, row, whole);
    for (index_t k = 0; k < count; ++k) {
      if (!detail::is_finite(static_cast<float>(static_cast<Scalar>(values[k])))) throw_not_finite(row, column(k));
    }
    for (index_t k = 0; k < count; ++k) elements[column(k)] = static_cast<Scalar>(values[k]);
  }

  void add_row(const part& p, index_t row) {
    const auto sorted = p.delta->target->sorted();
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), row);
    if (at == sorted.end() || *at != row) return;
    const index_t position = p.delta->target->order()[static_cast<std::size_t>(at - sorted.begin())];
    const float* const trained = p.delta->parameters + position * p.position_stride;
    for (std::size_t k = 0; k < values_.size(); ++k) {
      values_[k] += opaque(p.delta->scale * trained[static_cast<index_t>(k) * p.line_stride]);
    }
  }

  void add_columns(const part& p, index_t row, bool whole) {
    const auto sorted = p.delta->target->sorted();
    const auto order = p.delta->target->order();
    const float* const trained = p.delta->parameters + row * p.line_stride;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
      const index_t place = whole ? sorted[i] : p.places[i];
      values_[static_cast<std::size_t>(place)] += opaque(p.delta->scale * trained[order[i] * p.position_stride]);
    }
  }

  [[noreturn]] void throw_not_finite(index_t row, index_t column) const {
    if (transposed_) std::swap(row, column);
    throw not_finite_error("sbora: merging would leave row " + std::to_string(row) + ", column " +
                               std::to_string(column) + " of '" + tensor_.name + "' not finite",
                           row, column);
  }

  const tensor_view& tensor_;
  bool transposed_;
  std::vector<part> parts_;
  std::vector<index_t> rows_;
  std::vector<index_t> columns_;
  std::vector<float> values_;  // of one row
};

/// Rows that are worked on at once have about this many.
inline constexpr std::size_t window_bytes = std::size_t{4} << 20;

/// f(begin, end, bytes) for all rows of the merged tensor, a few at a time.
template <class Function>
void for_merged_rows(tensor_merge& merge, Function&& f) {
  const index_t rows = merge.tensor().shape[0];
  const index_t most = std::min(rows, std::max<index_t>(1, static_cast<index_t>(window_bytes / merge.row_bytes())));
  std::vector<std::byte> buffer(static_cast<std::size_t>(most) * merge.row_bytes());
  for (index_t begin = 0; begin < rows; begin += most) {
    const index_t end = std::min(rows, begin + most);
    const auto piece = merge.tensor().data.subspan(static_cast<std::size_t>(begin) * merge.row_bytes(),
                                                   static_cast<std::size_t>(end - begin) * merge.row_bytes());
    if (!piece.empty()) std::memcpy(buffer.data(), piece.data(), piece.size());
    merge.apply(begin, end, buffer.data());
    f(begin, end, std::span<const std::byte>(buffer).first(piece.size()));
  }
}

/// The changes by the names that the checkpoint's files have for the tensors.
/// Errors: checkpoint_error with every change that can't be made.
template <class Checkpoint>
weight_changes check_changes(const Checkpoint& from, const weight_changes& changes) {
  problem_list problems;
  weight_changes stored;
  std::size_t codes = 0;
  for (const auto& [name, change] : changes) {
    const tensor_view* const tensor = from.find(name);
    const std::string form = quantised_as(from, name);
    if (!form.empty()) {
      ++codes;
      problems.add("tensor '" + name + "' is there as " + form + ", expected F32, BF16 or F16");
    } else if (tensor == nullptr) {
      problems.add("no tensor '" + name + "'");
    } else if (std::string problem = tensor_merge::problem(*tensor, change); !problem.empty()) {
      problems.add(std::move(problem));
    } else {
      stored.emplace(from.stored_name(*tensor), change);
    }
  }
  if (codes > 0 && codes == problems.size()) {
    problems.set_cause("its weights are there as " + quantised_as(from, changes.begin()->first) +
                       ", in which a merge would be rounded; merge into the model that was quantised, and quantise the "
                       "result; or keep the adapter apart, merged beside the codes (sbora::overlay) or into them with "
                       "the rounding reported (sbora::merge_requantized)");
  }
  problems.throw_if_any("merging into a checkpoint");
  return stored;
}

}  // namespace sbora::inline SBORA_ABI::detail
