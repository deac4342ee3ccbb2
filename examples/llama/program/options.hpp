#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sbora/core/index.hpp>

namespace llama {

using sbora::index_t;

/// The command line: the official fine-tuning scripts' options under their names and with their defaults, except
/// that the adapter is SBoRA-FA on the modules that their shell scripts name. Without a base model the embedded
/// cycle is run, which has defaults of its own (see options.cpp).
struct options {
  std::string base_model;
  std::string data_path;
  std::string output_dir;
  std::vector<std::string> eval_files;
  index_t eval_rows = 0;  ///< of each of these, the first ones; 0: all
  std::vector<std::string> loss_files;
  std::vector<std::string> base_data;
  std::string cache_dir;
  index_t base_steps = 0;

  std::string adapter_name;  ///< "sbora_fa", "sbora_fb", "lora"; empty: the embedded cycle's comparison
  index_t lora_r = 8;
  double lora_alpha = 16;
  double lora_dropout = 0.05;
  std::vector<std::string> target_modules;  ///< empty: the model's default_targets

  index_t batch_size = 128;
  index_t micro_batch_size = 4;
  index_t num_epochs = 3;
  index_t max_steps = 0;  ///< above 0: instead of num_epochs
  double learning_rate = 3e-4;
  double weight_decay = 0;
  index_t warmup_steps = 100;
  double max_grad_norm = 1;
  index_t cutoff_len = 256;
  index_t val_set_size = 2000;
  bool train_on_inputs = true;
  index_t eval_step = 200;
  index_t early_stopping_patience = 0;  ///< evaluations without a lower loss; 0: all steps are taken
  index_t save_step = 200;
  int save_total_limit = 3;
  bool load_best_model_at_end = true;
  std::string resume_from_checkpoint;
  bool use_gradient_checkpointing = false;
  std::uint64_t seed = 42;
  int threads = 0;  ///< 0: as many as the machine has for this process

  int bits = 16;
  std::string quant_type = "nf4";
  bool double_quant = true;
  bool bf16 = false;

  bool embedded() const { return base_model.empty(); }
  index_t accumulation() const { return batch_size / micro_batch_size; }
};

/// The options, checked one by one and against each other, or nothing after --help. Throws input_error, with one
/// line that names the option.
std::optional<options> parse_options(int argc, char** argv);

}  // namespace llama
