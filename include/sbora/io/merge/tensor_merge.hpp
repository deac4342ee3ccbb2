#pragma once

#include <sbora/io/bitsandbytes/quantised_names.hpp>
#include <sbora/io/merge/weight_change.hpp>
#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/merge/merged_row.hpp>
#include <sbora/merge/not_finite.hpp>
#include <sbora/model/problem_list.hpp>

namespace sbora::inline SBORA_ABI::detail {

inline std::size_t bytes_of_row(const tensor_view& tensor) {
  return static_cast<std::size_t>(tensor.shape[1]) * static_cast<std::size_t>(bits_of(tensor.type)) / 8;
}

/// Rows that are worked on at once have about this many.
inline constexpr std::size_t window_bytes = std::size_t{4} << 20;

/// f(rows) for all rows of a tensor, a few MiB of them at a time; their pages are let go afterwards.
template <class Function>
void for_row_windows(const safetensors_file& file, const tensor_view& tensor, Function&& f) {
  if (tensor.data.empty()) return;
  const std::size_t row = bytes_of_row(tensor);
  const std::size_t most = std::max<std::size_t>(1, window_bytes / row) * row;
  for (std::size_t at = 0; at < tensor.data.size(); at += most) {
    const auto rows = tensor.data.subspan(at, std::min(most, tensor.data.size() - at));
    f(rows);
    file.release(rows);
  }
}

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
      : tensor_(tensor), order_(change.order), merged_(change.deltas, change.order) {}

  const tensor_view& tensor() const& noexcept { return tensor_; }
  const tensor_view& tensor() const&& = delete;  // would dangle: name the object
  bool empty() const noexcept { return merged_.empty(); }
  /// Touched as a whole, ascending.
  const std::vector<index_t>& rows() const& noexcept { return merged_.rows(); }
  const std::vector<index_t>& rows() const&& = delete;  // would dangle: name the object
  /// Touched in all rows, ascending.
  const std::vector<index_t>& columns() const& noexcept { return merged_.columns(); }
  const std::vector<index_t>& columns() const&& = delete;  // would dangle: name the object

  /// Whole rows of the tensor, as they lie in its file, merged into the buffer.
  void apply(std::span<const std::byte> from, std::vector<std::byte>& to, any_executor pool) const {
    to.resize(from.size());
    const index_t width = tensor_.shape[1], row = static_cast<index_t>(bytes_of_row(tensor_));
    const index_t begin = (from.data() - tensor_.data.data()) / row, end = begin + std::ssize(from) / row;
    const auto fault = visit_dense_dtype(tensor_.type, [&]<class Scalar>(Scalar) {
      auto* const merged = static_cast<typename storage_type<Scalar>::type*>(static_cast<void*>(to.data()));
      return merged_.merge_rows(begin, end, width, from.data(), merged, pool);
    });
    if (fault.value_or(-1) < 0) return;
    index_t at[] = {*fault / width, *fault % width};
    if (order_ == storage::in_by_out) std::swap(at[0], at[1]);
    throw_merge_not_finite("sbora", at[0], at[1], "'" + tensor_.name + "'");
  }

 private:
  const tensor_view& tensor_;
  storage order_;
  merged_row merged_;
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
