#pragma once

#include <sbora/core/index.hpp>
#include <sbora/optimisers/schedule.hpp>

namespace llama {

using sbora::index_t;

/// Which micro-batches make up which optimiser step, as transformers' Trainer (4.46 to 5.24) counts: a step takes the
/// next `accumulation` micro-batches of its epoch, and the epoch's last step what is left. Micro-batches are numbered
/// through all epochs.
struct step_plan {
  index_t micro_batches;  ///< in one epoch
  index_t accumulation;   ///< micro-batches a step
  index_t epochs;
  index_t max_steps;  ///< instead of the epochs, where above 0

  index_t steps_an_epoch() const { return (micro_batches + accumulation - 1) / accumulation; }
  index_t total_steps() const { return max_steps > 0 ? max_steps : epochs * steps_an_epoch(); }

  /// A step has the micro-batches from its first to the next step's first; epoch and index in it follow.
  index_t first_micro_batch(index_t step) const {
    return step / steps_an_epoch() * micro_batches + step % steps_an_epoch() * accumulation;
  }
  index_t epoch_of(index_t micro_batch) const { return micro_batch / micro_batches; }
  index_t index_of(index_t micro_batch) const { return micro_batch % micro_batches; }
};

/// Linear warm-up from 0, then linear decay to 0 at the last step; with more warm-up than steps, warm-up alone.
inline sbora::schedule linear_schedule(double peak, index_t warmup_steps, index_t total_steps) {
  return warmup_steps < total_steps ? sbora::schedule::linear(peak, warmup_steps, total_steps)
                                    : sbora::schedule::constant(peak, warmup_steps);
}

}  // namespace llama
