#include "support/catch.hpp"
#include "support/message.hpp"

#include <bit>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "text_windows.hpp"
#include "trainer.hpp"

namespace {

using llama::index_t;

llama::model_config small_config() {
  llama::model_config config;
  config.vocab_size = 17;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 2;
  config.head_dim = 8;
  config.max_position_embeddings = 64;
  return config;
}

llama::model small_model(llama::adapter_method method) {
  llama::model net = llama::model::random(small_config(), 5);
  net.attach({.method = method, .rank = 4, .alpha = 8, .dropout = 0.1, .rslora = false,
              .target_modules = {"q_proj", "v_proj", "down_proj"}, .seed = 3});
  return net;
}

/// A text with something to learn: every token follows from the one before.
llama::text_windows small_data(index_t batches, llama::text_windows::order order) {
  llama::token_ids tokens;
  for (std::int32_t i = 0, token = 1; i < 400; ++i, token = (token * 3 + 1) % 17) tokens.push_back(token);
  return llama::text_windows(std::move(tokens), 2, 9, batches, order, 11);
}

llama::training_plan small_plan(index_t steps, index_t micro_batches) {
  return {.phase = "test",
          .steps = {.micro_batches = micro_batches, .accumulation = 2, .epochs = 1, .max_steps = steps},
          .learning_rate = 1e-2,
          .warmup_steps = 2,
          .weight_decay = 0.01,
          .max_grad_norm = 1,
          .eval_step = 3,
          .save_step = 0,
          .load_best = true,
          .options = {{"--seed", "1"}}};
}

std::vector<std::uint32_t> bits_of(llama::model& net) {
  std::vector<std::uint32_t> bits;
  for (const float p : net.parameters()) bits.push_back(std::bit_cast<std::uint32_t>(p));
  return bits;
}

struct scratch_folder {
  scratch_folder() { std::filesystem::remove_all(path); std::filesystem::create_directories(path); }
  ~scratch_folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path = std::filesystem::temp_directory_path() / "sbora_llama_trainer_test";
};

/// Sends a signal while the n-th micro-batch is made.
struct signalling_source final : llama::batch_source {
  signalling_source(const llama::batch_source& of, index_t when) : data(of), left(when) {}
  index_t micro_batches() const override { return data.micro_batches(); }
  llama::token_batch micro_batch(index_t epoch, index_t index) const override {
    if (left-- == 0) std::raise(SIGINT);
    return data.micro_batch(epoch, index);
  }
  const llama::batch_source& data;
  mutable index_t left;
};

}  // namespace

TEST_CASE("train: the loss falls, and any number of threads gives the same bits") {
  const auto data = small_data(5, llama::text_windows::order::drawn);
  const auto validation = small_data(3, llama::text_windows::order::spread);
  const llama::communicator alone;
  const llama::training_plan plan = small_plan(20, 5);
  std::vector<std::uint32_t> first;
  for (const int threads : {1, 3}) {
    llama::thread_pool pool(threads);
    llama::model net = small_model(llama::adapter_method::sbora_fa);
    const double before = llama::evaluate(net, validation, pool, alone).mean();
    const auto result = llama::train(net, plan, {data, &validation}, nullptr, pool, alone);
    CHECK(result.steps == 20);
    CHECK(result.signal == 0);
    CHECK(llama::evaluate(net, validation, pool, alone).mean() == *result.best_loss);
    CHECK(*result.best_loss < before);
    if (first.empty()) first = bits_of(net);
    CHECK(bits_of(net) == first);
  }
}

TEST_CASE("train: a run that was stopped goes on to the same bits") {
  const auto method = GENERATE(llama::adapter_method::sbora_fa, llama::adapter_method::sbora_fb,
                               llama::adapter_method::lora);
  const scratch_folder scratch;
  const llama::checkpoint_folder checkpoints(scratch.path);
  const auto data = small_data(5, llama::text_windows::order::drawn);
  const auto validation = small_data(3, llama::text_windows::order::spread);
  const llama::communicator alone;
  llama::thread_pool pool(2);
  const llama::training_plan plan = small_plan(12, 5);

  llama::model undisturbed = small_model(method);
  llama::train(undisturbed, plan, {data, &validation}, nullptr, pool, alone);

  llama::model stopped = small_model(method);
  const signalling_source interrupted(data, 9);  // in the fifth step, which is finished
  const auto half = llama::train(stopped, plan, {interrupted, &validation, &checkpoints}, nullptr, pool, alone);
  CHECK(half.signal == SIGINT);
  CHECK(half.steps == 5);

  llama::model resumed = small_model(method);
  const auto state = checkpoints.load(*checkpoints.latest(), plan.options, resumed.parameters().size());
  const auto rest = llama::train(resumed, plan, {data, &validation, &checkpoints}, &state, pool, alone);
  CHECK(rest.steps == 12);
  CHECK(bits_of(resumed) == bits_of(undisturbed));
}

TEST_CASE("train: a run that was stopped in a validation does that first when it goes on") {
  const scratch_folder scratch;
  const llama::checkpoint_folder checkpoints(scratch.path);
  const auto data = small_data(5, llama::text_windows::order::drawn);
  const auto validation = small_data(3, llama::text_windows::order::spread);
  const llama::communicator alone;
  llama::thread_pool pool(1);
  llama::training_plan plan = small_plan(12, 5);
  plan.eval_step = 4;
  plan.load_best = true;
  llama::model undisturbed = small_model(llama::adapter_method::sbora_fa);
  const auto whole = llama::train(undisturbed, plan, {data, &validation}, nullptr, pool, alone);

  for (const index_t when : {0, 4, 8}) {  // in the validations after steps 4, 8 and 12, of 3 micro-batches each
    CAPTURE(when);
    checkpoints.clear();
    llama::model stopped = small_model(llama::adapter_method::sbora_fa);
    const signalling_source interrupted(validation, when);
    const auto part = llama::train(stopped, plan, {data, &interrupted, &checkpoints}, nullptr, pool, alone);
    CHECK(part.signal == SIGINT);
    CHECK(part.steps == 4 * (when / 3 + 1));
    CHECK(checkpoints.unfinished());
    llama::model resumed = small_model(llama::adapter_method::sbora_fa);
    const auto state = checkpoints.load(*checkpoints.latest(), plan.options, resumed.parameters().size());
    CHECK(state.evaluation_due);
    const auto rest = llama::train(resumed, plan, {data, &validation, &checkpoints}, &state, pool, alone);
    CHECK(rest.steps == 12);
    CHECK(rest.best_loss == whole.best_loss);
    CHECK(rest.best_step == whole.best_step);
    CHECK(bits_of(resumed) == bits_of(undisturbed));
  }
}

TEST_CASE("train: a loss that isn't finite stops before the parameters change, and names the last checkpoint") {
  const scratch_folder scratch;
  const llama::checkpoint_folder checkpoints(scratch.path);
  const auto data = small_data(5, llama::text_windows::order::drawn);
  const llama::communicator alone;
  llama::thread_pool pool(1);
  llama::model net = small_model(llama::adapter_method::lora);
  llama::training_plan plan = small_plan(12, 5);
  plan.save_step = 1;
  plan.max_grad_norm = 0;
  plan.learning_rate = 1e30;
  CHECK_ERROR(std::runtime_error, "checkpoint-", llama::train(net, plan, {data, nullptr, &checkpoints}, nullptr, pool, alone));
  const auto kept = checkpoints.load(*checkpoints.latest(), plan.options, net.parameters().size());
  CHECK(std::ranges::equal(kept.parameters, net.parameters()));
}

TEST_CASE("train: accumulated micro-batches are the mean of their means") {
  const auto data = small_data(4, llama::text_windows::order::drawn);
  llama::thread_pool pool(1);
  llama::model net = small_model(llama::adapter_method::sbora_fb);
  std::vector<double> losses;
  for (const index_t i : {0, 1}) {
    net.set_training_step(static_cast<std::uint64_t>(i));
    losses.push_back(net.forward_backward(data.micro_batch(0, i), 1, pool).mean());
  }
  llama::training_plan plan = small_plan(1, 4);
  const auto result = llama::train(net, plan, {data}, nullptr, pool, llama::communicator());
  CHECK(result.last_loss == Approx((losses[0] + losses[1]) / 2).epsilon(1e-12));
}
