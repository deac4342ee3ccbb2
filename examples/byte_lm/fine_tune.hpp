#pragma once

#include <algorithm>
#include <array>
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
template <class Base>
struct session {
  const options& settings;
  Base& base;
  const corpus& base_text;
  const corpus& task_text;
  thread_pool& pool;
  std::vector<loss_record>& log;
};

/// The network without adapters, which computes with whatever is merged.
template <class Base>
auto plain_network(const session<Base>& with) {
  using layer = frozen_layer<Base>;
  return network<layer, layer>(with.base.model(), layer(with.base, 0), layer(with.base, 1),
                               layer(with.base, output_layer));
}

/// Its results for the first held-out bytes of the task.
template <class Base>
matrix plain_logits(const session<Base>& with) {
  constexpr index_t most = 512;
  auto plain = plain_network(with);
  const index_t first = with.task_text.first_held_out_position();
  batch examples;
  for (index_t i = first; i < std::min(first + most, with.task_text.size()); ++i) examples.add(with.task_text, i);
  plain.forward(examples, pass::evaluate, with.pool);
  return plain.logits();
}

/// Numbers that differ in any bit.
inline index_t count_different(const matrix& a, const matrix& b) {
  index_t different = 0;
  for (index_t i = 0; i < a.size(); ++i) {
    different += std::memcmp(a.data() + i, b.data() + i, sizeof(float)) != 0;
  }
  return different;
}

/// Trains one method and measures it. make(layer, parameters, gradient) makes the adapter layer over
/// its part of one flat array, so that a single optimiser, clip and (elsewhere) all-reduce serve both
/// layers.
template <class Base, class Make>
method_result fine_tune(const session<Base>& with, std::string key, std::string name, index_t parameters_a_layer,
                        Make make) {
  const auto half = static_cast<std::size_t>(parameters_a_layer);
  std::vector<float> parameters(2 * half);
  std::vector<float> gradient(2 * half);
  const auto layer = [&](int index) {
    const std::size_t first = static_cast<std::size_t>(index) * half;
    return make(index, std::span(parameters).subspan(first, half), std::span(gradient).subspan(first, half));
  };
  network<decltype(layer(0)), frozen_layer<Base>> net(with.base.model(), layer(0), layer(1),
                                                      frozen_layer<Base>(with.base, output_layer));

  method_result result{.key = std::move(key), .name = std::move(name)};
  result.parameters = std::ssize(parameters);
  result.frozen_bytes = with.base.bytes();
  result.task_before = held_out_loss(net, with.task_text, with.pool);
  result.base_before = held_out_loss(net, with.base_text, with.pool);
  const training plan{.key = result.key,
                      .phase = result.name,
                      .steps = with.settings.steps,
                      .batch = with.settings.batch,
                      .learning_rate = with.settings.learning_rate,
                      .seed = with.settings.seed + 1,
                      .optimiser = with.settings.optimiser};
  const training_result trained = train(net, parameters, gradient, nullptr, with.task_text, plan, with.pool, with.log);
  result.optimiser_bytes = trained.optimiser_bytes;
  result.step_seconds = trained.step_seconds;
  result.task_after = held_out_loss(net, with.task_text, with.pool);
  result.base_after = held_out_loss(net, with.base_text, with.pool);

  const auto original = with.base.save();
  const std::array values = {with.base.values(0), with.base.values(1)};
  const matrix logits = plain_logits(with);
  const auto changed = [&] {
    return count_different(values[0], with.base.values(0)) + count_different(values[1], with.base.values(1));
  };
  for (int index : {0, 1}) net.hidden(index).merge(with.pool);
  result.merge_changed = changed();
  auto merged = plain_network(with);
  result.task_merged = held_out_loss(merged, with.task_text, with.pool);
  for (int index : {0, 1}) net.hidden(index).unmerge(with.pool);
  result.unmerge_differences = changed();
  result.unmerge_exact = with.base.is(original) && count_different(logits, plain_logits(with)) == 0;
  // An inexact method must not hand a changed base to the next.
  with.base.restore(original);
  return result;
}

}  // namespace byte_lm
