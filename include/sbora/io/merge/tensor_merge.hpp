#pragma once

#include <numeric>

#include <sbora/io/bitsandbytes/quantised_names.hpp>
#include <sbora/io/merge/weight_change.hpp>
#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/merge/merged_row.hpp>
#include <sbora/merge/not_finite.hpp>
#include <sbora/model/problem_list.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A tensor as a matrix of memory: its last dimension, and all others; a scalar is 1 x 1.
inline index_t width_of(const tensor_view& tensor) { return tensor.shape.empty() ? 1 : tensor.shape.back(); }
inline index_t rows_in(const tensor_view& tensor) {
  const std::span<const index_t> shape(tensor.shape);
  return *size_product(shape.first(shape.empty() ? 0 : shape.size() - 1));
}
inline std::size_t bytes_of_row(const tensor_view& tensor) {
  return static_cast<std::size_t>(width_of(tensor)) * static_cast<std::size_t>(bits_of(tensor.type)) / 8;
}

/// Rows that are worked on at once have about this many.
inline constexpr std::size_t window_bytes = std::size_t{4} << 20;

/// f(rows) for these rows of a tensor, a few MiB of them at a time; their pages are let go afterwards.
template <class Function>
void for_row_windows(const safetensors_file& file, const tensor_view& tensor, index_range range, Function&& f) {
  if (tensor.data.empty()) return;
  const std::size_t row = bytes_of_row(tensor), end = static_cast<std::size_t>(range.end) * row;
  const std::size_t most = std::max<std::size_t>(1, window_bytes / row) * row;
  for (std::size_t at = static_cast<std::size_t>(range.begin) * row; at < end; at += most) {
    const auto rows = tensor.data.subspan(at, std::min(most, end - at));
    f(rows);
    file.release(rows);
  }
}

/// Columns that are touched in these rows, ascending.
struct touched_columns {
  index_range rows;
  std::vector<index_t> columns;
};

/// What a change makes of rows of a tensor: see merged_row.
///
/// Lifetime    refers to the tensor and the change.
/// Errors      not_finite_error naming the tensor.
class tensor_merge {
 public:
  /// Empty, or why it can't be done.
  static std::string problem(const tensor_view& tensor, const weight_change& change) {
    const std::string who = "tensor '" + tensor.name + "' ";
    if (!is_dense_dtype(tensor.type)) {
      return who + "is " + to_string(tensor.type) + ", expected F32, BF16 or F16";
    }
    if (change.full != nullptr || change.tokens != nullptr) {
      if (!change.deltas.empty() || !change.parts.empty() || (change.full != nullptr && change.tokens != nullptr)) {
        return who + "has an adapter, and a full tensor in its place";
      }
      if (change.tokens != nullptr) {
        const std::vector<index_t> table = {change.tokens->vocabulary(), change.tokens->features()};
        if (tensor.shape == table) return {};
        return who + "has shape " + shape_text(tensor.shape) + ", the tokens' table is " + shape_text(table);
      }
      if (tensor.shape == change.full->shape()) return {};
      return who + "has shape " + shape_text(tensor.shape) + ", the adapter's is " + shape_text(change.full->shape());
    }
    const auto unfit = [&](const delta_list<float>& deltas, const std::vector<index_t>& shape) -> std::string {
      for (const weight_delta<float>& delta : deltas) {
        const std::vector<index_t> expected = as_stored(delta.d_out, delta.d_in, change.order);
        if (shape != expected) return shape_text(shape) + ", the adapter is for " + shape_text(expected);
      }
      return {};
    };
    if (const std::string what = unfit(change.deltas, tensor.shape); !what.empty()) return who + "has shape " + what;
    for (const part_change& changed : change.parts) {
      const std::size_t dims = tensor.shape.size();
      const index_t slices = dims == 3 ? tensor.shape[0] : 1;
      if ((dims != 2 && dims != 3) || changed.slice < 0 || changed.slice >= slices) {
        return who + "has shape " + shape_text(tensor.shape) + " and no weight number " + std::to_string(changed.slice);
      }
      const auto [rows, columns] = memory_of(tensor, change.order, changed);
      const bool rows_fit = changed.reaches_out ? rows.begin <= 0 && rows.end >= tensor.shape[0] && dims == 2
                                                : rows.is_inside(tensor.shape[dims - 2]);
      if (!rows_fit || !columns.is_inside(tensor.shape[dims - 1])) {
        return who + "has shape " + shape_text(tensor.shape) + " and no " + range_text("rows", rows) + ", " +
               range_text("columns", columns);
      }
      if (const std::string what = unfit(changed.deltas, {rows.size(), columns.size()}); !what.empty()) {
        return who + "has a part of shape " + what;
      }
    }
    return {};
  }

  /// Requires: no problem. Disabled deltas are left out.
  tensor_merge(const tensor_view& tensor, const weight_change& change)
      : tensor_(tensor), order_(change.order), full_(change.full), tokens_(change.tokens) {
    if (full_ != nullptr && !tensor.data.empty()) {
      rows_.resize(static_cast<std::size_t>(rows_in(tensor)));
      std::iota(rows_.begin(), rows_.end(), index_t{0});
    }
    if (tokens_ != nullptr) rows_.assign(tokens_->target().sorted().begin(), tokens_->target().sorted().end());
    if (!change.deltas.empty()) add(change.deltas, {{0, rows_in(tensor)}, {0, width_of(tensor)}});
    for (const part_change& changed : change.parts) {
      weight_part memory = memory_of(tensor, change.order, changed);
      const index_t first = changed.slice * tensor.shape[tensor.shape.size() - 2];
      memory.rows = {first + memory.rows.begin, first + memory.rows.end};
      add(changed.deltas, memory);
    }
    std::sort(rows_.begin(), rows_.end());
    rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
  }

  const tensor_view& tensor() const& noexcept { return tensor_; }
  const tensor_view& tensor() const&& = delete;  // would dangle: name the object
  bool empty() const noexcept { return merged_.empty() && full_ == nullptr && tokens_ == nullptr; }
  /// Touched as a whole, or in a part of each, ascending.
  const std::vector<index_t>& rows() const& noexcept { return rows_; }
  const std::vector<index_t>& rows() const&& = delete;  // would dangle: name the object
  /// Touched in all rows of a range; ranges are different ones, and may overlap.
  const std::vector<touched_columns>& columns() const& noexcept { return columns_; }
  const std::vector<touched_columns>& columns() const&& = delete;  // would dangle: name the object
  /// The rows of both, ascending and apart.
  std::vector<index_range> touched() const {
    std::vector<index_range> all;
    for (const touched_columns& of : columns_) all.push_back(of.rows);
    for (const index_t row : rows_) all.push_back({row, row + 1});
    std::sort(all.begin(), all.end(), [](index_range a, index_range b) { return a.begin < b.begin; });
    std::vector<index_range> apart;
    for (const index_range& range : all) {
      if (!apart.empty() && range.begin <= apart.back().end) apart.back().end = std::max(apart.back().end, range.end);
      else apart.push_back(range);
    }
    return apart;
  }

  /// Whole rows of the tensor, as they lie in its file, merged into the buffer.
  void apply(std::span<const std::byte> from, std::vector<std::byte>& to, any_executor pool) const {
    to.resize(from.size());
    const index_t width = width_of(tensor_), row = static_cast<index_t>(bytes_of_row(tensor_));
    const index_t begin = (from.data() - tensor_.data.data()) / row, end = begin + std::ssize(from) / row;
    if (full_ != nullptr) return replace(full_->parameters().data() + begin * width, begin, end, to.data());
    if (tokens_ != nullptr) {
      std::copy(from.begin(), from.end(), to.begin());
      const region& target = tokens_->target();
      for (std::size_t i = 0; i < target.sorted().size(); ++i) {
        const index_t at = target.sorted()[i];
        if (at < begin || at >= end) continue;
        const float* const values = tokens_->parameters().data() + target.order()[i] * width;
        replace(values, at, at + 1, to.data() + (at - begin) * row);
      }
      return;
    }
    std::vector<merged_place> places = places_;
    for (std::size_t i = 0; i < places.size(); ++i) places[i].what = &merged_[i];
    const auto fault = visit_dense_dtype(tensor_.type, [&]<class Scalar>(Scalar) {
      auto* const merged = static_cast<typename storage_type<Scalar>::type*>(static_cast<void*>(to.data()));
      return merge_rows(std::span<const merged_place>(places), begin, end, width, from.data(), merged, pool);
    });
    if (fault.value_or(-1) < 0) return;
    index_t at[] = {*fault / width, *fault % width};
    std::string name = "'" + tensor_.name + "'";
    if (tensor_.shape.size() == 3) {
      name += "[" + std::to_string(at[0] / tensor_.shape[1]) + "]";
      at[0] %= tensor_.shape[1];
    }
    if (order_ == storage::in_by_out) std::swap(at[0], at[1]);
    throw_merge_not_finite("sbora", at[0], at[1], name);
  }

 private:
  /// Of W's, those of the memory.
  template <class Size>
  static std::vector<Size> as_stored(Size d_out, Size d_in, storage order) {
    return order == storage::out_by_in ? std::vector<Size>{d_out, d_in} : std::vector<Size>{d_in, d_out};
  }
  /// In its slice.
  static weight_part memory_of(const tensor_view& tensor, storage order, const part_change& changed) {
    if (!changed.part) return {{0, tensor.shape[tensor.shape.size() - 2]}, {0, width_of(tensor)}};
    const auto ranges = as_stored(changed.part->rows, changed.part->columns, order);
    return {ranges[0], ranges[1]};
  }

  /// Rows [begin, end) become these values, in the type of the file's.
  void replace(const float* values, index_t begin, index_t end, std::byte* to) const {
    visit_dense_dtype(tensor_.type, [&]<class Scalar>(Scalar) {
      auto* const rounded = static_cast<Scalar*>(static_cast<void*>(to));
      const index_t width = width_of(tensor_);
      for (index_t i = 0; i < (end - begin) * width; ++i) {
        rounded[i] = static_cast<Scalar>(values[i]);
        if (is_finite(static_cast<float>(rounded[i]))) continue;
        throw_merge_not_finite("sbora", begin + i / width, i % width, "'" + tensor_.name + "'");
      }
      return true;
    });
  }

  void add(const delta_list<float>& deltas, const weight_part& memory) {
    merged_row merged(deltas, order_);
    const index_range inside = {std::max<index_t>(memory.rows.begin, 0), std::min(memory.rows.end, rows_in(tensor_))};
    bool touches = !merged.columns().empty();
    for (const index_t row : merged.rows()) {
      const index_t at = memory.rows.begin + row;
      if (at < inside.begin || at >= inside.end) continue;
      rows_.push_back(at);
      touches = true;
    }
    if (!touches) return;
    if (!merged.columns().empty()) {
      auto of = std::find_if(columns_.begin(), columns_.end(), [&](const auto& c) { return c.rows == inside; });
      if (of == columns_.end()) of = columns_.insert(of, {inside, {}});
      for (const index_t column : merged.columns()) of->columns.push_back(memory.columns.begin + column);
      std::sort(of->columns.begin(), of->columns.end());
      of->columns.erase(std::unique(of->columns.begin(), of->columns.end()), of->columns.end());
    }
    places_.push_back({nullptr, memory.rows, memory.columns});
    merged_.push_back(std::move(merged));
  }

  const tensor_view& tensor_;
  storage order_;
  const full_tensor<float>* full_;
  const trainable_tokens* tokens_;
  std::vector<merged_row> merged_;
  std::vector<merged_place> places_;  // of each
  std::vector<index_t> rows_;
  std::vector<touched_columns> columns_;
};

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
  problems.throw_if_any("merging into a checkpoint", "give the base that the adapter was trained on");
  return stored;
}

}  // namespace sbora::inline SBORA_ABI::detail
