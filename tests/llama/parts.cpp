#include "support/catch.hpp"

#include <functional>
#include <vector>

#include <sbora/core/random.hpp>

#include "model/attention.hpp"
#include "model/loss.hpp"
#include "model/rms_norm.hpp"
#include "model/rotary.hpp"
#include "model/swiglu.hpp"

// Gradients against central differences in double: at a step of 1e-5 those are off by about 1e-10 from
// truncation and 1e-11 from rounding, for values and derivatives of about 1.

namespace {

using llama::index_t;
using values = llama::matrix_of<double>;

constexpr double step = 1e-5;
constexpr double tolerance = 1e-7;

values random_values(index_t rows, index_t cols, std::uint64_t seed) {
  sbora::random_stream random(seed);
  values result(rows, cols);
  for (index_t i = 0; i < result.size(); ++i) result.data()[i] = 2 * random.uniform() - 1;
  return result;
}

/// How far `gradient` is from the differences of f, which reads x; at some elements of many.
double worst_difference(Eigen::Map<values> x, const values& gradient, const std::function<double()>& f,
                        index_t every = 1) {
  double worst = 0;
  for (index_t i = 0; i < x.size(); i += every) {
    const double original = x.data()[i];
    x.data()[i] = original + step;
    const double above = f();
    x.data()[i] = original - step;
    const double below = f();
    x.data()[i] = original;
    const double off = std::fabs((above - below) / (2 * step) - gradient.data()[i]);
    if (!std::isfinite(off)) return off;
    worst = std::max(worst, off);
  }
  return worst;
}
double worst_difference(values& x, const values& gradient, const std::function<double()>& f, index_t every = 1) {
  return worst_difference(Eigen::Map<values>(x.data(), x.rows(), x.cols()), gradient, f, every);
}

}  // namespace

TEST_CASE("rms_norm: values, gradient of its input and of its gain") {
  llama::thread_pool pool(2);
  values x = random_values(35, 13, 1);
  std::vector<double> gain(13);
  for (std::size_t i = 0; i < gain.size(); ++i) gain[i] = 0.5 + 0.1 * static_cast<double>(i);
  const values weights = random_values(35, 13, 2);
  const double epsilon = 1e-3;
  values y;
  std::vector<double> inverse;
  const auto f = [&] {
    llama::rms_norm<double>(x, gain, epsilon, y, inverse, pool);
    return (y.array() * weights.array()).sum();
  };
  f();
  const double rms = std::sqrt(x.row(34).squaredNorm() / 13 + epsilon);
  CHECK(y(34, 12) == Approx(x(34, 12) / rms * gain[12]).epsilon(1e-14));

  values again;
  llama::rms_norm_again<double>(x, gain, inverse, again, pool);
  CHECK(again == y);

  values dx = values::Constant(35, 13, 0.25);  // added to
  llama::rms_norm_backward<double>(x, gain, inverse, weights, dx, pool);
  dx.array() -= 0.25;
  CHECK(worst_difference(x, dx, f) < tolerance);
  f();
  values dgain = values::Zero(1, 13);
  llama::rms_norm_gain_gradient<double>(x, inverse, weights, {dgain.data(), 13}, pool);
  CHECK(worst_difference(Eigen::Map<values>(gain.data(), 1, 13), dgain, f) < tolerance);
}

TEST_CASE("swiglu: gradients of gate and up") {
  llama::thread_pool pool(2);
  values gate = random_values(5, 37, 3) * 4;
  values up = random_values(5, 37, 4);
  const values weights = random_values(5, 37, 5);
  values y;
  const auto f = [&] {
    llama::swiglu(gate, up, y, pool);
    return (y.array() * weights.array()).sum();
  };
  f();
  CHECK(y(2, 3) == Approx(gate(2, 3) / (1 + std::exp(-gate(2, 3))) * up(2, 3)).epsilon(1e-14));
  values dgate = weights;
  values dup;
  llama::swiglu_backward(gate, up, dgate, dup, pool);
  CHECK(worst_difference(gate, dgate, f) < tolerance);
  CHECK(worst_difference(up, dup, f) < tolerance);
}

TEST_CASE("rotation keeps lengths, its backward undoes it, and scores depend on distance alone") {
  llama::thread_pool pool(2);
  llama::model_config config;
  config.head_dim = 6;
  config.rope_theta = 100;
  llama::rotary_table<double> table;
  table.extend(config, 12);
  REQUIRE(table.cosine.rows() == 12);
  const values x = random_values(2, 12, 6);
  values turned = x;
  const std::vector<index_t> positions = {3, 7};
  llama::rotate<double>(turned, config, positions, table, llama::rotation::forward, pool);
  // Pairs are (i, i + 3) of each of two heads.
  CHECK(turned(0, 6) == Approx(x(0, 6) * std::cos(3.0) - x(0, 9) * std::sin(3.0)).epsilon(1e-12));
  CHECK(turned(0, 9) == Approx(x(0, 9) * std::cos(3.0) + x(0, 6) * std::sin(3.0)).epsilon(1e-12));
  const double score = turned.row(0).head(6).dot(turned.row(1).head(6));
  values back = turned;
  llama::rotate<double>(back, config, positions, table, llama::rotation::backward, pool);
  CHECK((back - x).cwiseAbs().maxCoeff() < 1e-14);

  values moved = x;
  const std::vector<index_t> later = {7, 11};
  llama::rotate<double>(moved, config, later, table, llama::rotation::forward, pool);
  // Angles are floats: rounded to 11 * 2^-24 at most.
  CHECK(moved.row(0).head(6).dot(moved.row(1).head(6)) == Approx(score).margin(6 * 4 * 11 * 0x1p-24));

  // Where halves alternate, the same numbers are elsewhere.
  const auto alternating = [](const values& halves) {
    values between(halves.rows(), halves.cols());
    for (index_t i = 0; i < 12; ++i) between.col(i / 6 * 6 + i % 3 * 2 + i % 6 / 3) = halves.col(i);
    return between;
  };
  config.arch.adjacent_pairs = true;
  values adjacent = alternating(x);
  llama::rotate<double>(adjacent, config, positions, table, llama::rotation::forward, pool);
  CHECK(adjacent == alternating(turned));
  llama::rotate<double>(adjacent, config, positions, table, llama::rotation::backward, pool);
  CHECK(adjacent == alternating(back));
}

TEST_CASE("LLaMA-3's rope scaling: short wavelengths stay, long ones are stretched") {
  llama::model_config config;
  config.head_dim = 64;
  config.rope_theta = 500000;
  const Eigen::ArrayXf plain = llama::rotary_table<float>::frequencies(config);
  config.scaling = llama::rope_scaling{.factor = 8, .original_max_position_embeddings = 8192};
  const Eigen::ArrayXf scaled = llama::rotary_table<float>::frequencies(config);
  CHECK(plain(0) == 1.0f);
  CHECK(scaled(0) == plain(0));
  CHECK(scaled(31) == plain(31) / 8);
  bool between = false;
  for (index_t i = 0; i < 32; ++i) {
    CHECK(scaled(i) <= plain(i));
    CHECK(scaled(i) >= plain(i) / 8);
    between |= scaled(i) < plain(i) && scaled(i) > plain(i) / 8;
  }
  CHECK(between);
}

TEST_CASE("attention: against its definition, and gradients") {
  llama::thread_pool pool(3);
  const auto [query, key_value] = GENERATE(std::pair{4, 2}, std::pair{3, 3}, std::pair{2, 1});
  llama::attention_heads heads(query, key_value, 6);
  heads.window = GENERATE(as<index_t>{}, llama::all_keys, 1, 7, llama::query_block + 1);
  if (heads.window == 7) heads.multiplier = 0.3;
  const double scale = heads.multiplier.value_or(1 / std::sqrt(6.0));
  // One sequence of more than a block of queries, a short one, and one of a single token.
  const std::vector<llama::token_range> sequences = {
      {0, llama::query_block + 3}, {llama::query_block + 3, 5}, {llama::query_block + 8, 1}};
  const index_t tokens = llama::query_block + 9;
  values q = random_values(tokens, query * 6, 7) * 2;
  values k = random_values(tokens, key_value * 6, 8) * 2;
  values v = random_values(tokens, key_value * 6, 9);
  const values weights = random_values(tokens, query * 6, 10);
  values y, log_sums;
  const auto f = [&] {
    llama::attention<double>(q, k, v, sequences, heads, y, log_sums, pool);
    return (y.array() * weights.array()).sum();
  };
  f();
  for (const auto& [first, length] : sequences) {
    for (index_t head = 0; head < query; ++head) {
      const index_t shared = head / (query / key_value);
      for (index_t t = 0; t < length; ++t) {
        Eigen::RowVectorXd softmax = Eigen::RowVectorXd::Zero(t + 1);
        for (index_t j = 0; j <= t; ++j) {
          if (t - j >= heads.window) continue;
          softmax(j) =
              std::exp(q.row(first + t).segment(head * 6, 6).dot(k.row(first + j).segment(shared * 6, 6)) * scale);
        }
        softmax /= softmax.sum();
        const Eigen::RowVectorXd expected = softmax * v.block(first, shared * 6, t + 1, 6);
        CHECK((y.row(first + t).segment(head * 6, 6) - expected).cwiseAbs().maxCoeff() < 1e-13);
      }
    }
  }

  values dq, dk, dv;
  llama::attention_backward<double>(q, k, v, log_sums, weights, sequences, heads, dq, dk, dv, pool);
  CHECK(worst_difference(q, dq, f, 23) < tolerance);
  CHECK(worst_difference(k, dk, f, 23) < tolerance);
  CHECK(worst_difference(v, dv, f, 23) < tolerance);
}

TEST_CASE("softmax cross-entropy: losses and gradient, also of large logits") {
  llama::thread_pool pool(2);
  const values logits = (random_values(19, 11, 11) * 3).array() + 500;
  std::vector<std::int32_t> labels(19);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 11);
  std::vector<double> losses(19), alone(19);
  values x = logits;
  const auto f = [&] {
    values used = x;
    llama::cross_entropy<double>(used, labels, alone, pool);
    double sum = 0;
    for (const double loss : alone) sum += loss;
    return 0.5 * sum;
  };
  f();
  values gradient = logits;
  llama::softmax_cross_entropy<double>(gradient, labels, 0.5, losses, pool);
  CHECK(losses == alone);
  const double sum = (logits.row(4).array() - logits(4, 4)).exp().sum();
  CHECK(losses[4] == Approx(std::log(sum)).epsilon(1e-12));
  // Sums of losses are rounded to about 60 * 2^-53, which the step divides.
  CHECK(worst_difference(x, gradient, f) < tolerance);
}
