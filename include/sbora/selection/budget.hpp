#pragma once

#include <queue>
#include <utility>

#include <sbora/core/checked_size.hpp>
#include <sbora/regions/select.hpp>
#include <sbora/selection/coupled.hpp>

namespace sbora::inline SBORA_ABI {

/// Columns or rows among which a budget is spread: those of one module, or of several that are coupled.
struct scored_axis {
  std::span<const double> scores;  ///< one a column or row
  index_t parameters;              ///< that one of them costs: d_out for FA, d_in for FB; of coupled ones the sum
  index_t block = 1;               ///< chosen in aligned groups of so many; what is left of an uneven dim isn't
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// Errors: region_error, config_error.
inline void check_axes(const char* who, std::span<const scored_axis> axes, index_t budget) {
  if (budget < 0) throw config_error(message({who, ": the budget is ", budget, " parameters"}));
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const scored_axis& axis = axes[i];
    const std::string which = message({who, ": axis ", i});
    if (axis.parameters < 1 || axis.block < 1) {
      throw config_error(
          message({which, ": parameters and block must be at least 1, got ", axis.parameters, " and ", axis.block}));
    }
    if (!size_product({axis.parameters, axis.block}))
      throw config_error(which + ": more parameters than can be counted");
    for (std::size_t j = 0; j < axis.scores.size(); ++j) {
      if (is_finite(axis.scores[j])) continue;
      throw not_finite_error(message({which, ": score ", j, " isn't finite"}), static_cast<index_t>(j), 0);
    }
  }
}

/// The mean score of each whole block.
inline std::vector<double> block_scores(std::span<const double> scores, index_t block) {
  const auto size = static_cast<std::size_t>(block);
  std::vector<double> means(scores.size() / size);
  for (std::size_t b = 0; b < means.size(); ++b) {
    double sum = 0;
    for (const double score : scores.subspan(b * size, size)) sum += score;
    means[b] = sum / static_cast<double>(block);
  }
  return means;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// How many of each axis's columns or rows to train, as many parameters for each as can be.
///
/// Effect      Gives a block to the axis that has the fewest parameters, the first of several, as long as one fits into
///             what is left of the budget.
/// Shapes      ranks[i] of axes[i], a multiple of its block; 0: the module is left out.
/// Cost        O(blocks·log axes).
/// Errors      config_error; not_finite_error for a score that is NaN or infinite.
inline std::vector<index_t> spread_evenly(std::span<const scored_axis> axes, index_t budget) {
  detail::check_axes("sbora::spread_evenly", axes, budget);
  std::vector<index_t> ranks(axes.size());
  using held = std::pair<index_t, std::size_t>;  // parameters, axis
  std::priority_queue<held, std::vector<held>, std::greater<>> next;
  for (std::size_t i = 0; i < axes.size(); ++i) next.emplace(0, i);
  while (!next.empty()) {
    const auto [parameters, i] = next.top();
    next.pop();
    const scored_axis& axis = axes[i];
    const index_t cost = axis.parameters * axis.block;
    if (ranks[i] + axis.block > std::ssize(axis.scores) || cost > budget) continue;  // full, or never fits again
    ranks[i] += axis.block;
    budget -= cost;
    next.emplace(parameters + cost, i);
  }
  return ranks;
}

/// How many of each axis's columns or rows to train, by their scores: the best, wherever they are.
///
/// Effect      Goes through the blocks of all axes by their mean score, each divided by what one of the axis's columns
///             or rows costs, the best first and of equals the first, and takes each that fits into what is left.
/// Requires    scores that can be compared over axes: of one scorer, over the same tokens.
/// Shapes      as spread_evenly; top_region(scores, rank), with blocks top_block_region, are the taken ones.
/// Cost        O(dims·log dims).
/// Errors      as spread_evenly.
inline std::vector<index_t> spread_by_score(std::span<const scored_axis> axes, index_t budget) {
  detail::check_axes("sbora::spread_by_score", axes, budget);
  struct unit {
    double worth;
    std::size_t axis;
  };
  std::vector<unit> units;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    for (const double score : detail::block_scores(axes[i].scores, axes[i].block)) {
      units.push_back({score / static_cast<double>(axes[i].parameters), i});
    }
  }
  std::stable_sort(units.begin(), units.end(), [](const unit& a, const unit& b) { return a.worth > b.worth; });
  std::vector<index_t> ranks(axes.size());
  for (const unit& best : units) {
    const scored_axis& axis = axes[best.axis];
    const index_t cost = axis.parameters * axis.block;
    if (cost > budget) continue;
    budget -= cost;
    ranks[best.axis] += axis.block;
  }
  return ranks;
}

/// top_region in aligned groups of `block`: those of the highest mean score, each group's indices ascending.
///
/// Requires    rank a multiple of block; the last group of an uneven dim is never taken.
/// Errors      region_error, not_finite_error.
inline region top_block_region(std::span<const double> scores, index_t rank, index_t block) {
  const auto dim = static_cast<index_t>(scores.size());
  detail::check_rank("sbora::top_block_region", dim, rank);
  if (block < 1 || rank % block != 0) {
    throw region_error(
        detail::message({"sbora::top_block_region: rank = ", rank, " is not a multiple of block = ", block}));
  }
  const std::vector<double> means = detail::block_scores(scores, block);
  const region blocks = top_region(means, rank / block);
  std::vector<index_t> indices;
  indices.reserve(static_cast<std::size_t>(rank));
  for (const index_t first : blocks.indices()) {
    for (index_t i = 0; i < block; ++i) indices.push_back(first * block + i);
  }
  return region(dim, std::move(indices));
}

}  // namespace sbora::inline SBORA_ABI
