#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <sbora/adapters/full_tensor.hpp>
#include <sbora/core/finite.hpp>
#include <sbora/merge/not_finite.hpp>
#include <sbora/weights/convert.hpp>

namespace sbora::inline SBORA_ABI {

/// Puts an adapter's full tensor in the place of the model's, and the model's back, to the last bit: what `merger` is
/// for weights.
///
/// Effect      merge: the values, rounded to Scalar, to nearest even. What was there is kept; unmerge writes it back.
/// Requires    memory of as many elements, and that nobody else writes it meanwhile.
/// Lifetime    refers to the memory. Destroying a merger leaves it as it is, merged.
/// Cost        a copy of the tensor, kept for the next merge.
/// Thread      one call at a time; nobody may use the memory meanwhile.
/// Errors      merge_error where it is merged already, or isn't; shape_error; not_finite_error, counted as one row. The
///             memory is as it was.
template <class Scalar>
class full_tensor_merger {
 public:
  explicit full_tensor_merger(std::span<Scalar> memory) : memory_(memory) {}

  bool is_merged() const noexcept { return merged_; }

  template <class T>
  void merge(const full_tensor<T>& tensor) {
    const std::string quoted = "'" + tensor.name() + "'";
    const std::span<const T> values = tensor.parameters();
    if (merged_) throw merge_error(who + quoted + ": there is a tensor merged; unmerge that first");
    if (values.size() != memory_.size()) {
      throw shape_error(
          detail::message({who, quoted, " has ", values.size(), " elements, the model's has ", memory_.size()}));
    }
    other_.resize(memory_.size());
    if constexpr (std::is_same_v<T, Scalar>) std::copy(values.begin(), values.end(), other_.begin());
    else convert(values, other_);
    for (std::size_t i = 0; i < other_.size(); ++i) {
      if (detail::is_finite(static_cast<T>(other_[i]))) continue;
      detail::throw_merge_not_finite("sbora::full_tensor_merger", 0, static_cast<index_t>(i), quoted);
    }
    std::swap_ranges(other_.begin(), other_.end(), memory_.begin());
    merged_ = true;
  }

  void unmerge() {
    if (!merged_) throw merge_error(who + "nothing is merged");
    std::copy(other_.begin(), other_.end(), memory_.begin());
    merged_ = false;
  }

 private:
  static inline const std::string who = "sbora::full_tensor_merger: ";

  std::span<Scalar> memory_;
  std::vector<Scalar> other_;  // while it is merged: the model's
  bool merged_ = false;
};

}  // namespace sbora::inline SBORA_ABI
