#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <sbora/adapters/weight_delta.hpp>
#include <sbora/optimisers/optimiser.hpp>

namespace sbora::inline SBORA_ABI {

/// The parameters of an embedding's adapter that a batch's tokens reach: all others have no gradient.
///
/// Effect      assign(ids, delta): ranges() are the rows of the trained half of those tokens (FA), or of those of them
///             that are in the region (FB), each once, ascending; parameters outside have a gradient of 0.
/// Requires    ids that the embedding takes, and a trained half whose rows are the vocabulary's (not a transposed one):
///             config_error.
/// Cost        O(tokens·log tokens); its memory is kept for the next batch.
class seen_rows {
 public:
  struct range {
    index_t begin, end;
  };

  template <class Ids, class T>
  void assign(const Ids& ids, const weight_delta<T>& delta) {
    const detail::region_geometry g = delta.geometry();
    const bool of_region = !g.is_of_input(true);
    if (delta.transposed) {
      throw config_error(
          "sbora::seen_rows: a transposed adapter's rows aren't the vocabulary's, so there are no ranges of them; take "
          "the dense step");
    }
    rows_.clear();
    for (const auto id : ids) {
      const auto token = static_cast<index_t>(id);
      const index_t row = of_region ? delta.target->position_of(token) : token;
      if (row >= 0) rows_.push_back(row);
    }
    std::sort(rows_.begin(), rows_.end());
    rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
    ranges_.clear();
    for (const index_t row : rows_) {
      const range next = {row * g.cols(), (row + 1) * g.cols()};
      if (!ranges_.empty() && ranges_.back().end == next.begin) ranges_.back().end = next.end;
      else ranges_.push_back(next);
    }
  }

  std::span<const range> ranges() const& noexcept { return ranges_; }
  std::span<const range> ranges() const&& = delete;  // would dangle: name the object

 private:
  std::vector<index_t> rows_;
  std::vector<range> ranges_;
};

/// A step of the parameters that were seen alone: lazy, as torch.optim.SparseAdam. What wasn't seen keeps its value and
/// its moments, without decay; the step counts for all of them.
///
/// Effect      optimiser.step on the ranges, and nothing elsewhere.
/// Requires    an optimiser of elements (adamw, sgd, lion). parameters and gradient as for step().
/// Cost        as of a step of so many parameters.
/// Numerics    of what is seen in every step, the bits of the dense step.
/// Thread, errors: as step().
template <class Optimiser, class T>
void sparse_step(Optimiser& optimiser, std::span<T> parameters, std::span<const std::type_identity_t<T>> gradient,
                 const seen_rows& seen, step_options now) {
  const auto step = optimiser.start_step(parameters, gradient, now);
  for (const seen_rows::range& range : seen.ranges()) step(range.begin, range.end);
}

}  // namespace sbora::inline SBORA_ABI
