#pragma once

#include <array>
#include <vector>

#include <sbora/model/combine.hpp>

#include "byte_lm/lora_layer.hpp"
#include "byte_lm/trainer.hpp"
#include "tasks.hpp"

namespace multi_task {

using byte_lm::dense_base;
using byte_lm::matrix;
using byte_lm::model_view;
using byte_lm::thread_pool;
using byte_lm::width;

/// The hidden layers, which are adapted.
inline constexpr std::array<const char*, 2> layer_names = {"hidden0", "hidden1"};

struct options {
  index_t seeds = 3;
  index_t rank = 64;
  index_t steps = 200;
  index_t base_steps = 1000;
  int threads = 2;
};

/// What all questions of one seed share.
struct setting {
  const options& set;
  std::uint64_t seed;
  dense_base base;
  const corpus& base_text;
  const std::array<corpus, task_count>& tasks;
  thread_pool& pool;
};

/// Held-out losses of the tasks, and of the base text, in nats a byte.
struct losses {
  std::array<double, task_count> of_task;
  double of_base;
};

/// The network as it is, with whatever is merged.
inline auto plain_network(setting& with) {
  using layer = byte_lm::frozen_layer<dense_base>;
  return byte_lm::network<layer, layer>(with.base.model(), layer(with.base, 0), layer(with.base, 1),
                                        layer(with.base, byte_lm::output_layer));
}

inline losses measure(setting& with) {
  auto net = plain_network(with);
  losses found{};
  for (std::size_t task = 0; task < task_count; ++task) {
    found.of_task[task] = held_out_loss(net, with.tasks[task], with.pool);
  }
  found.of_base = held_out_loss(net, with.base_text, with.pool);
  return found;
}

using regions = std::array<sbora::region, 2>;

/// Trains both layers on a task, over what is merged. make(layer, parameters, gradient) makes an adapter's layer.
template <class Make>
void train_task(setting& with, std::size_t task, std::span<float> parameters, const Make& make) {
  const std::size_t half = parameters.size() / 2;
  std::vector<float> gradient(parameters.size());
  const auto layer = [&](int index) {
    const std::size_t first = static_cast<std::size_t>(index) * half;
    return make(index, parameters.subspan(first, half), std::span(gradient).subspan(first, half));
  };
  using output = byte_lm::frozen_layer<dense_base>;
  byte_lm::network<decltype(layer(0)), output> net(with.base.model(), layer(0), layer(1),
                                                   output(with.base, byte_lm::output_layer));
  std::vector<byte_lm::loss_record> log;
  byte_lm::train(net, parameters, gradient, nullptr, with.tasks[task],
                 {.key = "task",
                  .phase = std::string(task_names[task]) + ", seed " + std::to_string(with.seed),
                  .steps = with.set.steps,
                  .batch = 512,
                  .learning_rate = 5e-3,
                  .seed = with.seed + 1},
                 with.pool, log);
}

/// An FA or FB adapter of both layers, trained on a task.
template <sbora::adapter_kind Kind>
sbora::model_adapter<float> train_sbora(setting& with, std::size_t task, const regions& on) {
  std::vector<sbora::adapter_part> parts;
  for (std::size_t layer = 0; layer < 2; ++layer) {
    parts.push_back({layer_names[layer], width, width, on[layer], 2.0 * static_cast<double>(on[layer].rank())});
  }
  sbora::model_adapter<float> adapter(Kind, {}, std::move(parts));
  using part = sbora::basic_adapter<Kind, float>;
  train_task(with, task, adapter.parameters(), [&](int layer, std::span<float> parameters, std::span<float> gradient) {
    const sbora::region& region = on[static_cast<std::size_t>(layer)];
    const double alpha = 2.0 * static_cast<double>(region.rank());
    return byte_lm::sbora_layer<dense_base, part>(with.base, layer,
                                                  part(width, width, region, {.alpha = alpha}, parameters, gradient));
  });
  return adapter;
}

/// A LoRA of as many parameters, as its ΔW: an FA adapter on all columns, so that it can be combined like any other.
inline sbora::model_adapter<float> train_lora(setting& with, std::size_t task) {
  const index_t rank = with.set.rank / 2;
  std::vector<float> parameters(static_cast<std::size_t>(4 * rank * width));
  train_task(with, task, parameters, [&](int layer, std::span<float> values, std::span<float> gradient) {
    return byte_lm::lora_layer<dense_base>(with.base, layer, rank, 2.0, with.seed + static_cast<std::uint64_t>(layer),
                                           values, gradient);
  });
  std::vector<index_t> all(static_cast<std::size_t>(width));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<index_t>(i);
  const sbora::region columns(width, all);
  sbora::model_adapter<float> update(sbora::adapter_kind::fa, {},
                                     {{layer_names[0], width, width, columns, static_cast<double>(width)},
                                      {layer_names[1], width, width, columns, static_cast<double>(width)}});
  for (std::size_t layer = 0; layer < 2; ++layer) {
    const float* const a = parameters.data() + layer * parameters.size() / 2;
    const Eigen::Map<const matrix> half_a(a, rank, width), half_b(a + rank * width, width, rank);
    update.fa(layer_names[layer]).matrix().noalias() = 2.0F * half_b * half_a;
  }
  return update;
}

/// f() with the adapters merged into the base, which is as before afterwards.
template <class Function>
auto with_merged(setting& with, const std::vector<const sbora::model_adapter<float>*>& adapters, const Function& f) {
  const auto original = with.base.save();
  for (const auto* adapter : adapters) {
    for (int layer = 0; layer < 2; ++layer) {
      adapter->visit(layer_names[static_cast<std::size_t>(layer)],
                     [&](const auto& part) { with.base.merge(layer, part, with.pool); });
    }
  }
  auto result = f();
  for (auto adapter = adapters.rbegin(); adapter != adapters.rend(); ++adapter) {
    for (int layer = 0; layer < 2; ++layer) {
      (*adapter)->visit(layer_names[static_cast<std::size_t>(layer)],
                        [&](const auto& part) { with.base.unmerge(layer, part, with.pool); });
    }
  }
  if (!with.base.is(original)) throw std::runtime_error("unmerging left something behind");
  return result;
}

}  // namespace multi_task
