// Lion and Muon as objects: state, resuming, executors, options, blocks; what Muon's directions are.

#include <sbora/adapters/adapter.hpp>
#include <sbora/executors/thread_pool.hpp>
#include <sbora/optimisers/lion.hpp>
#include <sbora/optimisers/muon.hpp>
#include <sbora/regions/sample.hpp>

#include <cmath>
#include <limits>

#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::config_error;
using sbora::lion;
using sbora::muon;
using sbora::parameter_block;
using sbora::shape_error;

namespace {

/// Tall, wide, square, a vector, and one above a task of the passes and above the few rows of a product.
const std::vector<parameter_block> blocks = {{0, 30, 4}, {120, 5, 40}, {320, 7, 7}, {369, 1, 9}, {378, 90, 200}};
constexpr index_t parameter_count = 378 + 90 * 200;

/// An executor that runs tasks backwards.
struct backwards {
  template <class Function>
  void parallel_for(index_t n, Function&& f) const {
    for (index_t i = n; i-- > 0;) f(i);
  }
};

/// Ten steps in one go; and five, a move, then five by an object that was given the state of the first.
template <class Optimiser>
void check_resuming(const Optimiser& like, Optimiser whole, Optimiser first, Optimiser second) {
  const index_t count = like.parameter_count();
  std::vector<float> w = random_vector<float>(count, 1), resumed = w;
  for (std::uint64_t step = 0; step < 10; ++step) {
    const std::vector<float> g = random_vector<float>(count, 10 + step);
    whole.step(w, g);
    (step < 5 ? first : second).step(resumed, g);
    if (step == 2) {
      Optimiser moved(std::move(first));
      CHECK_ERROR(shape_error, "made for 0 parameters, got " + std::to_string(count), first.step(resumed, g));
      first = std::move(moved);
    }
    if (step != 4) continue;
    std::ranges::copy(first.momentum(), second.momentum().begin());
    second.set_steps(first.steps());
  }
  CHECK(same_bits<float>(w, resumed));
}

template <class Optimiser, class Shape>
void check_executors(const Shape& shape) {
  Optimiser a(shape), b(shape), c(shape);
  std::vector<double> w = random_vector<double>(a.parameter_count(), 1), other = w, threaded = w;
  sbora::thread_pool pool(3);
  for (std::uint64_t step = 0; step < 3; ++step) {
    const std::vector<double> g = random_vector<double>(a.parameter_count(), 10 + step);
    a.step(w, g, {.learning_rate = 0.01});
    b.step(other, g, {.learning_rate = 0.01}, backwards{});
    c.step(threaded, g, {.learning_rate = 0.01}, pool);
  }
  CHECK(same_bits<double>(w, other));
  CHECK(same_bits<double>(w, threaded));
}

template <class Optimiser>
void check_steps(Optimiser optimiser) {
  const std::string name = Optimiser::name;
  std::vector<float> w = {1, 2}, more = {1, 2, 3};
  const std::vector<float> g = {1, 1}, before = w;
  CHECK_ERROR(shape_error, name + ": made for 2 parameters, got 3 and 2 gradients", optimiser.step(more, g));
  CHECK_ERROR(config_error, "the learning rate", optimiser.step(w, g, {std::numeric_limits<double>::quiet_NaN()}));
  CHECK_ERROR(config_error, "39, above the greatest float", optimiser.step(w, g, {1e39}));
  CHECK_ERROR(config_error, name + ": gradient_scale must be finite, got inf",
              optimiser.step(w, g, {0.1, std::numeric_limits<double>::infinity()}));
  CHECK_ERROR(config_error, name + ": steps must not be negative, got -1.0", optimiser.set_steps(-1));
  CHECK(optimiser.steps() == 0);
  CHECK(w == before);
  optimiser.step(w, g, {.learning_rate = 0});
  CHECK(w == before);
  CHECK(optimiser.momentum()[1] != 0);
  CHECK(optimiser.steps() == 1);
}

/// The direction of a first step of Muon without decay, as rows × cols, before the scale.
std::vector<double> first_direction(index_t rows, index_t cols, const std::vector<double>& g) {
  muon<double> optimiser(std::vector<parameter_block>{{0, rows, cols}}, {.weight_decay = 0});
  std::vector<double> w(g.size(), 0.0);
  optimiser.step(w, g, {.learning_rate = -1 / std::sqrt(std::max(1.0, double(rows) / double(cols)))});
  return w;
}

}  // namespace

TEST_CASE("lion and muon have one momentum for each parameter") {
  lion<float> a(37);
  muon<float> b(blocks);
  CHECK(a.state_bytes() == 37 * 4);
  CHECK(a.momentum().size() == 37);
  CHECK(b.state_bytes() == parameter_count * 4);
  CHECK(b.parameter_count() == parameter_count);
  for (const float m : b.momentum()) CHECK(m == 0);
}

TEST_CASE("lion and muon resume from their momentum and step count, also after a move") {
  const sbora::lion_options slow = {.learning_rate = 0.01, .weight_decay = 0.1};
  const auto make_lion = [&] { return lion<float>(700, slow); };
  check_resuming(make_lion(), make_lion(), make_lion(), make_lion());
  const auto make_muon = [&] { return muon<float>(blocks, {.learning_rate = 0.01}); };
  check_resuming(make_muon(), make_muon(), make_muon(), make_muon());
}

TEST_CASE("lion and muon don't depend on the executor") {
  for (const index_t size : {1, 16383, 16384, 16385, 50001}) check_executors<lion<double>>(size);
  check_executors<muon<double>>(blocks);
}

TEST_CASE("lion and muon reject spans and options, before anything is written") {
  check_steps(lion<float>(2));
  check_steps(muon<float>(std::vector<parameter_block>{{0, 2, 1}}));
  CHECK_ERROR(shape_error, "sbora::lion: no parameters", lion<float>(0));
  CHECK_ERROR(shape_error, "sbora::muon: no parameters", muon<float>(std::vector<parameter_block>{}));
  const auto make = [](sbora::lion_options options) { return lion<float>(3, options); };
  CHECK_ERROR(config_error, "sbora::lion: learning_rate must be positive, got 0.0", make({.learning_rate = 0}));
  CHECK_ERROR(config_error, "sbora::lion: beta1 must be in [0, 1), got 1.0", make({.beta1 = 1}));
  CHECK_ERROR(config_error, "sbora::lion: beta2 must be in [0, 1), got -0.5", make({.beta2 = -0.5}));
  CHECK_ERROR(config_error, "sbora::lion: weight_decay must not be negative, got -1.0", make({.weight_decay = -1}));
  const auto make_muon = [](sbora::muon_options options) { return muon<float>(blocks, options); };
  CHECK_ERROR(config_error, "sbora::muon: learning_rate must be positive, got 0.0", make_muon({.learning_rate = 0}));
  CHECK_ERROR(config_error, "sbora::muon: momentum must be in [0, 1), got 1.0", make_muon({.momentum = 1}));
  CHECK_ERROR(config_error, "sbora::muon: weight_decay must not be negative", make_muon({.weight_decay = -1}));
}

TEST_CASE("blocks that don't follow one another from 0 on are rejected") {
  const auto make = [](std::vector<parameter_block> shapes) { return muon<float>(shapes); };
  CHECK_ERROR(shape_error, "sbora::muon: a block of 2 x 3 at 1; blocks follow one another without gaps, the next at 0",
              make({{1, 2, 3}}));
  CHECK_ERROR(shape_error, "a block of 2 x 2 at 5; blocks follow one another without gaps, the next at 6",
              make({{0, 2, 3}, {5, 2, 2}}));
  CHECK_ERROR(shape_error, "a block of 2 x 2 at 7", make({{0, 2, 3}, {7, 2, 2}}));
  CHECK_ERROR(shape_error, "a block of 0 x 3 at 0", make({{0, 0, 3}}));
  CHECK_ERROR(shape_error, "a block of -1 x -1 at 0", make({{0, -1, -1}}));
  const index_t half = index_t{1} << 40;
  CHECK_ERROR(shape_error, "at 0", make({{0, half, half}}));
  CHECK_ERROR(shape_error, "sbora::lion: a block of 2 x 3 at 1", lion<float>(std::vector<parameter_block>{{1, 2, 3}}));
  CHECK(lion<float>(blocks).parameter_count() == parameter_count);
}

TEST_CASE("an adapter's trained half is one block: d_out x r of FA, r x d_in of FB") {
  const sbora::fa_adapter<float> fa(20, 30, sbora::sample_region(30, 4, 1));
  const sbora::fb_adapter<float> fb(20, 30, sbora::sample_region(20, 4, 1));
  CHECK(fa.blocks()[0] == parameter_block{0, 20, 4});
  CHECK(fb.blocks()[0] == parameter_block{0, 4, 30});
  CHECK(muon<float>(fa.blocks()).parameter_count() == fa.parameter_count());
}

TEST_CASE("muon's directions are nearly orthogonal, for tall and wide matrices alike") {
  // The quintic takes singular values from 0.01 on to [0.68, 1.14] in five iterations (its author: [0.7, 1.2] of bf16).
  for (const auto& [rows, cols] : {std::pair{6, 24}, std::pair{24, 6}, std::pair{8, 8}}) {
    CAPTURE(rows, cols);
    const std::vector<double> x = first_direction(rows, cols, random_vector<double>(rows * cols, 3));
    const Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> m(x.data(), rows,
                                                                                                     cols);
    // Singular values by the trace of powers: all of k values s with 0.6 < s < 1.25.
    const Eigen::MatrixXd gram = rows < cols ? Eigen::MatrixXd(m * m.transpose()) : Eigen::MatrixXd(m.transpose() * m);
    const Eigen::MatrixXd off = gram - Eigen::MatrixXd::Identity(gram.rows(), gram.cols());
    CHECK(gram.trace() / static_cast<double>(gram.rows()) > 0.6);
    CHECK(gram.trace() / static_cast<double>(gram.rows()) < 1.4);
    CHECK(off.norm() < 0.6 * std::sqrt(static_cast<double>(gram.rows())));
  }
}

TEST_CASE("muon of a transposed gradient is the transposed direction") {
  const std::vector<double> g = random_vector<double>(7 * 12, 5);
  std::vector<double> turned(g.size());
  for (std::size_t i = 0; i < 7; ++i)
    for (std::size_t j = 0; j < 12; ++j) turned[j * 7 + i] = g[i * 12 + j];
  const std::vector<double> wide = first_direction(7, 12, g), tall = first_direction(12, 7, turned);
  for (std::size_t i = 0; i < 7; ++i)
    for (std::size_t j = 0; j < 12; ++j) CHECK(std::abs(wide[i * 12 + j] - tall[j * 7 + i]) < 1e-12);
}

TEST_CASE("muon's direction doesn't depend on the gradient's size, and a gradient of zeros only decays") {
  const std::vector<float> g = random_vector<float>(60, 4);
  const std::vector<parameter_block> shape = {{0, 6, 10}};
  const auto step = [&](double scale) {
    std::vector<float> w(60, 0.0F);
    muon<float>(shape).step(w, g, {.learning_rate = 1, .gradient_scale = scale});
    return w;
  };
  const std::vector<float> expected = step(1);
  for (const double scale : {0x1p-20, 0x1p60, 0x1p120}) {
    CAPTURE(scale);
    CHECK(same_bits<float>(step(scale), expected));  // powers of two move no rounding
  }
  std::vector<float> w(60, 1.0F);
  muon<float>(shape).step(w, std::vector<float>(60, 0.0F), {.learning_rate = 0.5});
  for (const float value : w) CHECK(value == 0.95F);
}

TEST_CASE("a gradient that isn't finite makes its matrix NaN, and no other") {
  std::vector<float> w(12, 1.0F), g = random_vector<float>(12, 4);
  g[2] = std::numeric_limits<float>::quiet_NaN();
  muon<float>(std::vector<parameter_block>{{0, 2, 3}, {6, 2, 3}}).step(w, g);
  for (std::size_t i = 0; i < 12; ++i) CHECK(std::isfinite(w[i]) == (i >= 6));
}
