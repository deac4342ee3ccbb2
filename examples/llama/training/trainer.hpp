#pragma once

#include <optional>
#include <string>

#include "data/batch_source.hpp"
#include "training/distributed.hpp"
#include "training/metrics.hpp"
#include "model/model.hpp"
#include "training/run_state.hpp"
#include "training/step_plan.hpp"

namespace llama {

struct training_plan {
  std::string phase;  ///< on the progress line
  step_plan steps;
  double learning_rate;
  index_t warmup_steps;
  double weight_decay;
  double max_grad_norm;  ///< 0: no clipping
  index_t eval_step;     ///< evaluate after every so many steps, and at the end; 0: never
  index_t patience = 0;  ///< stop after so many evaluations in a row without a lower loss; 0: never
  index_t save_step;     ///< likewise for checkpoints; 0: only when stopped
  bool load_best;        ///< end with the parameters of the lowest validation loss
  run_options options;   ///< see checkpoint_folder
};

/// Where a trainer takes its data and leaves its traces. What is null is left out.
struct training_files {
  const batch_source& data;
  const batch_source* validation = nullptr;
  const checkpoint_folder* checkpoints = nullptr;
  metrics_file* metrics = nullptr;
};

struct training_result {
  index_t steps = 0;        ///< taken, those before a resume included
  int signal = 0;           ///< that stopped it, or 0: it is finished
  bool early = false;       ///< before the plan's last step
  index_t own_steps = 0;    ///< taken since the start or the resume, which the next two are of
  double step_seconds = 0;  ///< median
  double last_loss = 0;     ///< of the last step that had a scored token
  std::size_t optimiser_bytes = 0;
  std::optional<double> best_loss;  ///< by validation
  index_t best_step = 0;
};

/// Trains what model.parameters() are: AdamW, linear warm-up and decay, clipping of the global norm.
///
/// Effect      a step's loss and gradient are the means over the scored tokens of all its micro-batches, on all
///             processes, as transformers' Trainer (5.24) has them; so a row without scored tokens counts for
///             nothing. Where a step has no scored token at all, its gradient is zero and it has no loss
///             (Trainer's is NaN). Several processes share out the micro-batches of a step; gradients are added up
///             once a step.
///             After `patience` evaluations that weren't lower than the lowest before, it is finished; the learning
///             rate has followed the whole plan's steps until then.
///             On SIGINT or SIGTERM the step is finished and a checkpoint saved.
/// Numerics    a run that goes on from a checkpoint has the same bits as an undisturbed one, for any number of
///             threads.
/// Errors      what throw_not_finite() says where the loss or the gradient isn't finite, before the parameters change;
///             what checkpoint_folder and metrics_file throw.
training_result train(model& net, const training_plan& plan, const training_files& files, const run_state* resumed,
                      thread_pool& pool, const communicator& processes);

/// A loss without dropout, as the evaluation loop of transformers' Trainer (5.24) averages it: every sequence counts
/// with the mean over its micro-batch's scored tokens, so tokens of short micro-batches weigh more. Micro-batches
/// without scored tokens are left out (Trainer's result is NaN then).
struct validation_loss {
  double total = 0;  ///< nats
  index_t sequences = 0;

  /// NaN where nothing was scored.
  double mean() const { return total / static_cast<double>(sequences); }
  validation_loss& operator+=(const validation_loss& other) {
    total += other.total;
    sequences += other.sequences;
    return *this;
  }
};

/// Over all of a source. The processes share out the micro-batches.
validation_loss evaluate(model& net, const batch_source& data, thread_pool& pool, const communicator& processes);

/// The same, or nothing where a signal came to one of the processes (stop_signal).
std::optional<validation_loss> evaluate_unless_stopped(model& net, const batch_source& data, thread_pool& pool,
                                                       const communicator& processes);

}  // namespace llama
