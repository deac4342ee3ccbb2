#pragma once

#include <initializer_list>
#include <span>

#include <sbora/regions/region.hpp>

namespace sbora::inline SBORA_ABI {

/// Scores of an axis that several modules share, so that they train the same channels: rows of up and gate and columns
/// of down, rows of v and columns of o.
///
/// Effect      the sum of the modules' scores, channel by channel. The one region that is chosen by it is each
///             module's: of rows or of columns, as it has them.
/// Errors      shape_error where their numbers differ.
/// Source      S2FT, arXiv 2412.06289.
inline std::vector<double> coupled_scores(std::initializer_list<std::span<const double>> modules) {
  std::vector<double> sum(modules.size() == 0 ? 0 : modules.begin()->size());
  for (const std::span<const double> scores : modules) {
    if (scores.size() != sum.size()) {
      throw shape_error(
          detail::message({"sbora::coupled_scores: ", sum.size(), " scores and ", scores.size(), " of one axis"}));
    }
    for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += scores[j];
  }
  return sum;
}

/// Where v has fewer heads than o takes (grouped queries): each of v's channels is `repeats` of o's columns.
///
/// Effect      shared_head_scores: of o's scores, those of v's channels, which are sums over their repeats.
///             repeated_heads: of a region of v's rows, that of o's columns, each head `repeats` times after another.
/// Shapes      o has repeats times v's channels; both have heads of head_dim channels.
/// Errors      shape_error, region_error where they can't be.
inline std::vector<double> shared_head_scores(std::span<const double> scores, index_t head_dim, index_t repeats) {
  const auto dim = static_cast<index_t>(scores.size());
  if (head_dim < 1 || repeats < 1 || dim % repeats != 0 || dim / repeats % head_dim != 0) {
    throw shape_error(detail::message(
        {"sbora::shared_head_scores: ", dim, " scores aren't heads of ", head_dim, ", each ", repeats, " times"}));
  }
  std::vector<double> shared(static_cast<std::size_t>(dim / repeats));
  for (index_t j = 0; j < dim; ++j) {
    const index_t head = j / (head_dim * repeats);
    shared[static_cast<std::size_t>(head * head_dim + j % head_dim)] += scores[static_cast<std::size_t>(j)];
  }
  return shared;
}

inline region repeated_heads(const region& shared, index_t head_dim, index_t repeats) {
  if (head_dim < 1 || repeats < 1 || shared.dim() % head_dim != 0) {
    throw region_error(detail::message({"sbora::repeated_heads: ", shared.dim(), " channels aren't heads of ", head_dim,
                                        ", each ", repeats, " times"}));
  }
  std::vector<index_t> indices;
  for (const index_t index : shared.indices()) {
    for (index_t i = 0; i < repeats; ++i) {
      indices.push_back((index / head_dim * repeats + i) * head_dim + index % head_dim);
    }
  }
  return region(shared.dim() * repeats, std::move(indices));
}

}  // namespace sbora::inline SBORA_ABI
