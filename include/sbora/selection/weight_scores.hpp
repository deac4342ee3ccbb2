#pragma once

#include <cmath>
#include <span>
#include <vector>

#include <sbora/adapters/region_geometry.hpp>
#include <sbora/core/executor.hpp>
#include <sbora/core/random.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Σ of term(element, row, column) over each column (FA) or row (FB), in double, in the order of the elements.
template <float_weight Weight, class Term>
std::vector<double> element_sums(const Weight& weight, adapter_kind kind, any_executor pool, const Term& term) {
  const region_geometry of(kind, weight.d_out(), weight.d_in(), 1);
  const row_reader<Weight> reader(weight);
  std::vector<double> sums(static_cast<std::size_t>(of.dim));
  const bool columns = of.form(storage::out_by_in) == region_form::columns;
  const auto add = [&](index_t row, index_t begin, index_t end) {
    float values[export_piece];
    for (index_t k = begin; k < end; k += export_piece) {
      const index_t stop = std::min(end, k + export_piece);
      reader.read(row, k, stop, values);
      for (index_t i = k; i < stop; ++i) {
        sums[static_cast<std::size_t>(columns ? i : row)] += term(static_cast<double>(values[i - k]), row, i);
      }
    }
  };
  if (columns) {
    for_ranges(weight.d_in(), export_piece, pool, [&](index_t begin, index_t end) {
      for (index_t row = 0; row < weight.d_out(); ++row) add(row, begin, end);
    });
  } else {
    for_ranges(weight.d_out(), export_rows, pool, [&](index_t begin, index_t end) {
      for (index_t row = begin; row < end; ++row) add(row, 0, weight.d_in());
    });
  }
  return sums;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Scores columns (FA) or rows (FB) by the norm of the weight there: scores[j] = √(Σ w²).
///
/// Cost        one read of the weight, of any storage that computes in float.
/// Numerics    summed in double; the same bits for any executor.
/// Source      weight magnitude, as SHiRA (arXiv 2406.13175) compares it.
template <float_weight Weight>
std::vector<double> weight_norm_scores(const Weight& weight, adapter_kind kind, any_executor pool = {}) {
  std::vector<double> scores =
      detail::element_sums(weight, kind, pool, [](double w, index_t, index_t) { return w * w; });
  for (double& score : scores) score = std::sqrt(score);
  return scores;
}

/// Scores columns (FA) or rows (FB) by Wanda: the sum of |w|·‖x[:, i]‖ over it, i the element's column.
///
/// Shapes      input_norms: d_in of them, as the scores() of an activation_scorer over x.
/// Cost, numerics as weight_norm_scores.
/// Errors      shape_error for another number of norms.
/// Source      Wanda, arXiv 2306.11695; summed over rows as in RoCoFT, arXiv 2410.10075.
template <float_weight Weight>
std::vector<double> wanda_scores(const Weight& weight, adapter_kind kind, std::span<const double> input_norms,
                                 any_executor pool = {}) {
  if (std::ssize(input_norms) != weight.d_in()) {
    throw shape_error(
        detail::message({"sbora::wanda_scores: ", input_norms.size(), " norms of x, d_in is ", weight.d_in()}));
  }
  return detail::element_sums(weight, kind, pool, [&](double w, index_t, index_t column) {
    return std::abs(w) * input_norms[static_cast<std::size_t>(column)];
  });
}

/// Uniform in [0, 1), of random_stream(seed): what the others have to beat. With spread_by_score, one draw over all
/// modules.
/// Errors      region_error for dim < 1.
inline std::vector<double> random_scores(index_t dim, std::uint64_t seed) {
  if (dim < 1) throw region_error(detail::message({"sbora::random_scores: dim must be at least 1, got ", dim}));
  random_stream random(seed);
  std::vector<double> scores(static_cast<std::size_t>(dim));
  for (double& score : scores) score = random.uniform();
  return scores;
}

}  // namespace sbora::inline SBORA_ABI
