// Options are given in double: what the parameters' type makes of them is in range, or they are refused, unwritten.

#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/adamw_8bit.hpp>
#include <sbora/optimisers/clip.hpp>
#include <sbora/optimisers/schedule.hpp>
#include <sbora/optimisers/sgd.hpp>

#include <cmath>
#include <limits>

#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::config_error;

namespace {

constexpr sbora::index_t greatest_count = std::numeric_limits<sbora::index_t>::max();

/// Three steps whose parameters are finite and have moved.
template <class Optimiser>
void check_moves(Optimiser&& optimiser) {
  std::vector<float> w = {1, -2}, g = {0.5F, 0};
  for (int step = 0; step < 3; ++step) optimiser.step(w, g);
  CHECK(std::isfinite(w[0]));
  CHECK(std::isfinite(w[1]));
  CHECK(w[0] != 1);
}

template <class Optimiser>
void check_adamw_options() {
  const auto make = [](sbora::adamw_options options) { return Optimiser(2, options); };
  CHECK_ERROR(config_error, "learning_rate must be positive, got 1e+39, above the greatest float, 3.40282346",
              make({.learning_rate = 1e39}));
  CHECK_ERROR(config_error, "learning_rate must be positive, got 1e-50, below the least normal float, 1.175494",
              make({.learning_rate = 1e-50}));
  CHECK_ERROR(config_error, "epsilon must be positive, got 1e-50, below the least normal float",
              make({.epsilon = 1e-50}));
  CHECK_ERROR(config_error, "epsilon must be positive, got 1e-40, below", make({.epsilon = 1e-40}));
  CHECK_ERROR(config_error, "epsilon must be positive, got 1e+40, above", make({.epsilon = 1e40}));
  CHECK_ERROR(config_error, "beta2 must be in [0, 1), got 0.99999999, which is 1.0 in float",
              make({.beta2 = 0.99999999}));
  CHECK_ERROR(config_error, "1 - the learning rate * weight_decay must be finite, got -1e+97",
              make({.weight_decay = 1e100}));
  CHECK_ERROR(config_error, "the learning rate / (1 - beta1^step) must be finite, got ",
              make({.learning_rate = 1e37, .beta1 = 0.999, .weight_decay = 0}));
  check_moves(make({.epsilon = 2e-38}));
  check_moves(make({.beta1 = 0.99999999}));  // used as 1 - beta1
  check_moves(make({.beta1 = 1e-300, .beta2 = 1e-300}));
  check_moves(make({.beta2 = 0.9999999}));
  check_moves(make({.weight_decay = 1e-300}));
}

template <class Optimiser>
void check_steps(Optimiser optimiser) {
  std::vector<float> w = {1, -2};
  const std::vector<float> g = {0.5F, 0.25F}, before = w;
  CHECK_ERROR(config_error, "must be finite, got 1e+39, above the greatest float", optimiser.step(w, g, {1e39}));
  CHECK_ERROR(config_error, "must be finite, got -1e+39, above", optimiser.step(w, g, {-1e39}));
  CHECK_ERROR(config_error, "gradient_scale must be finite, got 1e+39, above", optimiser.step(w, g, {0.1, 1e39}));
  CHECK_ERROR(config_error, "gradient_scale must be finite, got 1e-50, below the least normal float",
              optimiser.step(w, g, {0.1, 1e-50}));
  CHECK_ERROR(config_error, "steps must not be negative, got -1.0", optimiser.set_steps(-1));
  CHECK_ERROR(config_error, "steps must not be negative", optimiser.set_steps(-greatest_count - 1));
  CHECK(optimiser.steps() == 0);
  CHECK(w == before);
  optimiser.step(w, g, {1e-300});  // the end of a schedule
  CHECK(w == before);
  optimiser.step(w, g, {0.1, 0});
  CHECK(optimiser.steps() == 2);
  for (const sbora::index_t steps : {greatest_count - 1, greatest_count}) {
    optimiser.set_steps(steps);
    CHECK(optimiser.steps() == steps);
    optimiser.step(w, g, {0.01});
    optimiser.step(w, g, {0.01});
    CHECK(optimiser.steps() == greatest_count);
    CHECK((std::isfinite(w[0]) && std::isfinite(w[1])));
  }
}

}  // namespace

TEST_CASE("adamw's options are checked as floats have them") { check_adamw_options<sbora::adamw<float>>(); }
TEST_CASE("adamw_8bit's options are checked as floats have them") { check_adamw_options<sbora::adamw_8bit<float>>(); }

TEST_CASE("adamw of doubles takes what only floats can't hold") {
  std::vector<double> w = {1}, g = {0.5};
  sbora::adamw<double> optimiser(1, {.learning_rate = 1e-2, .beta2 = 0.99999999, .epsilon = 1e-50, .weight_decay = 0});
  optimiser.step(w, g);
  CHECK(w[0] == Approx(0.99).epsilon(1e-8));
  CHECK_ERROR(config_error, "epsilon must be positive, got 1e-310, below the least normal double",
              sbora::adamw<double>(1, {.epsilon = 1e-310}));
}

TEST_CASE("sgd's options are checked as floats have them") {
  const auto make = [](sbora::sgd_options options) { return sbora::sgd<float>(2, options); };
  CHECK_ERROR(config_error, "sbora::sgd: learning_rate must be positive, got 1e+39, above the greatest float",
              make({.learning_rate = 1e39}));
  CHECK_ERROR(config_error, "learning_rate must be positive, got 1e-50, below", make({.learning_rate = 1e-50}));
  CHECK_ERROR(config_error, "momentum must be in [0, 1), got 0.99999999, which is 1.0 in float",
              make({.momentum = 0.99999999}));
  CHECK_ERROR(config_error, "weight_decay must not be negative, got 1e+39, above the greatest float",
              make({.weight_decay = 1e39}));
  check_moves(make({.momentum = 0.9999999, .dampening = 0.99999999}));
  check_moves(make({.momentum = 1e-300}));
}

TEST_CASE("a step's options and the step count are checked as floats have them, before anything is written") {
  check_steps(sbora::adamw<float>(2));
  check_steps(sbora::adamw_8bit<float>(2));
  check_steps(sbora::sgd<float>(2, {.momentum = 0.5}));
}

TEST_CASE("schedules hold for the greatest counts, and negative steps are the first") {
  using sbora::schedule;
  CHECK(schedule::constant(0.5, greatest_count).at(greatest_count) == 0.5);
  CHECK(schedule::constant(0.5, greatest_count).at(greatest_count / 2) == Approx(0.25));
  CHECK(schedule::constant(1e308, 1000).at(500) == 5e307);
  CHECK(schedule::linear(0.5, 0, greatest_count).at(greatest_count / 2) == Approx(0.25));
  CHECK(schedule::linear(0.5, greatest_count - 1, greatest_count).at(greatest_count - 1) == 0.5);
  CHECK(schedule::cosine(0.5, 0, greatest_count).at(greatest_count) == 0);
  CHECK_ERROR(config_error, "total must be above warmup", schedule::linear(1, greatest_count, greatest_count));
  CHECK_ERROR(config_error, "the learning rate must be positive, got 1e-310", schedule::constant(1e-310));
  for (const sbora::index_t step : {sbora::index_t{-1}, -greatest_count - 1}) {
    CHECK(schedule::constant(0.5, 10).at(step) == 0);
    CHECK(schedule::linear(0.5, 0, 10).at(step) == 0.5);
    CHECK(schedule::cosine(0.5, 0, 10).at(step) == 0.5);
  }
}

TEST_CASE("a clipping that no double holds is refused, and one that no float holds by the step") {
  CHECK_ERROR(config_error, "max_norm must be positive, got 1e-310, below the least normal double",
              sbora::clip_scale(1, 1e-310));
  std::vector<float> w = {1}, g = {1};
  sbora::adamw<float> optimiser(1);
  CHECK_ERROR(config_error, "gradient_scale must be finite, got 1e-45",
              optimiser.step(w, g, {.learning_rate = 0.1, .gradient_scale = sbora::clip_scale(1e30, 1e-15)}));
}
