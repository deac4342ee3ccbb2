// AdamW and SGD step by step against PyTorch.

#include "optimisers/torch_trajectories.hpp"

#include <sbora/optimisers/clip.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"

using namespace sbora_tests;

namespace {

constexpr int count = 11, last_step = 24;

template <class T>
T start(int i) {
  return static_cast<T>(29 * i % 65 - 32) / 16;
}
template <class T>
T gradient_at(int step, int i) {
  return static_cast<T>((37 * step + 53 * i + 11 * step * i) % 257 - 128) / 64;
}

/// Parameters after every step.
template <class T, class Optimiser, class Options>
std::vector<std::vector<T>> run(const trajectory<Options>& expected) {
  Optimiser optimiser(count, expected.options);
  std::vector<T> w(count), g(count);
  for (int i = 0; i < count; ++i) w[static_cast<std::size_t>(i)] = start<T>(i);
  std::vector<std::vector<T>> path;
  for (int step = 1; step <= last_step; ++step) {
    for (int i = 0; i < count; ++i) g[static_cast<std::size_t>(i)] = gradient_at<T>(step, i);
    sbora::step_options now{expected.options.learning_rate};
    if (expected.decaying) now.learning_rate *= 1 - (step - 1) / 32.0;
    if (expected.clip > 0) {
      now.gradient_scale = sbora::clip_scale(sbora::gradient_norm(std::span<const T>(g)), expected.clip);
    }
    if (expected.decaying || expected.clip > 0) {
      optimiser.step(w, g, now);
    } else {
      optimiser.step(w, g);
    }
    path.push_back(w);
  }
  CHECK(optimiser.steps() == last_step);
  return path;
}

/// Largest |a - b|/max(|b|, 1/16): parameters are multiples of 1/16 at first, so that one that passes
/// through zero doesn't count as infinitely wrong.
template <class T, class Expected>
double difference(const std::vector<T>& a, const std::vector<Expected>& b) {
  double worst = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto expected = static_cast<double>(b[i]);
    const double error = std::abs(static_cast<double>(a[i]) - expected);
    worst = error <= worst * std::max(std::abs(expected), 0.0625)
                ? worst
                : error / std::max(std::abs(expected), 0.0625);
  }
  return worst;
}

template <template <class> class Optimiser, class Options>
void check_trajectories(const std::vector<trajectory<Options>>& all) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    const auto path = run<double, Optimiser<double>>(all[i]);
    CHECK(difference(path[0], all[i].steps[0]) <= 1e-12);
    CHECK(difference(path[7], all[i].steps[1]) <= 1e-12);
    CHECK(difference(path[23], all[i].steps[2]) <= 1e-12);
    // Two roundings of the parameter a step, on each side, relative to the largest one (2) over 1/16.
    const double gamma = 4 * last_step * 0x1p-24 * 32;
    const auto in_float = run<float, Optimiser<float>>(all[i]);
    CHECK(difference(in_float[23], all[i].last_in_float) <= gamma);
    CHECK(difference(in_float[23], all[i].steps[2]) <= gamma);
  }
}

}  // namespace

TEST_CASE("adamw is torch.optim.AdamW") { check_trajectories<sbora::adamw>(adamw_trajectories); }
TEST_CASE("sgd is torch.optim.SGD") { check_trajectories<sbora::sgd>(sgd_trajectories); }
