#include "training/trainer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include <Eigen/Core>
#include <nlohmann/json.hpp>

#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/clip.hpp>

#include "common/error.hpp"
#include "common/memory.hpp"
#include "common/progress.hpp"
#include "model/non_finite.hpp"
#include "training/stop_signal.hpp"

namespace llama {

namespace {

/// What one optimiser step saw, over all processes.
struct step_result {
  loss_sum loss;
  double gradient_norm = 0;  ///< of the mean loss
  std::int64_t tokens = 0;
  bool stop = false;  ///< a process was asked to

  bool has_loss() const { return loss.count > 0; }
};

class training_run {
 public:
  training_run(model& net, const training_plan& plan, const training_files& files, const run_state* resumed,
               thread_pool& pool, const communicator& processes)
      : net_(net),
        plan_(plan),
        files_(files),
        pool_(pool),
        processes_(processes),
        optimiser_(std::ssize(net.parameters()),
                   {.learning_rate = plan.learning_rate, .weight_decay = plan.weight_decay}),
        schedule_(linear_schedule(plan.learning_rate, plan.warmup_steps, plan.steps.total_steps())) {
    if (resumed != nullptr) resume(*resumed);
  }

  training_result run() {
    const index_t total = plan_.steps.total_steps();
    progress shown(plan_.phase, step_, total, processes_.is_first());
    const stop_signal watched;
    std::vector<double> times;
    training_result result;
    if (std::exchange(state_.evaluation_due, false)) evaluate_now(shown, result);
    while (!finished() && result.signal == 0) {
      const auto start = wall_clock::now();
      const step_result done = take_step();
      times.push_back(seconds_since(start));
      if (done.has_loss()) result.last_loss = done.loss.mean();
      record(done, times.back());
      shown.update(step_, done.loss.mean(), done.tokens);
      if (done.stop && step_ < total) result.signal = stop_number();
      if (due(plan_.eval_step) && files_.validation != nullptr) evaluate_now(shown, result);
      if (due(plan_.save_step) || result.signal != 0) save();
    }
    if (!times.empty()) check_parameters();
    result.steps = step_;
    result.own_steps = std::ssize(times);
    result.step_seconds = median(times);
    result.optimiser_bytes = optimiser_.state_bytes();
    if (std::isfinite(state_.best_loss)) result.best_loss = state_.best_loss;
    result.best_step = state_.best_step;
    result.early = finished() && step_ < total;
    if (result.early) {
      shown.note(fmt::format("{}: {} validations without a lower loss, finished after step {}", plan_.phase,
                             plan_.patience, step_));
    }
    if (finished() && plan_.load_best && !state_.best_parameters.empty()) {
      std::ranges::copy(state_.best_parameters, net_.parameters().begin());
    }
    return result;
  }

 private:
  void resume(const run_state& from) {
    try {
      sbora::load_optimiser(from.file, optimiser_);
    } catch (const sbora::checkpoint_error& error) {
      throw input_error(std::string("--resume_from_checkpoint: ") + error.what());
    }
    state_ = from;
    step_ = from.step;
    std::ranges::copy(from.parameters, net_.parameters().begin());
  }

  bool due(index_t interval) const { return interval > 0 && (step_ % interval == 0 || finished()); }

  /// It follows from the state, so a resumed run stops where an undisturbed one does.
  bool finished() const {
    if (step_ == plan_.steps.total_steps()) return true;
    return plan_.patience > 0 && files_.validation != nullptr && !state_.evaluation_due &&
           step_ % plan_.eval_step == 0 && step_ - state_.best_step >= plan_.patience * plan_.eval_step;
  }

  step_result take_step() {
    net_.zero_gradient();
    step_result done = gradient_of_own_part();
    add_up(done);
    const std::span<float> gradient = net_.gradient();
    // Of the sum of losses; where nothing was scored it is zero, and so is its mean.
    const double share = 1 / static_cast<double>(std::max<std::int64_t>(1, done.loss.count));
    done.gradient_norm = share * sbora::gradient_norm(std::span<const float>(gradient));
    if (!std::isfinite(done.loss.total) || !std::isfinite(done.gradient_norm)) throw_diverged(done);
    const double clip = plan_.max_grad_norm > 0 ? sbora::clip_scale(done.gradient_norm, plan_.max_grad_norm) : 1;
    optimiser_.step(net_.parameters(), gradient, {.learning_rate = schedule_.at(step_), .gradient_scale = clip * share},
                    pool_);
    ++step_;
    return done;
  }

  /// This process's micro-batches of the step. Numbered through, they are the same ones for any number of
  /// processes, with the same dropout masks. Losses and gradients are sums: how many tokens are scored in all is
  /// known when all are done.
  step_result gradient_of_own_part() {
    const index_t first = plan_.steps.first_micro_batch(step_), end = plan_.steps.first_micro_batch(step_ + 1);
    step_result done;
    for (index_t i = first + processes_.rank(); i < end; i += processes_.size()) {
      const token_batch batch = files_.data.micro_batch(plan_.steps.epoch_of(i), plan_.steps.index_of(i));
      done.tokens += real_tokens(batch);
      net_.set_training_step(static_cast<std::uint64_t>(i));
      done.loss += net_.forward_backward(batch, 1.0F, pool_);
    }
    done.stop = stop_signal::caught() != 0;
    return done;
  }

  /// One all-reduce over the flat gradient, and one of four numbers.
  void add_up(step_result& done) {
    if (processes_.size() == 1) return;
    std::array<double, 4> sums = {done.loss.total, static_cast<double>(done.loss.count),
                                  static_cast<double>(done.tokens), done.stop ? 1.0 : 0.0};
    processes_.sum(net_.gradient());
    processes_.sum(sums);
    done = {.loss = {sums[0], static_cast<std::int64_t>(sums[1])},
            .tokens = static_cast<std::int64_t>(sums[2]),
            .stop = sums[3] > 0};
  }

  /// A process that wasn't signalled itself stops with the number of those that were.
  int stop_number() const { return processes_.max(stop_signal::caught()); }

  [[noreturn]] void throw_diverged(const step_result& done) const {
    const char* const what = std::isfinite(done.loss.total) ? "the gradient" : "the loss";
    std::string advice = step_ == 0 ? "nothing has been trained yet, so it isn't the learning rate; is this the "
                                      "checkpoint that its config.json describes?"
                                    : fmt::format(
                                          "the learning rate was {:.3g}: try a lower --learning_rate or more "
                                          "--warmup_steps",
                                          schedule_.at(step_ - 1));
    if (files_.checkpoints != nullptr) {
      if (const auto last = files_.checkpoints->latest()) advice += "; the last good checkpoint is " + last->string();
    }
    throw_not_finite(net_, fmt::format("{}: {} at step {}", plan_.phase, what, step_ + 1), advice);
  }

  /// What a step leaves shows in the next one's loss; after the last, and before a checkpoint, there is none.
  void check_parameters() const {
    const std::span<const float> values = net_.parameters();
    if (Eigen::Map<const Eigen::ArrayXf>(values.data(), std::ssize(values)).allFinite()) return;
    throw_not_finite(net_, fmt::format("{}: a trained number after step {}", plan_.phase, step_),
                     fmt::format("the learning rate was {:.3g}: try a lower --learning_rate", schedule_.at(step_ - 1)));
  }

  void record(const step_result& done, double seconds) {
    if (files_.metrics == nullptr) return;
    const double epoch =
        static_cast<double>(plan_.steps.first_micro_batch(step_)) / static_cast<double>(plan_.steps.micro_batches);
    nlohmann::json line = {{"step", step_},
                           {"epoch", epoch},
                           {"learning_rate", schedule_.at(step_ - 1)},
                           {"grad_norm", done.gradient_norm},
                           {"tokens", done.tokens},
                           {"seconds", seconds},
                           {"peak_bytes", peak_resident_bytes()}};
    if (done.has_loss()) line["loss"] = done.loss.mean();
    files_.metrics->write(line);
  }

  /// Or leaves it to a resumed run, where it was stopped.
  void evaluate_now(progress& shown, training_result& result) {
    const std::optional<validation_loss> done = evaluate_unless_stopped(net_, *files_.validation, pool_, processes_);
    if (!done) {
      state_.evaluation_due = true;
      result.signal = stop_number();
      return;
    }
    const double loss = done->mean();
    if (!std::isfinite(loss)) {
      throw_not_finite(net_, fmt::format("{}: the validation loss after step {}", plan_.phase, step_),
                       "try a lower --learning_rate or more --warmup_steps");
    }
    shown.note(fmt::format("{}: validation loss {:.4f} after step {}", plan_.phase, loss, step_));
    if (files_.metrics != nullptr) files_.metrics->write({{"step", step_}, {"eval_loss", loss}});
    if (loss >= state_.best_loss) return;
    state_.best_loss = loss;
    state_.best_step = step_;
    if (plan_.load_best) state_.best_parameters.assign(net_.parameters().begin(), net_.parameters().end());
  }

  void save() {
    if (files_.checkpoints == nullptr || !processes_.is_first()) return;
    check_parameters();
    state_.step = step_;
    state_.total_steps = finished() ? step_ : plan_.steps.total_steps();
    state_.parameters.assign(net_.parameters().begin(), net_.parameters().end());
    files_.checkpoints->save(state_, sbora::tensors_of(optimiser_), plan_.options);
  }

  static double median(std::vector<double>& times) {
    if (times.empty()) return 0;
    const auto middle = times.begin() + std::ssize(times) / 2;
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
  }

  model& net_;
  const training_plan& plan_;
  const training_files& files_;
  thread_pool& pool_;
  const communicator& processes_;
  sbora::adamw<float> optimiser_;
  sbora::schedule schedule_;
  index_t step_ = 0;
  run_state state_;
};

/// The sum over all processes, or nothing where one of them stopped.
std::optional<validation_loss> evaluate_until(model& net, const batch_source& data, thread_pool& pool,
                                              const communicator& processes, bool (*stopped)()) {
  validation_loss sum;
  bool stop = stopped();
  for (index_t i = processes.rank(); i < data.micro_batches() && !stop; i += processes.size()) {
    const token_batch batch = data.micro_batch(0, i);
    const loss_sum loss = net.evaluate(batch, pool);
    if (loss.count > 0) sum += {static_cast<double>(batch.sequences) * loss.mean(), batch.sequences};
    stop = stopped();
  }
  std::array<double, 3> numbers = {sum.total, static_cast<double>(sum.sequences), stop ? 1.0 : 0.0};
  processes.sum(numbers);
  if (numbers[2] > 0) return std::nullopt;
  return validation_loss{numbers[0], static_cast<index_t>(numbers[1])};
}

}  // namespace

training_result train(model& net, const training_plan& plan, const training_files& files, const run_state* resumed,
                      thread_pool& pool, const communicator& processes) {
  return training_run(net, plan, files, resumed, pool, processes).run();
}

validation_loss evaluate(model& net, const batch_source& data, thread_pool& pool, const communicator& processes) {
  return *evaluate_until(net, data, pool, processes, [] { return false; });
}

std::optional<validation_loss> evaluate_unless_stopped(model& net, const batch_source& data, thread_pool& pool,
                                                       const communicator& processes) {
  return evaluate_until(net, data, pool, processes, [] { return stop_signal::caught() != 0; });
}

}  // namespace llama
