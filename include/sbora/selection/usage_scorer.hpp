#pragma once

#include <sbora/core/option.hpp>
#include <sbora/selection/scorers.hpp>

namespace sbora::inline SBORA_ABI {

/// Counts the tokens that use a column or row, for tf_idf_scores.
///
/// Effect      Token t uses j where |a[t, j]| > threshold·√(mean over j of a[t, j]²): a is x for columns (FA), y for
///             rows (FB). Of an embedding, whose rows are tokens, add_ids counts them. sums()[j] are the tokens so far.
/// Shapes      a: tokens × dim(); float, double or bfloat16.
/// Cost        one read of each element twice; a number a token from the workspace.
/// Numerics    counts, exact and the same on every machine.
/// Thread      one call at a time.
/// Errors      config_error for a threshold that isn't positive; SBORA_ASSERT for another shape; workspace_error;
///             region_error for an id outside [0, dim()), before anything is counted.
/// Source      use of memory rows in sparse memory fine-tuning, arXiv 2510.15103; the threshold is sbora's.
class usage_scorer : public feature_sums {
 public:
  usage_scorer(adapter_kind kind, index_t d_out, index_t d_in, double threshold = 2)
      : feature_sums(detail::scored_dim(kind, d_out, d_in)), threshold_(threshold) {
    detail::check_option("sbora::usage_scorer", "threshold", detail::option_range::positive, threshold);
  }

  template <detail::scored_activation A>
  void add(const A& a, workspace& memory, any_executor pool = {}) {
    const auto in = detail::as_scored(a);
    detail::check_features({"a", in}, "the number of scores", dim());
    const auto work = [&](detail::workspace_frame frame, any_executor tasks) {
      auto* const limits = frame.take<double>(in.tokens);
      const auto value = [in](index_t t, index_t j) {
        return static_cast<double>(widened(in.data[t * in.stride + j]));
      };
      detail::for_ranges(in.tokens, detail::scored_tokens, tasks, [&](index_t begin, index_t end) {
        for (index_t t = begin; t < end; ++t) {
          double sum = 0;
          for (index_t j = 0; j < in.features; ++j) sum += value(t, j) * value(t, j);
          limits[t] = threshold_ * std::sqrt(sum / static_cast<double>(in.features));
        }
      });
      detail::for_ranges(in.features, detail::scored_features, tasks, [&](index_t begin, index_t end) {
        for (index_t t = 0; t < in.tokens; ++t) {
          for (index_t j = begin; j < end; ++j) data()[j] += std::abs(value(t, j)) > limits[t] ? 1 : 0;
        }
      });
    };
    work(detail::workspace_frame(memory, detail::scratch_of(work)), pool);
    count(in.tokens);
  }

  void add_ids(std::span<const index_t> ids) {
    for (const index_t id : ids) {
      if (id >= 0 && id < dim()) continue;
      throw region_error(detail::message({"sbora::usage_scorer: id ", id, " is outside [0, ", dim(), ")"}));
    }
    for (const index_t id : ids) data()[id] += 1;
    count(std::ssize(ids));
  }

 private:
  static double widened(double value) noexcept { return value; }
  static double widened(float value) noexcept { return static_cast<double>(value); }
  static double widened(detail::bf16 value) noexcept { return static_cast<double>(detail::widen(value)); }

  double threshold_;
};

/// How much more the task uses a column or row than a reference text does, which stands for what isn't to be forgotten.
///
/// Effect      scores[j] = c(j)/Σc · ln((N + 1)/(n(j) + 1)): c the task's counts, n the reference's, N its tokens. 0
///             everywhere where the task uses nothing.
/// Numerics    one division, logarithm and product in double each.
/// Errors      shape_error for counts of different dims.
/// Source      arXiv 2510.15103, equation of TF-IDF, with tokens for its batches, so that no split changes it.
inline std::vector<double> tf_idf_scores(const usage_scorer& task, const usage_scorer& reference) {
  if (task.dim() != reference.dim()) {
    throw shape_error(detail::message({"sbora::tf_idf_scores: the task's counts are of ", task.dim(),
                                       " columns or rows, the reference's of ", reference.dim()}));
  }
  double all = 0;
  for (const double used : task.sums()) all += used;
  std::vector<double> scores(task.sums().size());
  for (std::size_t j = 0; j < scores.size() && all > 0; ++j) {
    const double rarity = std::log((static_cast<double>(reference.tokens()) + 1) / (reference.sums()[j] + 1));
    scores[j] = task.sums()[j] / all * rarity;
  }
  return scores;
}

}  // namespace sbora::inline SBORA_ABI
