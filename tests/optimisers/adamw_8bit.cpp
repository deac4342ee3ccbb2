// adamw_8bit as an object: state, resuming, executors, how near adamw it stays, errors.

#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/adamw_8bit.hpp>

#include <cmath>
#include <limits>

#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using optimiser = sbora::adamw_8bit<float>;
using sbora::config_error;
using sbora::shape_error;

namespace {

/// An executor that runs tasks backwards.
struct backwards {
  template <class Function>
  void parallel_for(index_t n, Function&& f) const {
    for (index_t i = n; i-- > 0;) f(i);
  }
};

template <class T>
void copy(std::span<T> from, std::span<T> to) {
  std::copy(from.begin(), from.end(), to.begin());
}

void copy_state(optimiser& from, optimiser& to) {
  copy(from.first_codes(), to.first_codes());
  copy(from.second_codes(), to.second_codes());
  copy(from.first_absmax(), to.first_absmax());
  copy(from.second_absmax(), to.second_absmax());
  to.set_steps(from.steps());
}

}  // namespace

TEST_CASE("adamw_8bit's state is two codes a parameter and two scales a block of 256") {
  optimiser state(1000);
  CHECK(state.state_bytes() == 2 * (1000 + 4 * 4));
  CHECK(state.first_codes().size() == 1000);
  CHECK(state.second_absmax().size() == 4);
  CHECK(static_cast<double>(optimiser(1 << 20).state_bytes()) / (1 << 20) == 2.03125);
  CHECK(state.steps() == 0);
  for (const std::uint8_t code : state.first_codes()) CHECK(code == 127);
  for (const std::uint8_t code : state.second_codes()) CHECK(code == 0);
}

TEST_CASE("adamw_8bit resumes from its codes, scales and step count, also after a move") {
  std::vector<float> w = random_vector<float>(700, 1), resumed = w;
  const sbora::adamw_options options = {.learning_rate = 0.01};
  optimiser whole(700, options), first(700, options), second(700, options);
  for (std::uint64_t step = 0; step < 10; ++step) {
    const std::vector<float> g = random_vector<float>(700, 10 + step);
    whole.step(w, g);
    (step < 5 ? first : second).step(resumed, g);
    if (step == 2) {
      optimiser moved(std::move(first));
      CHECK_ERROR(shape_error, "made for 0 parameters, got 700", first.step(resumed, g));
      first = std::move(moved);
    }
    if (step == 4) copy_state(first, second);
  }
  CHECK(same_bits<float>(w, resumed));
}

TEST_CASE("adamw_8bit doesn't depend on the executor") {
  for (const index_t size : {1, 255, 16384, 16385, 50001}) {
    std::vector<float> w = random_vector<float>(size, 1), other = w;
    optimiser a(size), b(size);
    for (std::uint64_t step = 0; step < 3; ++step) {
      const std::vector<float> g = random_vector<float>(size, 10 + step);
      a.step(w, g, {.learning_rate = 0.01});
      b.step(other, g, {.learning_rate = 0.01}, backwards{});
    }
    CHECK(same_bits<float>(w, other));
  }
}

TEST_CASE("the first step of adamw_8bit is adamw's, to the last bit") {
  // Moments start at zero, and what is rounded matters from the second step on.
  std::vector<float> w = random_vector<float>(300, 1), other = w;
  const std::vector<float> g = random_vector<float>(300, 2);
  optimiser a(300);
  sbora::adamw<float> b(300);
  a.step(w, g, {.learning_rate = 0.01, .gradient_scale = 0.5});
  b.step(other, g, {.learning_rate = 0.01, .gradient_scale = 0.5});
  CHECK(same_bits<float>(w, other));
}

TEST_CASE("adamw_8bit finds the minimum that adamw finds") {
  // A quadratic bowl whose axes' curvatures differ by 1:100, from gradients with noise.
  constexpr index_t size = 1024;
  const std::vector<float> target = random_vector<float>(size, 1);
  const auto distance_after = [&](auto&& state) {
    std::vector<float> w(size, 0.0F), g(size);
    for (index_t step = 0; step < 400; ++step) {
      const std::vector<float> noise = random_vector<float>(size, 100 + static_cast<std::uint64_t>(step));
      for (std::size_t i = 0; i < g.size(); ++i) {
        const float curvature = 0.01F + static_cast<float>(i % 100) / 100;
        g[i] = curvature * (w[i] - target[i] + 0.1F * noise[i]);
      }
      state.step(w, g, {.learning_rate = 0.02 * (1 - static_cast<double>(step) / 400)});
    }
    double sum = 0;
    for (std::size_t i = 0; i < g.size(); ++i) sum += std::pow(static_cast<double>(w[i] - target[i]), 2);
    return std::sqrt(sum / size);
  };
  const sbora::adamw_options options = {.weight_decay = 0};
  const double full = distance_after(sbora::adamw<float>(size, options));
  const double coarse = distance_after(optimiser(size, options));
  CHECK(full < 0.02);  // from 0.58
  CHECK(coarse < 0.02);
}

TEST_CASE("a parameter whose gradients are small beside its block's doesn't run away") {
  // Its second moment is 10^-8 of the greatest and would be rounded to zero, its first isn't: the step would be
  // of m / epsilon.
  std::vector<float> w(256, 0.0F), g(256, 1.0F);
  optimiser state(256, {.weight_decay = 0});
  for (int step = 0; step < 50; ++step) {
    g[7] = step % 10 == 9 ? 0.0F : 1e-4F;
    const float before = w[7];
    state.step(w, g, {.learning_rate = 1e-3});
    if (!(std::fabs(w[7] - before) < 1.2e-3)) FAIL("step " << step << " moved it by " << w[7] - before);
  }
}

TEST_CASE("adamw_8bit rejects spans and options as adamw does, before anything is written") {
  std::vector<float> ten = random_vector<float>(10, 1), eleven(11);
  const std::vector<float> before = ten;
  optimiser state(10);
  CHECK_ERROR(shape_error, "sbora::adamw_8bit: made for 10 parameters, got 10 and 11 gradients",
              state.step(ten, eleven));
  CHECK_ERROR(config_error, "sbora::adamw_8bit: the learning rate must be finite",
              state.step(ten, before, {std::numeric_limits<double>::quiet_NaN()}));
  CHECK(state.steps() == 0);
  CHECK(same_bits<float>(ten, before));
  CHECK_ERROR(shape_error, "sbora::adamw_8bit: no parameters", optimiser(0));
  CHECK_ERROR(config_error, "sbora::adamw_8bit: beta2 must be in [0, 1), got 1.0", optimiser(3, {.beta2 = 1}));
}
