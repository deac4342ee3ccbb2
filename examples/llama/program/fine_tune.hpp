#pragma once

#include <filesystem>
#include <string>

#include "data/batch_source.hpp"
#include "model/model.hpp"
#include "training/run_state.hpp"
#include "program/session.hpp"
#include "training/trainer.hpp"

namespace llama {

/// One adapter from its start to its files.
struct fine_tuning {
  std::string phase;  ///< on the progress line
  const batch_source& data;
  const batch_source* validation;
  std::filesystem::path output;  ///< checkpoints, metrics.jsonl, loss.svg, the adapter; peft/ for other software
  std::string base_model;        ///< as adapter_config.json names it
  run_options decisive;          ///< see decisive_options()
};

/// How --base_model's weights are to be kept, from --bits and its companions.
load_options load_options_of(const options& set);

/// Step counts, learning rate and the like from the command line.
training_plan training_plan_of(const options& set, const fine_tuning& job);

/// Without --resume_from_checkpoint, an output folder with checkpoints of a run that was stopped is an input_error:
/// they may be hours of work.
void refuse_unfinished(const options& set, const std::filesystem::path& output);

/// Trains the attached adapter, from a checkpoint where --resume_from_checkpoint says so, and saves it, unless it
/// was stopped (see training_result::signal). Older checkpoints go when a run starts anew.
training_result fine_tune(model& net, const fine_tuning& job, const session& with);

/// The options that decide an adapter's bits, under their names, with fingerprints of base and data; see
/// fingerprint.hpp.
run_options decisive_options(const options& set, const adapter_plan& plan, const std::string& base_fingerprint,
                             const std::string& data_fingerprint);

}  // namespace llama
