#pragma once

#include "program/session.hpp"

namespace llama {

/// Fine-tunes --base_model on --data_path with --adapter_name, saves the adapter in --output_dir, and counts the
/// right answers to --eval_files. Returns the exit code: 0, or 128 + the signal that stopped it.
/// Errors: input_error before any long work.
int run_fine_tuning(const session& with);

}  // namespace llama
