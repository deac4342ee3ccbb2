#include "multi_task/byte_subject.hpp"

#include <array>

#include <fmt/core.h>

#include "byte_lm/base_model.hpp"
#include "byte_lm/lora_layer.hpp"
#include "byte_lm/trainer.hpp"
#include "multi_task/byte_tasks.hpp"
#include "multi_task/lora_update.hpp"

namespace multi_task {
namespace {

using byte_lm::dense_base;
using byte_lm::matrix;
using byte_lm::thread_pool;
using byte_lm::width;
using frozen = byte_lm::frozen_layer<dense_base>;

constexpr double scale = 2;  // of adapters: alpha over rank

/// A frozen layer whose columns are scored as batches go through it.
class scored_layer {
 public:
  scored_layer(const dense_base& base, int layer)
      : linear_(base.weight(layer), base.bias(layer)), scores_(width, width) {}

  void forward(const matrix& x, matrix& y, byte_lm::pass, thread_pool& pool) {
    input_ = &x;
    linear_.forward(x, y, workspace_, pool);
  }
  void backward(const matrix& dy, matrix* dx, thread_pool& pool) {
    matrix& own = dx != nullptr ? *dx : dx_;
    own.resize(dy.rows(), width);
    linear_.backward(dy, own, workspace_, pool);
    scores_.add(*input_, dy, own, workspace_, pool);
  }
  const column_scores& scores() const { return scores_; }

 private:
  sbora::linear<dense_base::weight_type> linear_;
  column_scores scores_;
  sbora::workspace workspace_;
  const matrix* input_ = nullptr;
  matrix dx_;
};

class byte_subject final : public subject {
 public:
  explicit byte_subject(const options& set)
      : rank_(set.rank > 0 ? set.rank : 64),
        steps_(set.steps > 0 ? set.steps : 200),
        base_steps_(set.base_steps),
        pool_(set.threads) {
    if (rank_ > width / 4) throw input_error(fmt::format("--rank: four tasks of {} don't fit into {}", rank_, width));
  }

  const std::vector<std::string>& tasks() const override { return names_; }
  index_t rank() const override { return rank_; }
  std::string settings() const override {
    return fmt::format("byte-level model of {} steps; rank {}; {} steps", base_steps_, rank_, steps_);
  }
  thread_pool& pool() override { return pool_; }

  void start(std::uint64_t seed) override {
    seed_ = seed;
    texts_ = make_tasks(seed);
    texts_.emplace_back("base text", word_problems::base_text(seed));
    byte_lm::options of_base;
    of_base.seed = seed;
    of_base.base_steps = base_steps_;
    std::vector<byte_lm::loss_record> log;
    parameters_ = byte_lm::make_base(of_base, texts_.back(), pool_, log);
    base_.emplace(byte_lm::model_view(parameters_));
  }

  std::vector<layer> layers() override {
    const auto at = [&](int number) {
      return layer{"hidden" + std::to_string(number), {base_->model().weight(number).data(), width, width}};
    };
    return {at(0), at(1)};
  }

  adapter train(const training& what) override {
    switch (what.by) {
      case method::fa: return train_sbora<sbora::adapter_kind::fa>(what);
      case method::fb: return train_sbora<sbora::adapter_kind::fb>(what);
      case method::lora: break;
    }
    const std::vector<layer> on = layers();
    const index_t rank = lora_rank(on, rank_);
    std::vector<float> parameters(static_cast<std::size_t>(4 * rank * width));
    fit(what, parameters, [&](int number, std::span<float> values, std::span<float> gradient) {
      return byte_lm::lora_layer<dense_base>(*base_, number, rank, scale, seed_ + static_cast<std::uint64_t>(number),
                                             values, gradient);
    });
    return lora_update(on, rank, static_cast<float>(scale), [&](std::size_t i) {
      const float* const a = parameters.data() + i * parameters.size() / 2;
      return std::pair(a, a + rank * width);
    });
  }

  score measure(std::size_t text) override {
    auto net = network_of<frozen>();
    return {held_out_loss(net, texts_[text], pool_), std::nullopt};
  }

  std::vector<column_scores> observe(std::size_t text) override {
    auto net = network_of<scored_layer>();
    byte_lm::batch examples;
    for (index_t step = 0; step < 8; ++step) {
      byte_lm::draw_batch(texts_[text], 512, seed_ + 100, step, examples);
      net.forward(examples, byte_lm::pass::train, pool_);
      net.backward(examples, nullptr, pool_);
    }
    return {net.hidden(0).scores(), net.hidden(1).scores()};
  }

 private:
  template <class Hidden>
  byte_lm::network<Hidden, frozen> network_of() {
    return {base_->model(), Hidden(*base_, 0), Hidden(*base_, 1), frozen(*base_, byte_lm::output_layer)};
  }

  /// make(number, parameters, gradient): the adapted layer.
  template <class Make>
  void fit(const training& what, std::span<float> parameters, const Make& make) {
    const std::size_t half = parameters.size() / 2;
    std::vector<float> gradient(parameters.size());
    const auto adapted = [&](int number) {
      const std::size_t first = static_cast<std::size_t>(number) * half;
      return make(number, parameters.subspan(first, half), std::span(gradient).subspan(first, half));
    };
    byte_lm::network<decltype(adapted(0)), frozen> net(base_->model(), adapted(0), adapted(1),
                                                       frozen(*base_, byte_lm::output_layer));
    std::vector<byte_lm::loss_record> log;
    byte_lm::train(net, parameters, gradient, nullptr, texts_[what.task],
                   {.key = "task",
                    .phase = fmt::format("seed {}: {}", seed_, what.name),
                    .steps = steps_,
                    .batch = 512,
                    .learning_rate = 5e-3,
                    .seed = seed_ + 1},
                   pool_, log);
  }

  template <sbora::adapter_kind Kind>
  adapter train_sbora(const training& what) {
    const double alpha = scale * static_cast<double>(rank_);
    std::vector<sbora::adapter_part> parts;
    for (const layer& each : layers()) parts.push_back({each.name, width, width, what.on[parts.size()], alpha});
    adapter made(Kind, {}, std::move(parts));
    using part = sbora::basic_adapter<Kind, float>;
    fit(what, made.parameters(), [&](int number, std::span<float> parameters, std::span<float> gradient) {
      const sbora::region& region = what.on[static_cast<std::size_t>(number)];
      return byte_lm::sbora_layer<dense_base, part>(*base_, number,
                                                    part(width, width, region, {.alpha = alpha}, parameters, gradient));
    });
    return made;
  }

  index_t rank_, steps_, base_steps_;
  thread_pool pool_;
  const std::vector<std::string> names_{task_names.begin(), task_names.end()};
  std::uint64_t seed_ = 0;
  std::vector<corpus> texts_;
  std::vector<float> parameters_;
  std::optional<dense_base> base_;
};

}  // namespace

std::unique_ptr<subject> make_byte_subject(const options& set) { return std::make_unique<byte_subject>(set); }

}  // namespace multi_task
