#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sbora/optimisers/adamw_8bit.hpp>

#include "network.hpp"
#include "options.hpp"
#include "common/progress.hpp"

namespace byte_lm {

/// The loss of every training step, for losses.csv.
struct loss_record {
  std::string key;
  index_t step;
  double loss;
};

struct training {
  std::string key;    ///< in losses.csv
  std::string phase;  ///< on the progress line
  index_t steps;
  index_t batch;
  double learning_rate;
  std::uint64_t seed;
  optimizer optimiser = optimizer::adamw;
};

struct training_result {
  double step_seconds;  ///< median
  std::size_t optimiser_bytes;
};

/// Positions drawn with replacement. A pure function of seed and step: all methods see the same.
inline void draw_batch(const corpus& text, index_t tokens, std::uint64_t seed, index_t step, batch& examples) {
  sbora::random_stream random(seed, static_cast<std::uint64_t>(step));
  const index_t first = text.first_training_position();
  examples.clear();
  for (index_t i = 0; i < tokens; ++i) {
    examples.add(text, first + random.below(text.end_of_training() - first));
  }
}

/// Mean loss in nats per byte over positions that are spread evenly over the held-out text.
template <class Network>
double held_out_loss(Network& net, const corpus& text, thread_pool& pool) {
  constexpr index_t most = 16'384;
  constexpr index_t chunk = 512;
  const index_t first = text.first_held_out_position();
  const index_t available = text.size() - first;
  const index_t count = std::min(most, available);
  batch examples;
  double total = 0;
  for (index_t begin = 0; begin < count; begin += chunk) {
    const index_t end = std::min(begin + chunk, count);
    examples.clear();
    for (index_t i = begin; i < end; ++i) examples.add(text, first + i * available / count);
    total += net.forward(examples, pass::evaluate, pool) * static_cast<double>(end - begin);
  }
  return total / static_cast<double>(count);
}

template <class Network, class Optimiser>
training_result train_with(Optimiser optimiser, Network& net, std::span<float> parameters, std::span<float> gradient,
                           matrix_map* embedding_gradient, const corpus& text, const training& plan, thread_pool& pool,
                           std::vector<loss_record>& log) {
  const auto schedule = sbora::schedule::cosine(plan.learning_rate, plan.steps / 20, plan.steps);
  progress shown(plan.phase, 0, plan.steps);
  std::vector<double> times;
  batch examples;
  for (index_t step = 0; step < plan.steps; ++step) {
    draw_batch(text, plan.batch, plan.seed, step, examples);
    const auto start = wall_clock::now();
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    const double loss = net.forward(examples, pass::train, pool);
    if (!std::isfinite(loss)) {
      throw std::runtime_error(plan.phase + ": the loss isn't finite at step " + std::to_string(step + 1) +
                               "; try a lower --learning-rate");
    }
    net.backward(examples, embedding_gradient, pool);
    const double clip = sbora::clip_scale(sbora::gradient_norm(std::span<const float>(gradient)), /*max_norm=*/1.0);
    optimiser.step(parameters, gradient, {.learning_rate = schedule.at(step), .gradient_scale = clip}, pool);
    times.push_back(seconds_since(start));
    log.push_back({plan.key, step + 1, loss});
    shown.update(step + 1, loss, plan.batch);
  }
  std::nth_element(times.begin(), times.begin() + std::ssize(times) / 2, times.end());
  return {times[times.size() / 2], optimiser.state_bytes()};
}

/// AdamW with warm-up, cosine decay and clipping over whatever is in `parameters`: all weights in
/// pre-training, all adapters of a method in fine-tuning.
template <class Network>
training_result train(Network& net, std::span<float> parameters, std::span<float> gradient,
                      matrix_map* embedding_gradient, const corpus& text, const training& plan, thread_pool& pool,
                      std::vector<loss_record>& log) {
  const auto with = [&](auto optimiser) {
    return train_with(std::move(optimiser), net, parameters, gradient, embedding_gradient, text, plan, pool, log);
  };
  const index_t count = std::ssize(parameters);
  if (plan.optimiser == optimizer::adamw8bit) return with(sbora::adamw_8bit<float>(count));
  return with(sbora::adamw<float>(count));
}

}  // namespace byte_lm
