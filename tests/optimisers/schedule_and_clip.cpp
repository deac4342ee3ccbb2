// Learning-rate schedules against transformers' formulas, and the global-norm clipping of torch.

#include <sbora/optimisers/clip.hpp>
#include <sbora/optimisers/schedule.hpp>

#include <limits>
#include <vector>

#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::clip_scale;
using sbora::config_error;
using sbora::gradient_norm;
using sbora::schedule;

namespace {

// The lambdas of transformers/optimization.py 4.x, as they stand there.
double constant_lambda(double step, double warmup) {
  if (step < warmup) return step / std::max(1.0, warmup);
  return 1;
}
double linear_lambda(double step, double warmup, double total) {
  if (step < warmup) return step / std::max(1.0, warmup);
  return std::max(0.0, (total - step) / std::max(1.0, total - warmup));
}
double cosine_lambda(double step, double warmup, double total) {
  if (step < warmup) return step / std::max(1.0, warmup);
  const double progress = (step - warmup) / std::max(1.0, total - warmup);
  return progress >= 1 ? 0 : std::max(0.0, 0.5 * (1 + std::cos(3.14159265358979323846 * progress)));
}

}  // namespace

TEST_CASE("schedules are transformers' formulas") {
  const double peak = 2e-4;
  for (const index_t warmup : {0, 1, 10, 99}) {
    for (const index_t total : {100, 1000}) {
      const schedule constant = schedule::constant(peak, warmup);
      const schedule linear = schedule::linear(peak, warmup, total);
      const schedule cosine = schedule::cosine(peak, warmup, total);
      for (index_t step = 0; step < total + 10; ++step) {
        CAPTURE(warmup, total, step);
        const auto s = static_cast<double>(step), w = static_cast<double>(warmup), t = static_cast<double>(total);
        REQUIRE(std::abs(constant.at(step) - peak * constant_lambda(s, w)) <= 1e-15 * peak);
        REQUIRE(std::abs(linear.at(step) - peak * linear_lambda(s, w, t)) <= 1e-15 * peak);
        REQUIRE(std::abs(cosine.at(step) - peak * cosine_lambda(s, w, t)) <= 1e-15 * peak);
      }
    }
  }
}

TEST_CASE("schedules at their corners") {
  CHECK(schedule::constant(0.5).at(0) == 0.5);
  CHECK(schedule::constant(0.5, 10).at(0) == 0);
  CHECK(schedule::constant(0.5, 10).at(10) == 0.5);
  CHECK(schedule::linear(0.5, 0, 10).at(0) == 0.5);
  CHECK(schedule::linear(0.5, 2, 10).at(10) == 0);
  CHECK(schedule::cosine(0.5, 2, 10).at(2) == 0.5);
  CHECK(schedule::cosine(0.5, 2, 10).at(6) == Approx(0.25));
  CHECK(schedule::cosine(0.5, 2, 10).at(1000000) == 0);
}

TEST_CASE("schedules reject their arguments by value") {
  CHECK_ERROR(config_error, "the learning rate must be positive, got 0.0", schedule::constant(0));
  CHECK_ERROR(config_error, "must be positive", schedule::linear(-1, 0, 10));
  CHECK_ERROR(config_error, "must be positive", schedule::cosine(std::numeric_limits<double>::quiet_NaN(), 0, 10));
  CHECK_ERROR(config_error, "warmup must not be negative, got -1.0", schedule::constant(1, -1));
  CHECK_ERROR(config_error, "warmup must not be negative, got -2.0", schedule::linear(1, -2, 10));
  CHECK_ERROR(config_error, "total must be above warmup, got 10.0", schedule::linear(1, 10, 10));
  CHECK_ERROR(config_error, "total must be above warmup, got 9.0", schedule::cosine(1, 10, 9));
}

TEMPLATE_TEST_CASE("the norm is that of all spans together", "", float, double) {
  const std::vector<TestType> a = {3, 0, -4}, b = {12}, none;
  const std::span<const TestType> a_span(a), b_span(b), no_span(none);
  CHECK(gradient_norm(a_span) == 5);
  CHECK(gradient_norm({a_span, b_span}) == 13);
  CHECK(gradient_norm(no_span) == 0);
  CHECK(sbora::sum_of_squares(a_span) + sbora::sum_of_squares(b_span) == 169);
  std::vector<TestType> writable = a;
  const std::span<TestType> gradient(writable);  // as adapter.gradient() is
  CHECK(gradient_norm(gradient) == 5);
  CHECK(gradient_norm(a) == 5);
  CHECK(gradient_norm({gradient, b_span}) == 13);
  CHECK(sbora::sum_of_squares(gradient) + sbora::sum_of_squares(b) == 169);
  for (const index_t size : {1, 2, 3, 4, 5, 1000, 1003}) {
    const std::vector<TestType> g = random_vector<TestType>(size, 7);
    long double exact = 0;
    for (const TestType value : g) exact += static_cast<long double>(value) * value;
    const double norm = gradient_norm(std::span<const TestType>(g));
    CHECK(std::abs(norm - static_cast<double>(std::sqrt(exact))) <= 1e-13 * norm);
  }
}

TEST_CASE("the norm of large floats doesn't overflow") {
  const std::vector<float> g(100, 3e38F);
  CHECK(gradient_norm(std::span<const float>(g)) == Approx(3e39));
}

TEST_CASE("clip_scale is torch's clip coefficient") {
  CHECK(clip_scale(0, 1) == 1);
  CHECK(clip_scale(0.5, 1) == 1);
  CHECK(clip_scale(1, 1) == 1 / (1 + 1e-6));
  CHECK(clip_scale(4, 1) == 1 / (4 + 1e-6));
  CHECK(clip_scale(100, 0.5) == 0.5 / (100 + 1e-6));
}

TEST_CASE("clip_scale rejects norms that aren't finite, and thresholds that aren't positive") {
  const double inf = std::numeric_limits<double>::infinity();
  CHECK_ERROR(sbora::not_finite_error, "the gradient's norm is inf", clip_scale(inf, 1));
  CHECK_ERROR(sbora::not_finite_error, "nan", clip_scale(std::numeric_limits<double>::quiet_NaN(), 1));
  CHECK_ERROR(config_error, "max_norm must be positive, got 0.0", clip_scale(1, 0));
  CHECK_ERROR(config_error, "max_norm must be positive, got -1.0", clip_scale(1, -1));
}
