#pragma once

#include <string>
#include <utility>
#include <vector>

#include <sbora/regions/select.hpp>
#include <sbora/selection/scorers.hpp>
#include <sbora/selection/usage_scorer.hpp>
#include <sbora/selection/weight_scores.hpp>

namespace multi_task {

/// What a layer's columns are scored by, as batches go through it.
struct column_scores {
  column_scores(sbora::index_t d_out, sbora::index_t d_in)
      : gradient(sbora::adapter_kind::fa, d_out, d_in),
        snip(sbora::adapter_kind::fa, d_out, d_in),
        activation(sbora::adapter_kind::fa, d_out, d_in),
        usage(sbora::adapter_kind::fa, d_out, d_in) {}

  /// dx: of this layer alone.
  template <class Matrix>
  void add(const Matrix& x, const Matrix& dy, const Matrix& dx, sbora::workspace& memory, sbora::any_executor pool) {
    gradient.add(x, dy, memory, pool);
    snip.add(x, dx, pool);
    activation.add(x, pool);
    usage.add(x, memory, pool);
  }

  sbora::gradient_scorer gradient;
  sbora::snip_scorer snip;
  sbora::activation_scorer activation;
  sbora::usage_scorer usage;
};

/// Names of policies, and the columns of each layer that one chooses for a task.
template <class Layers>
std::vector<std::pair<std::string, std::vector<sbora::region>>> chosen_columns(
    const Layers& layers, const std::vector<column_scores>& of_task, const std::vector<column_scores>& of_base,
    sbora::index_t rank, std::uint64_t seed) {
  constexpr auto fa = sbora::adapter_kind::fa;
  const auto best = [&](const auto& scores_of) {
    std::vector<sbora::region> chosen;
    for (std::size_t i = 0; i < layers.size(); ++i) chosen.push_back(sbora::top_region(scores_of(i), rank));
    return chosen;
  };
  return {
      {"random",
       best([&](std::size_t i) { return sbora::random_scores(layers[i].weight.d_in(), seed * layers.size() + i); })},
      {"gradient norm", best([&](std::size_t i) { return of_task[i].gradient.scores(); })},
      {"SNIP", best([&](std::size_t i) { return of_task[i].snip.scores(); })},
      {"largest activation", best([&](std::size_t i) { return of_task[i].activation.scores(); })},
      {"smallest activation", best([&](std::size_t i) { return sbora::negated(of_task[i].activation.scores()); })},
      {"Wanda",
       best([&](std::size_t i) { return sbora::wanda_scores(layers[i].weight, fa, of_task[i].activation.scores()); })},
      {"weight norm", best([&](std::size_t i) { return sbora::weight_norm_scores(layers[i].weight, fa); })},
      {"TF-IDF of use", best([&](std::size_t i) { return tf_idf_scores(of_task[i].usage, of_base[i].usage); })}};
}

}  // namespace multi_task
