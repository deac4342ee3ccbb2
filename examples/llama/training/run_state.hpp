#pragma once

#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <sbora/core/index.hpp>
#include <sbora/io/optimiser/optimiser_state.hpp>

namespace llama {

using sbora::index_t;

/// What decides a run's results, by the options' names: checkpoints of one run only fit another with the same.
using run_options = std::map<std::string, std::string>;

/// All that a run needs to go on as if it had never stopped. The position in the data and the dropout masks
/// follow from the step.
struct run_state {
  index_t step = 0;         ///< optimiser steps taken
  index_t total_steps = 0;  ///< of the whole run
  std::vector<float> parameters;
  /// Where it was loaded from: what the optimiser's state is put back from (sbora::load_optimiser).
  std::filesystem::path file;
  /// The best by validation loss so far; empty where there was no evaluation yet.
  std::vector<float> best_parameters;
  double best_loss = std::numeric_limits<double>::infinity();
  index_t best_step = 0;
  /// Stopped before the evaluation that is due after this step was done.
  bool evaluation_due = false;
};

/// That there is such a file. Errors: input_error that names --resume_from_checkpoint.
void require_checkpoint(const std::filesystem::path& path);

/// Checkpoints of one run: DIRECTORY/checkpoint-STEP.safetensors, the newest few of them.
///
/// Effect      save() writes one file, whole or not at all, then removes those older than the newest `kept`.
///             load() reads one back, bit for bit.
/// Errors      input_error for a file that isn't a checkpoint, or one of a run with other options, which it
///             names with both values; sbora::file_error where the system refuses.
class checkpoint_folder {
 public:
  explicit checkpoint_folder(std::filesystem::path directory, int kept = 3);

  void save(const run_state& state, const sbora::optimiser_tensors& optimiser, const run_options& options) const;
  run_state load(const std::filesystem::path& file, const run_options& options, std::size_t parameter_count) const;

  /// The newest, if there is any.
  std::optional<std::filesystem::path> latest() const;
  /// All, oldest first.
  std::vector<std::filesystem::path> list() const;
  /// The newest, where something of the run was still to be done.
  std::optional<std::filesystem::path> unfinished() const;
  /// Removes temporary files of a process that was killed while it wrote.
  void remove_leftovers() const;
  /// Removes all: nobody may resume from an older run's.
  void clear() const;

  const std::filesystem::path& directory() const { return directory_; }

 private:
  std::filesystem::path file_of(index_t step) const;

  std::filesystem::path directory_;
  std::size_t kept_;
};

}  // namespace llama
