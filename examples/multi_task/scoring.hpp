#pragma once

#include <sbora/selection/scorers.hpp>
#include <sbora/selection/usage_scorer.hpp>
#include <sbora/selection/weight_scores.hpp>

#include "setting.hpp"

namespace multi_task {

/// A frozen layer whose columns are scored as batches go through it.
class scoring_layer {
 public:
  scoring_layer(const dense_base& base, int layer)
      : linear_(base.weight(layer), base.bias(layer)),
        gradient(sbora::adapter_kind::fa, width, width),
        snip(sbora::adapter_kind::fa, width, width),
        activation(sbora::adapter_kind::fa, width, width),
        usage(sbora::adapter_kind::fa, width, width) {}

  void forward(const matrix& x, matrix& y, byte_lm::pass, thread_pool& pool) {
    input_ = &x;
    linear_.forward(x, y, workspace_, pool);
  }
  void backward(const matrix& dy, matrix* dx, thread_pool& pool) {
    matrix& own = dx != nullptr ? *dx : dx_;
    own.resize(dy.rows(), width);
    linear_.backward(dy, own, workspace_, pool);
    gradient.add(*input_, dy, workspace_, pool);
    snip.add(*input_, own, pool);
    activation.add(*input_, pool);
    usage.add(*input_, workspace_, pool);
  }

 private:
  sbora::linear<dense_base::weight_type> linear_;
  sbora::workspace workspace_;
  const matrix* input_ = nullptr;
  matrix dx_;

 public:
  sbora::gradient_scorer gradient;
  sbora::snip_scorer snip;
  sbora::activation_scorer activation;
  sbora::usage_scorer usage;
};

using scored_network = byte_lm::network<scoring_layer, byte_lm::frozen_layer<dense_base>>;

/// A network that has seen a few batches of a text, with its scores.
inline scored_network score(setting& with, const corpus& text) {
  scored_network net(with.base.model(), scoring_layer(with.base, 0), scoring_layer(with.base, 1),
                     byte_lm::frozen_layer<dense_base>(with.base, byte_lm::output_layer));
  byte_lm::batch examples;
  for (index_t step = 0; step < 8; ++step) {
    byte_lm::draw_batch(text, 512, with.seed + 100, step, examples);
    net.forward(examples, byte_lm::pass::train, with.pool);
    net.backward(examples, nullptr, with.pool);
  }
  return net;
}

/// Names of policies, and the regions that each chooses for a task.
inline std::vector<std::pair<std::string, regions>> chosen_regions(setting& with, std::size_t task) {
  scored_network of_task = score(with, with.tasks[task]), of_base = score(with, with.base_text);
  const auto both = [&](const auto& scores) {
    return regions{sbora::top_region(scores(0), with.set.rank), sbora::top_region(scores(1), with.set.rank)};
  };
  constexpr auto fa = sbora::adapter_kind::fa;
  return {{"random", both([&](int layer) {
             return sbora::random_scores(width, with.seed * 2 + static_cast<std::uint64_t>(layer));
           })},
          {"gradient norm", both([&](int layer) { return of_task.hidden(layer).gradient.scores(); })},
          {"SNIP", both([&](int layer) { return of_task.hidden(layer).snip.scores(); })},
          {"activation, largest", both([&](int layer) { return of_task.hidden(layer).activation.scores(); })},
          {"activation, smallest",
           both([&](int layer) { return sbora::negated(of_task.hidden(layer).activation.scores()); })},
          {"Wanda", both([&](int layer) {
             return sbora::wanda_scores(with.base.weight(layer), fa, of_task.hidden(layer).activation.scores());
           })},
          {"weight norm", both([&](int layer) { return sbora::weight_norm_scores(with.base.weight(layer), fa); })},
          {"TF-IDF of use",
           both([&](int layer) { return tf_idf_scores(of_task.hidden(layer).usage, of_base.hidden(layer).usage); })}};
}

}  // namespace multi_task
