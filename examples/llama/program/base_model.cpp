#include "program/base_model.hpp"

#include <algorithm>

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "common/word_problems.hpp"
#include "text/byte_tokenizer.hpp"
#include "program/fine_tune.hpp"
#include "training/hash.hpp"
#include "common/error.hpp"
#include "common/folders.hpp"
#include "common/json_file.hpp"
#include "common/memory.hpp"
#include "model/model.hpp"
#include "common/rows.hpp"
#include "training/trainer.hpp"

namespace llama {

namespace {

constexpr index_t window = 256;   // tokens of a training sequence
constexpr index_t sequences = 8;  // of a step
constexpr double learning_rate = 3e-3;
constexpr double weight_decay = 0.1;

std::filesystem::path cache_folder(const options& set) {
  const std::filesystem::path output(set.output_dir);
  return set.cache_dir.empty() ? output / "cache" : std::filesystem::path(set.cache_dir);
}

training_plan plan_of(const options& set, run_options decisive) {
  return {.phase = "base model",
          .steps = {.micro_batches = set.base_steps, .accumulation = 1, .epochs = 1, .max_steps = 0},
          .learning_rate = learning_rate,
          .warmup_steps = set.base_steps / 20,
          .weight_decay = weight_decay,
          .max_grad_norm = 1,
          .eval_step = 0,
          .save_step = 0,  // only when it is stopped
          .load_best = false,
          .options = std::move(decisive)};
}

}  // namespace

model_config embedded_config() {
  model_config config;
  config.vocab_size = byte_tokenizer::vocabulary;
  config.hidden_size = 192;
  config.intermediate_size = 512;
  config.num_hidden_layers = 5;
  config.num_attention_heads = 6;
  config.num_key_value_heads = 6;
  config.head_dim = 32;
  config.max_position_embeddings = 4096;
  config.tie_word_embeddings = true;
  config.bos_token_id = byte_tokenizer::begin;
  config.eos_token_ids = {byte_tokenizer::end};
  return config;
}

base_text::base_text(const options& set) {
  if (set.base_data.empty()) {
    name_ = "generated word problems";
    text_ = word_problems::base_text(set.seed);
    return;
  }
  for (const std::string& path : set.base_data) {
    name_ += (name_.empty() ? "" : ", ") + path;
    text_ += read_plain_text(path);
  }
  constexpr std::size_t least = 20 * window;
  if (text_.size() < least) {
    throw input_error("--base_data: " + std::to_string(text_.size()) + " bytes of text, at least " +
                      std::to_string(least) + " are needed");
  }
}

std::string base_text::fingerprint() const { return content_hash().add(text_).text(); }

token_ids base_text::training() const {
  return byte_tokenizer().encode(std::string_view(text_).substr(0, text_.size() - text_.size() / 10), false);
}

text_windows base_text::held_out() const {
  token_ids tokens = byte_tokenizer().encode(std::string_view(text_).substr(text_.size() - text_.size() / 10), false);
  const index_t batches = std::clamp<index_t>(std::ssize(tokens) / (sequences * window), 1, 8);
  return text_windows(std::move(tokens), sequences, window, batches, text_windows::order::spread);
}

std::filesystem::path make_base(const base_text& text, const session& with, int& signal) {
  const options& set = with.set;
  const model_config config = embedded_config();
  const run_options decisive = {{"config", config_text(config)},
                                {"text", text.fingerprint()},
                                {"steps", std::to_string(set.base_steps)},
                                {"batch", std::to_string(sequences) + " x " + std::to_string(window)},
                                {"learning_rate", fmt::format("{}", learning_rate)},
                                {"weight_decay", fmt::format("{}", weight_decay)},
                                {"seed", std::to_string(set.seed)}};
  content_hash key;
  for (const auto& [name, value] : decisive) key.add(name).add(value);
  const std::filesystem::path folder = cache_folder(set) / ("base-" + key.text());
  if (std::filesystem::exists(folder / "model.safetensors")) return folder;

  const std::filesystem::path partial = folder.string() + ".partial";
  prepare_folder("--cache_dir", partial.string());
  model net = model::random(config, set.seed);
  net.train_all_weights();
  const text_windows data(text.training(), sequences, window, set.base_steps, text_windows::order::drawn, set.seed);
  const checkpoint_folder checkpoints(partial, 1);
  std::optional<run_state> resumed;
  if (const auto newest = checkpoints.latest()) resumed = checkpoints.load(*newest, decisive, net.parameters().size());
  const training_result result = train(net, plan_of(set, decisive), {.data = data, .checkpoints = &checkpoints},
                                       resumed ? &*resumed : nullptr, with.pool, with.processes);
  signal = result.signal;
  if (signal == 0 && with.processes.is_first()) {
    checkpoints.clear();
    byte_tokenizer().save(partial);
    net.save(partial);
    std::filesystem::rename(partial, folder);  // whole or not at all
  }
  with.processes.max(0);  // the others wait until it is there
  return folder;
}

}  // namespace llama
