// The optimisers step by step against PyTorch.

#include "optimisers/torch_trajectories.hpp"

#include <sbora/optimisers/adamw_8bit.hpp>
#include <sbora/optimisers/clip.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"

using namespace sbora_tests;

namespace {

constexpr int last_step = 24;

template <class T>
T start(int i) {
  return static_cast<T>(29 * i % 65 - 32) / 16;
}
template <class T>
T gradient_at(int step, int i) {
  return static_cast<T>((37 * step + 53 * i + 11 * step * i) % 257 - 128) / 64;
}

/// Parameters after every step.
template <class T, class Optimiser, class Shape, class Options>
std::vector<std::vector<T>> run(const Shape& shape, const trajectory<Options>& expected) {
  Optimiser optimiser(shape, expected.options);
  const auto count = static_cast<int>(optimiser.parameter_count());
  std::vector<T> w(static_cast<std::size_t>(count)), g(w.size());
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
    worst =
        error <= worst * std::max(std::abs(expected), 0.0625) ? worst : error / std::max(std::abs(expected), 0.0625);
  }
  return worst;
}

template <template <class> class Optimiser, class Shape, class Options>
void check_trajectories(const Shape& shape, const std::vector<trajectory<Options>>& all) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    const auto path = run<double, Optimiser<double>>(shape, all[i]);
    CHECK(difference(path[0], all[i].steps[0]) <= 1e-12);
    CHECK(difference(path[7], all[i].steps[1]) <= 1e-12);
    CHECK(difference(path[23], all[i].steps[2]) <= 1e-12);
    // Two roundings of the parameter a step, on each side, relative to the largest one (2) over 1/16.
    const double gamma = 4 * last_step * 0x1p-24 * 32;
    const auto in_float = run<float, Optimiser<float>>(shape, all[i]);
    CHECK(difference(in_float[23], all[i].last_in_float) <= gamma);
    CHECK(difference(in_float[23], all[i].steps[2]) <= gamma);
  }
}

}  // namespace

TEST_CASE("adamw is torch.optim.AdamW") { check_trajectories<sbora::adamw>(11, adamw_trajectories); }

TEST_CASE("adamw's first steps are torch's where one minus beta is small") {
  // Beta of float is off by 2^-25, which is 5e-6 of 1 - 0.999 and a hundredth of 1 - 0.999999.
  for (const first_steps& expected : adamw_first_steps) {
    CAPTURE(expected.beta1, expected.beta2);
    const sbora::adamw_options options = {1e-2, expected.beta1, expected.beta2, 1e-8, 0.1};
    sbora::adamw<float> optimiser(6, options);
    sbora::adamw_8bit<float> coarse(6, options);
    std::vector<float> w(6, 0.0F), coarse_w(6, 0.0F), g(6);
    for (int step = 1; step <= 8; ++step) {
      for (int i = 0; i < 6; ++i) {
        g[static_cast<std::size_t>(i)] = std::ldexp(static_cast<float>((7 * step + 5 * i) % 11 + 1), -3 * i);
      }
      optimiser.step(w, g);
      if (step > 1 && step < 8) continue;
      // Eight roundings a step on each side.
      const double bound = 2 * 8 * step * 0x1p-24;
      const std::vector<float>& theirs = step == 1 ? expected.first : expected.eighth;
      for (std::size_t i = 0; i < 6; ++i) {
        CAPTURE(step, i, w[i], theirs[i]);
        CHECK(std::abs(double{w[i]} - double{theirs[i]}) <= bound * std::abs(double{theirs[i]}));
      }
      if (step > 1) continue;
      coarse.step(coarse_w, g);
      CHECK(same_bits<float>(w, coarse_w));
    }
  }
}

TEST_CASE("sgd is torch.optim.SGD") { check_trajectories<sbora::sgd>(11, sgd_trajectories); }

// Every |c| of these is above 2e-5, a hundred roundings of the largest gradient, so that no sign depends on them.
TEST_CASE("lion is algorithm 2 of its paper") { check_trajectories<sbora::lion>(11, lion_trajectories); }

// Five iterations grow an error by at most 3.4445^5 = 485 (of singular values near zero), far within both bounds: 485
// roundings of the direction times the largest learning rate, 0.02, are ten of a parameter.
TEST_CASE("muon is torch.optim.Muon, iterated in the parameters' type") {
  check_trajectories<sbora::muon>(muon_blocks, muon_trajectories);
}
