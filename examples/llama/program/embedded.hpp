#pragma once

#include "program/session.hpp"

namespace llama {

/// The whole cycle without any file of the user's: a base model is pre-trained (once: it is cached), fine-tuned
/// with SBoRA-FA, SBoRA-FB and LoRA, or the one that --adapter_name asks for, and saved, merged and loaded
/// again; ends with a table. Returns the exit code: 0, or 128 + the signal that stopped it.
int run_embedded(const session& with);

}  // namespace llama
