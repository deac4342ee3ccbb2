#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "options.hpp"
#include "report.hpp"
#include "sbora_layer.hpp"
#include "trainer.hpp"

namespace byte_lm {

/// What all methods share: the same frozen weights, texts, batches and optimiser settings.
struct session {
  const options& settings;
  std::span<float> base;
  const corpus& base_text;
  const corpus& task_text;
  thread_pool& pool;
  std::vector<loss_record>& log;

  model_view model() const { return model_view(base); }
};

/// Losses with the adapters merged into the weights, where the network without adapters is run.
inline double merged_loss(const session& with) {
  network<frozen_layer, frozen_layer> plain(with.model(), frozen_layer(with.model(), 0),
                                            frozen_layer(with.model(), 1),
                                            frozen_layer(with.model(), output_layer));
  return held_out_loss(plain, with.task_text, with.pool);
}

/// Weights that differ in any bit.
inline index_t count_different(std::span<const float> a, std::span<const float> b) {
  index_t different = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    different += std::memcmp(&a[i], &b[i], sizeof(float)) != 0;
  }
  return different;
}

/// Trains one method and measures it. make(layer, parameters, gradient) makes the adapter layer over
/// its part of one flat array, so that a single optimiser, clip and (elsewhere) all-reduce serve both
/// layers.
template <class Make>
method_result fine_tune(const session& with, std::string key, std::string name,
                        index_t parameters_a_layer, Make make) {
  const auto half = static_cast<std::size_t>(parameters_a_layer);
  std::vector<float> parameters(2 * half);
  std::vector<float> gradient(2 * half);
  const auto layer = [&](int index) {
    const std::size_t first = static_cast<std::size_t>(index) * half;
    return make(index, std::span(parameters).subspan(first, half),
                std::span(gradient).subspan(first, half));
  };
  network<decltype(layer(0)), frozen_layer> net(with.model(), layer(0), layer(1),
                                                frozen_layer(with.model(), output_layer));

  method_result result{.key = std::move(key), .name = std::move(name)};
  result.parameters = std::ssize(parameters);
  result.task_before = held_out_loss(net, with.task_text, with.pool);
  result.base_before = held_out_loss(net, with.base_text, with.pool);
  const training plan{.key = result.key,
                      .phase = result.name,
                      .steps = with.settings.steps,
                      .batch = with.settings.batch,
                      .learning_rate = with.settings.learning_rate,
                      .seed = with.settings.seed + 1};
  const training_result trained =
      train(net, parameters, gradient, nullptr, with.task_text, plan, with.pool, with.log);
  result.optimiser_bytes = trained.optimiser_bytes;
  result.step_seconds = trained.step_seconds;
  result.task_after = held_out_loss(net, with.task_text, with.pool);
  result.base_after = held_out_loss(net, with.base_text, with.pool);

  const std::vector<float> original(with.base.begin(), with.base.end());
  for (int index : {0, 1}) net.hidden(index).merge(with.pool);
  result.merge_changed = count_different(original, with.base);
  result.task_merged = merged_loss(with);
  for (int index : {0, 1}) net.hidden(index).unmerge(with.pool);
  result.unmerge_differences = count_different(original, with.base);
  // An inexact method must not hand a changed base to the next.
  std::copy(original.begin(), original.end(), with.base.begin());
  return result;
}

}  // namespace byte_lm
