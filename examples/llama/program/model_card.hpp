#pragma once

#include <filesystem>
#include <string>

#include "training/metrics.hpp"
#include "training/run_state.hpp"

namespace llama {

/// What people who find an adapter's folder are told of it.
struct model_card {
  std::string title;       ///< "SBoRA-FA, rank 32"
  std::string base_model;  ///< as adapter_config.json names it
  run_options options;     ///< that decided its bits
  curve loss, validation;
  bool has_plot = false;  ///< loss.svg beside it
  bool has_peft = false;  ///< peft/ beside it
};

/// The card as Markdown, beginning with the front matter that model hubs read.
std::string text_of(const model_card& card);

/// Writes it to FOLDER/README.md; not over another file of that name that doesn't begin as cards do. Errors:
/// sbora::file_error.
void write_model_card(const std::filesystem::path& folder, const model_card& card);

}  // namespace llama
