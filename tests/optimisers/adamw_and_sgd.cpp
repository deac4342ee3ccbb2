// The optimisers as objects: state, resuming, sizes around tasks, decoupled decay, errors.

#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/adamw_8bit.hpp>
#include <sbora/optimisers/sgd.hpp>

#include <limits>

#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adamw;
using sbora::config_error;
using sbora::sgd;
using sbora::sgd_options;
using sbora::shape_error;

namespace {

const double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// An executor that runs tasks backwards.
struct backwards {
  template <class Function>
  void parallel_for(index_t n, Function&& f) const {
    for (index_t i = n; i-- > 0;) f(i);
  }
};

/// Ten steps in one go, and five, then five by an object that was given the state of the first.
template <class Optimiser, class Options, class CopyState>
void check_resuming(Options options, CopyState copy_state) {
  std::vector<float> w = random_vector<float>(37, 1), resumed = w;
  Optimiser whole(37, options), first(37, options), second(37, options);
  for (std::uint64_t step = 0; step < 10; ++step) {
    const std::vector<float> g = random_vector<float>(37, 10 + step);
    whole.step(w, g);
    (step < 5 ? first : second).step(resumed, g);
    if (step == 4) {
      copy_state(first, second);
      second.set_steps(first.steps());
    }
  }
  CHECK(same_bits<float>(w, resumed));
}

void copy(std::span<float> from, std::span<float> to) { std::copy(from.begin(), from.end(), to.begin()); }

template <class Optimiser, class Options>
void check_executors(Options options) {
  // Just below, at and above one task of 16384, and several.
  for (const index_t size : {1, 16383, 16384, 16385, 50001}) {
    std::vector<double> w = random_vector<double>(size, 1), other = w;
    Optimiser a(size, options), b(size, options);
    for (std::uint64_t step = 0; step < 3; ++step) {
      const std::vector<double> g = random_vector<double>(size, 10 + step);
      a.step(w, g, {.learning_rate = 0.01});
      b.step(other, g, {.learning_rate = 0.01}, backwards{});
    }
    CHECK(same_bits<double>(w, other));
  }
}

}  // namespace

TEST_CASE("adamw's state is two moments") {
  adamw<float> optimiser(37);
  CHECK(optimiser.state_bytes() == 2 * 37 * 4);
  CHECK(optimiser.first_moment().size() == 37);
  CHECK(optimiser.second_moment().size() == 37);
  CHECK(optimiser.steps() == 0);
  CHECK(optimiser.options().beta2 == 0.999);
  for (const float m : optimiser.second_moment()) CHECK(m == 0);
  CHECK(adamw<double>(5).state_bytes() == 2 * 5 * 8);
}

TEST_CASE("sgd's state is a velocity, none without momentum") {
  sgd<float> with_momentum(37, {.momentum = 0.9}), without(37);
  CHECK(with_momentum.state_bytes() == 37 * 4);
  CHECK(with_momentum.velocity().size() == 37);
  CHECK(without.state_bytes() == 0);
  CHECK(without.velocity().empty());
}

TEST_CASE("adamw resumes from its moments and step count") {
  check_resuming<adamw<float>>(sbora::adamw_options{.learning_rate = 0.01}, [](adamw<float>& from, adamw<float>& to) {
    copy(from.first_moment(), to.first_moment());
    copy(from.second_moment(), to.second_moment());
  });
}

TEST_CASE("sgd resumes from its velocity and step count") {
  check_resuming<sgd<float>>(sgd_options{.learning_rate = 0.01, .momentum = 0.9, .dampening = 0.4},
                             [](sgd<float>& from, sgd<float>& to) { copy(from.velocity(), to.velocity()); });
}

TEST_CASE("steps don't depend on the executor") {
  check_executors<adamw<double>>(sbora::adamw_options{});
  check_executors<sgd<double>>(sgd_options{.momentum = 0.9, .weight_decay = 0.1, .nesterov = true});
}

// test_lorafa.py of PEFT's test suite.
TEST_CASE("adamw's decay is decoupled: p_decayed is p·(1 - lr·decay) apart from the rest") {
  std::vector<double> with = random_vector<double>(64, 1), without = with;
  const std::vector<double> g = random_vector<double>(64, 2), start = with;
  adamw<double>(64, {.learning_rate = 0.1, .weight_decay = 0.5}).step(with, g);
  adamw<double>(64, {.learning_rate = 0.1, .weight_decay = 0}).step(without, g);
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(with[i] == Approx(without[i] - 0.05 * start[i]).epsilon(1e-14).margin(1e-15));
  }
}

TEST_CASE("a learning rate of zero changes nothing but the state") {
  std::vector<float> w = random_vector<float>(37, 1);
  const std::vector<float> start = w, g = random_vector<float>(37, 2);
  adamw<float> optimiser(37);
  optimiser.step(w, g, {.learning_rate = 0});
  CHECK(same_bits<float>(w, start));
  CHECK(optimiser.first_moment()[3] != 0);
}

TEST_CASE("spans of the wrong size are rejected by all sizes, before anything is written") {
  std::vector<float> ten = random_vector<float>(10, 1), eleven(11);
  const std::vector<float> before = ten;
  adamw<float> optimiser(10);
  sgd<float> other(10);
  CHECK_ERROR(shape_error, "sbora::adamw: made for 10 parameters, got 10 and 11 gradients",
              optimiser.step(ten, eleven));
  CHECK_ERROR(shape_error, "got 11 and 10 gradients", optimiser.step(eleven, ten));
  CHECK_ERROR(shape_error, "sbora::sgd: made for 10 parameters, got 10 and 0 gradients",
              other.step(ten, std::span<const float>{}));
  CHECK(optimiser.steps() == 0);
  CHECK(other.steps() == 0);
  CHECK(same_bits<float>(ten, before));
  CHECK_ERROR(shape_error, "sbora::adamw: no parameters", adamw<float>(0));
  CHECK_ERROR(shape_error, "sbora::adamw: no parameters", adamw<float>(-1));
  CHECK_ERROR(shape_error, "sbora::sgd: no parameters", sgd<float>(0));
}

TEST_CASE("adamw rejects options by their values") {
  const auto make = [](sbora::adamw_options options) { return adamw<float>(3, options); };
  CHECK_ERROR(config_error, "sbora::adamw: learning_rate must be positive, got 0.0", make({.learning_rate = 0}));
  CHECK_ERROR(config_error, "learning_rate", make({.learning_rate = not_a_number}));
  CHECK_ERROR(config_error, "learning_rate must be positive, got inf",
              make({.learning_rate = std::numeric_limits<double>::infinity()}));
  CHECK_ERROR(config_error, "beta1 must be in [0, 1), got 1.0", make({.beta1 = 1}));
  CHECK_ERROR(config_error, "beta1 must be in [0, 1), got -0.5", make({.beta1 = -0.5}));
  CHECK_ERROR(config_error, "beta2 must be in [0, 1), got 1.0", make({.beta2 = 1}));
  CHECK_ERROR(config_error, "beta2", make({.beta2 = not_a_number}));
  CHECK_ERROR(config_error, "epsilon must be positive, got 0.0", make({.epsilon = 0}));
  CHECK_ERROR(config_error, "weight_decay must not be negative, got -1.0", make({.weight_decay = -1}));
  CHECK_NOTHROW(make({.beta1 = 0, .beta2 = 0, .weight_decay = 0}));
}

TEST_CASE("a step rejects what would make the parameters not finite, before writing") {
  std::vector<float> parameters = {1, 2};
  const std::vector<float> gradient = {1, 1};
  const auto check = [&](auto optimiser) {
    CHECK_ERROR(config_error, "the learning rate must be finite, got nan",
                optimiser.step(parameters, gradient, {not_a_number}));
    CHECK_ERROR(config_error, "gradient_scale must be finite, got inf",
                optimiser.step(parameters, gradient, {0.1, std::numeric_limits<double>::infinity()}));
    CHECK(optimiser.steps() == 0);
    CHECK(parameters == std::vector<float>{1, 2});
  };
  check(adamw<float>(2));
  check(sgd<float>(2));
}

TEST_CASE("an optimiser takes its state along in a move, and what is left rejects steps") {
  const std::vector<float> gradient = {1, 1};
  const auto check = [&](auto optimiser, auto same) {
    std::vector<float> parameters = {1, 2}, expected = {1, 2};
    for (int step = 0; step < 3; ++step) same.step(expected, gradient);
    optimiser.step(parameters, gradient);
    auto moved = std::move(optimiser);
    moved.step(parameters, gradient);
    CHECK_ERROR(shape_error, "made for 0 parameters, got 2", optimiser.step(parameters, gradient));
    optimiser = std::move(moved);
    optimiser.step(parameters, gradient);
    CHECK(parameters == expected);
  };
  check(adamw<float>(2), adamw<float>(2));
  check(sgd<float>(2, {.momentum = 0.5}), sgd<float>(2, {.momentum = 0.5}));
}

TEST_CASE("sgd rejects options by their values") {
  const auto make = [](sgd_options options) { return sgd<float>(3, options); };
  CHECK_ERROR(config_error, "sbora::sgd: learning_rate must be positive, got -1.0", make({.learning_rate = -1}));
  CHECK_ERROR(config_error, "momentum must be in [0, 1), got 1.0", make({.momentum = 1}));
  CHECK_ERROR(config_error, "momentum", make({.momentum = not_a_number}));
  CHECK_ERROR(config_error, "dampening must be in [0, 1], got 1.5", make({.momentum = 0.5, .dampening = 1.5}));
  CHECK_ERROR(config_error, "weight_decay must not be negative", make({.weight_decay = -0.1}));
  CHECK_ERROR(config_error, "nesterov needs momentum", make({.nesterov = true}));
  CHECK_ERROR(config_error, "no dampening", make({.momentum = 0.5, .dampening = 0.5, .nesterov = true}));
  CHECK_NOTHROW(make({.momentum = 0.5, .dampening = 1}));
}

TEST_CASE("sizes that no memory has are refused, not wrapped around") {
  CHECK_THROWS_AS(sbora::adamw<float>(index_t{1} << 61), std::bad_alloc);
}

TEST_CASE("a step takes a learning rate as it is") {
  const auto check = [](auto named, auto plain, auto with_pool) {
    std::vector<float> a(8, 1.0F), b = a, c = a;
    const std::vector<float> gradient(8, 0.5F);
    named.step(a, gradient, {.learning_rate = 0.25});
    plain.step(b, gradient, 0.25);
    with_pool.step(c, gradient, 0.25F, sbora::serial_executor{});
    CHECK(a == b);
    CHECK(a == c);
    CHECK(a[0] < 1);
  };
  check(sbora::adamw<float>(8), sbora::adamw<float>(8), sbora::adamw<float>(8));
  check(sbora::sgd<float>(8), sbora::sgd<float>(8), sbora::sgd<float>(8));
  check(sbora::adamw_8bit<float>(8), sbora::adamw_8bit<float>(8), sbora::adamw_8bit<float>(8));
}
