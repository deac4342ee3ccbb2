// Budgets over modules, against the plainest way of spending them.

#include <sbora/selection/budget.hpp>
#include <sbora/selection/weight_scores.hpp>

#include <numeric>
#include <set>

#include "support/catch.hpp"
#include "support/message.hpp"

using sbora::index_t;
using sbora::region;
using sbora::scored_axis;
using ranks = std::vector<index_t>;

namespace {

/// Modules of random sizes, prices and blocks.
struct random_axes {
  std::vector<std::vector<double>> scores;
  std::vector<scored_axis> axes;

  explicit random_axes(std::uint64_t seed) {
    sbora::random_stream random(seed);
    const index_t count = 1 + random.below(6);
    for (index_t i = 0; i < count; ++i) scores.push_back(sbora::random_scores(1 + random.below(40), random.next()));
    for (const auto& of : scores) axes.push_back({of, 1 + random.below(9), 1 + random.below(4)});
  }
};

index_t spent(const std::vector<scored_axis>& axes, const ranks& chosen) {
  index_t sum = 0;
  for (std::size_t i = 0; i < axes.size(); ++i) sum += axes[i].parameters * chosen[i];
  return sum;
}

double mean(std::span<const double> scores) {
  return std::accumulate(scores.begin(), scores.end(), 0.0) / static_cast<double>(scores.size());
}

/// Looks at everything again for each block.
ranks spread_by_score_plainly(const std::vector<scored_axis>& axes, index_t budget) {
  ranks chosen(axes.size());
  std::set<std::pair<std::size_t, index_t>> seen;
  for (;;) {
    double best = -1e300;
    std::pair<std::size_t, index_t> at;
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const auto& [scores, parameters, block] = axes[i];
      for (index_t b = 0; (b + 1) * block <= std::ssize(scores); ++b) {
        const auto of = scores.subspan(static_cast<std::size_t>(b * block), static_cast<std::size_t>(block));
        const double worth = mean(of) / static_cast<double>(parameters);
        if (seen.contains({i, b}) || worth <= best) continue;
        best = worth;
        at = {i, b};
      }
    }
    if (best == -1e300) return chosen;
    seen.insert(at);
    const scored_axis& axis = axes[at.first];
    if (axis.parameters * axis.block > budget) continue;
    budget -= axis.parameters * axis.block;
    chosen[at.first] += axis.block;
  }
}

}  // namespace

TEST_CASE("spread_by_score takes the best blocks that fit") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const random_axes of(seed);
    const auto budget = static_cast<index_t>(seed * 7 % 500);
    CAPTURE(seed, budget);
    const ranks chosen = spread_by_score(of.axes, budget);
    CHECK(chosen == spread_by_score_plainly(of.axes, budget));
    CHECK(spent(of.axes, chosen) <= budget);
  }
}

TEST_CASE("spread_evenly gives to whom has least, as long as it fits") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const random_axes of(seed);
    const auto budget = static_cast<index_t>(seed * 7 % 500);
    CAPTURE(seed, budget);
    const ranks chosen = spread_evenly(of.axes, budget);
    index_t left = budget - spent(of.axes, chosen);
    CHECK(left >= 0);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const auto& [scores, parameters, block] = of.axes[i];
      CHECK(chosen[i] % block == 0);
      CHECK(chosen[i] <= std::ssize(scores));
      // One more would not fit, or there is none.
      CHECK((chosen[i] + block > std::ssize(scores) || parameters * block > left));
      // Without its last block it had no more than any other that could still have had one.
      if (chosen[i] == 0) continue;
      for (std::size_t k = 0; k < chosen.size(); ++k) {
        const auto& other = of.axes[k];
        if (chosen[k] + other.block > std::ssize(other.scores) || other.parameters * other.block > left) continue;
        CHECK((chosen[i] - block) * parameters <= chosen[k] * other.parameters);
      }
    }
  }
  const std::vector<double> four(4), eight(8);
  CHECK(sbora::spread_evenly(std::vector<scored_axis>{{four, 10}, {eight, 5}}, 60) == ranks{3, 6});
  CHECK(sbora::spread_evenly(std::vector<scored_axis>{{four, 10}, {eight, 5}}, 1000) == ranks{4, 8});
  CHECK(sbora::spread_evenly(std::vector<scored_axis>{{four, 10}}, 9) == ranks{0});
  CHECK(sbora::spread_evenly({}, 9).empty());
}

TEST_CASE("budgets name what they refuse") {
  const std::vector<double> fine(4), bad = {0, std::numeric_limits<double>::infinity()};
  const auto by_score = [](scored_axis axis, index_t budget) {
    return sbora::spread_by_score(std::span(&axis, 1), budget);
  };
  CHECK_ERROR(sbora::config_error, "the budget is -1 parameters", by_score({fine, 1}, -1));
  CHECK_ERROR(sbora::config_error, "axis 0: parameters and block must be at least 1, got 0 and 1",
              by_score({fine, 0}, 1));
  CHECK_ERROR(sbora::config_error, "got 1 and 0", by_score({fine, 1, 0}, 1));
  CHECK_ERROR(sbora::config_error, "more parameters than can be counted",
              by_score({fine, std::numeric_limits<index_t>::max(), 2}, 1));
  CHECK_ERROR(sbora::not_finite_error, "axis 0: score 1 isn't finite", by_score({bad, 1}, 1));
}

TEST_CASE("top_block_region takes whole aligned groups, the best first") {
  const std::vector<double> scores = {0, 1, 5, 5, 9, 0, 3, 2, 100};
  CHECK(sbora::top_block_region(scores, 4, 2) == region(9, {2, 3, 4, 5}));
  CHECK(sbora::top_block_region(scores, 2, 1) == region(9, {8, 4}));
  CHECK_ERROR(sbora::region_error, "rank = 3 is not a multiple of block = 2", sbora::top_block_region(scores, 3, 2));
  CHECK_ERROR(sbora::region_error, "rank must be in [1, dim = 9], got 10", sbora::top_block_region(scores, 10, 2));
}

TEST_CASE("coupled axes share one region") {
  const std::vector<double> up = {1, 2, 3}, gate = {5, 0, 0}, down = {0, 0, 4};
  CHECK(sbora::coupled_scores({up, gate, down}) == std::vector<double>{6, 2, 7});
  CHECK(sbora::coupled_scores({up, up}) == std::vector<double>{2, 4, 6});
  CHECK(sbora::coupled_scores({}).empty());
  CHECK_ERROR(sbora::shape_error, "3 scores and 2 of one axis", sbora::coupled_scores({up, std::vector<double>(2)}));
}

TEST_CASE("grouped queries: v's channels are several of o's columns") {
  // Two heads of v with two channels, each used by three query heads.
  const std::vector<double> o = {1, 2, 10, 20, 100, 200, 3, 4, 30, 40, 300, 400};
  CHECK(sbora::shared_head_scores(o, 2, 3) == std::vector<double>{111, 222, 333, 444});
  CHECK(sbora::repeated_heads(region(4, {3, 0}), 2, 3) == region(12, {7, 9, 11, 0, 2, 4}));
  CHECK(sbora::repeated_heads(region(4, {3, 0}), 2, 1) == region(4, {3, 0}));
  CHECK_ERROR(sbora::shape_error, "12 scores aren't heads of 5", sbora::shared_head_scores(o, 5, 1));
  CHECK_ERROR(sbora::region_error, "4 channels aren't heads of 3", sbora::repeated_heads(region(4, {1}), 3, 2));
}
