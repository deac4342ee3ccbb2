#include "support/catch.hpp"
#include "support/message.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <sbora/io/safetensors/safetensors_file.hpp>

#include "model/decoder.hpp"
#include "model/generation.hpp"
#include "common/error.hpp"
#include "data/text_windows.hpp"
#include "training/trainer.hpp"

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
  net.attach({.method = method,
              .rank = 4,
              .alpha = 8,
              .dropout = 0.1,
              .rslora = false,
              .target_modules = {"q_proj", "v_proj", "down_proj"},
              .seed = 3});
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
  scratch_folder() {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
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

/// Micro-batches as they are given.
struct listed_source final : llama::batch_source {
  explicit listed_source(std::vector<llama::token_batch> given) : batches(std::move(given)) {}
  index_t micro_batches() const override { return std::ssize(batches); }
  llama::token_batch micro_batch(index_t, index_t index) const override {
    return batches[static_cast<std::size_t>(index)];
  }
  std::vector<llama::token_batch> batches;
};

/// Of small_data()'s first, with only the last `scored` tokens of either sequence scored.
llama::token_batch scored_batch(index_t scored, index_t number = 0) {
  llama::token_batch batch = small_data(4, llama::text_windows::order::drawn).micro_batch(0, number);
  for (index_t at = 0; at < std::ssize(batch.labels); ++at) {
    if (at % batch.length < batch.length - scored) batch.labels[static_cast<std::size_t>(at)] = -100;
  }
  return batch;
}

/// Makes one element of a float tensor NaN, in the file.
void poison(const std::filesystem::path& file, const char* tensor, index_t position) {
  std::ptrdiff_t at = 0;
  {
    const auto opened = sbora::safetensors_file::open(file);
    std::ifstream head(file, std::ios::binary);
    std::uint64_t header = 0;
    head.read(reinterpret_cast<char*>(&header), sizeof header);
    const std::byte* first = opened.tensors().front().data.data();
    for (const sbora::tensor_view& each : opened.tensors()) first = std::min(first, each.data.data());
    at = static_cast<std::ptrdiff_t>(sizeof header + header) + (opened.at(tensor).data.data() - first) + 4 * position;
  }
  std::fstream into(file, std::ios::binary | std::ios::in | std::ios::out);
  const float nan = NAN;
  into.seekp(at).write(reinterpret_cast<const char*>(&nan), sizeof nan);
}

llama::training_plan plan_of_one_step(index_t accumulation) {
  llama::training_plan plan = small_plan(1, accumulation);
  plan.steps.accumulation = accumulation;
  plan.eval_step = 0;
  plan.warmup_steps = 0;
  return plan;
}

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
  const auto method =
      GENERATE(llama::adapter_method::sbora_fa, llama::adapter_method::sbora_fb, llama::adapter_method::lora);
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
  const signalling_source interrupted(data, 8);  // in the fifth step, which is finished
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

TEST_CASE("train: it ends after so many validations without a lower loss, stopped and resumed too") {
  const scratch_folder scratch;
  const llama::checkpoint_folder checkpoints(scratch.path);
  const auto data = small_data(12, llama::text_windows::order::drawn);
  const auto validation = small_data(3, llama::text_windows::order::spread);
  const llama::communicator alone;
  llama::thread_pool pool(1);
  llama::training_plan plan = small_plan(40, 12);
  plan.learning_rate = 1e-20;  // no loss is ever lower than the first
  plan.weight_decay = 0;
  plan.eval_step = 3;
  plan.save_step = 5;
  plan.patience = 2;
  llama::model net = small_model(llama::adapter_method::sbora_fa);
  const auto whole = llama::train(net, plan, {data, &validation, &checkpoints}, nullptr, pool, alone);
  CHECK(whole.early);
  CHECK(whole.signal == 0);
  CHECK(whole.best_step == 3);
  CHECK(whole.steps == 9);
  CHECK_FALSE(checkpoints.unfinished());
  const auto last = checkpoints.load(*checkpoints.latest(), plan.options, net.parameters().size());
  CHECK(last.step == 9);

  // Going on from the end takes no step, and from an earlier checkpoint those that are left.
  for (const index_t from : {9, 5}) {
    const auto file = scratch.path / ("checkpoint-" + std::to_string(from) + ".safetensors");
    const auto state = checkpoints.load(file, plan.options, net.parameters().size());
    llama::model again = small_model(llama::adapter_method::sbora_fa);
    const auto rest = llama::train(again, plan, {data, &validation}, &state, pool, alone);
    CHECK(rest.early);
    CHECK(rest.steps == 9);
    CHECK(rest.own_steps == 9 - from);
    CHECK(bits_of(again) == bits_of(net));
  }

  // Stopped in the third validation, with which it ends.
  checkpoints.clear();
  llama::model stopped = small_model(llama::adapter_method::sbora_fa);
  const signalling_source interrupted(validation, 7);
  const auto part = llama::train(stopped, plan, {data, &interrupted, &checkpoints}, nullptr, pool, alone);
  CHECK(part.signal == SIGINT);
  CHECK_FALSE(part.early);
  CHECK(checkpoints.unfinished());
  const auto state = checkpoints.load(*checkpoints.latest(), plan.options, net.parameters().size());
  llama::model resumed = small_model(llama::adapter_method::sbora_fa);
  const auto rest = llama::train(resumed, plan, {data, &validation}, &state, pool, alone);
  CHECK(rest.early);
  CHECK(rest.own_steps == 0);
  CHECK(bits_of(resumed) == bits_of(net));

  plan.patience = 0;
  plan.steps.max_steps = 12;
  llama::model all = small_model(llama::adapter_method::sbora_fa);
  CHECK(llama::train(all, plan, {data, &validation}, nullptr, pool, alone).steps == 12);
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
  CHECK_ERROR(std::runtime_error, "checkpoint-",
              llama::train(net, plan, {data, nullptr, &checkpoints}, nullptr, pool, alone));
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

TEST_CASE("train: every scored token of a step weighs the same, and micro-batches without any count for nothing") {
  llama::thread_pool pool(1);
  const llama::communicator alone;
  llama::model net = small_model(llama::adapter_method::sbora_fb);
  const listed_source data({scored_batch(8, 0), scored_batch(0, 1), scored_batch(2, 2), scored_batch(0, 3)});
  llama::loss_sum sum;
  for (const index_t i : {0, 2}) {
    net.set_training_step(static_cast<std::uint64_t>(i));
    sum += net.forward_backward(data.micro_batch(0, i), 1, pool);
  }
  CHECK(sum.count == 20);
  const auto result = llama::train(net, plan_of_one_step(4), {data}, nullptr, pool, alone);
  CHECK(result.last_loss == Approx(sum.mean()).epsilon(1e-12));

  // A step of one micro-batch and one beside empty ones: the same bits.
  llama::model one = small_model(llama::adapter_method::sbora_fb),
               beside = small_model(llama::adapter_method::sbora_fb);
  const listed_source single({scored_batch(3)}), diluted({scored_batch(3), scored_batch(0), scored_batch(0)});
  llama::train(one, plan_of_one_step(1), {single}, nullptr, pool, alone);
  const auto after = llama::train(beside, plan_of_one_step(3), {diluted}, nullptr, pool, alone);
  CHECK(bits_of(one) == bits_of(beside));
  const auto moved = bits_of(one);
  CHECK(std::ranges::count(moved, 0U) < std::ssize(moved));
  CHECK(after.last_loss > 2);
}

TEST_CASE("train: a step without scored tokens has no loss and no gradient") {
  const scratch_folder scratch;
  llama::metrics_file metrics(scratch.path / "metrics.jsonl", 0);
  llama::thread_pool pool(1);
  llama::model net = small_model(llama::adapter_method::sbora_fa);
  const auto before = bits_of(net);
  llama::training_plan plan = plan_of_one_step(2);
  plan.weight_decay = 0;
  const listed_source data({scored_batch(0), scored_batch(0)});
  llama::train(net, plan, {.data = data, .metrics = &metrics}, nullptr, pool, llama::communicator());
  CHECK(bits_of(net) == before);
  CHECK(llama::read_curve(scratch.path / "metrics.jsonl", "grad_norm").values == std::vector<double>{0});
  CHECK(llama::read_curve(scratch.path / "metrics.jsonl", "loss").values.empty());
}

TEST_CASE("evaluate: the mean over sequences of their micro-batch's mean, without those where nothing is scored") {
  llama::thread_pool pool(1);
  const llama::communicator alone;
  llama::model net = small_model(llama::adapter_method::sbora_fa);
  llama::token_batch half = scored_batch(1, 2);  // one sequence
  half.sequences = 1;
  half.tokens.resize(9), half.labels.resize(9), half.mask.resize(9);
  const listed_source data({scored_batch(8, 0), scored_batch(0, 1), half});
  const double first = net.evaluate(data.batches[0], pool).mean(), last = net.evaluate(half, pool).mean();
  const llama::validation_loss loss = llama::evaluate(net, data, pool, alone);
  CHECK(loss.sequences == 3);
  CHECK(loss.mean() == Approx((2 * first + last) / 3).epsilon(1e-12));
  CHECK(std::isnan(llama::evaluate(net, listed_source({scored_batch(0)}), pool, alone).mean()));
}

TEST_CASE("train: a base that isn't finite is named by file, tensor, place and step") {
  const scratch_folder scratch;
  const auto file = scratch.path / "model.safetensors";
  const auto [tensor, place, position] = GENERATE(
      table<const char*, const char*, index_t>({{"model.layers.1.mlp.up_proj.weight", "row 3, column 5", 3 * 16 + 5},
                                                {"model.layers.0.post_attention_layernorm.weight", "position 7", 7},
                                                {"model.embed_tokens.weight", "row 1, column 0", 16},
                                                {"lm_head.weight", "row 16, column 15", 17 * 16 - 1}}));
  small_model(llama::adapter_method::none).save(scratch.path);
  poison(file, tensor, position);
  const std::string where = file.string() + ": tensor " + tensor + " has NaN at " + place;

  llama::thread_pool pool(1);
  const llama::communicator alone;
  const auto data = small_data(5, llama::text_windows::order::drawn);
  llama::model net = llama::model::load(scratch.path, {}, pool);
  net.attach({.method = llama::adapter_method::sbora_fa,
              .rank = 4,
              .alpha = 8,
              .dropout = 0,
              .rslora = false,
              .target_modules = {"q_proj"},
              .seed = 3});
  const auto before = bits_of(net);
  const std::string message = sbora_tests::message_of<llama::input_error>(
      [&] { llama::train(net, small_plan(12, 5), {data}, nullptr, pool, alone); });
  CHECK_THAT(message, sbora_tests::contains("test: the loss at step 1 isn't finite"));
  CHECK_THAT(message, sbora_tests::contains(where));
  CHECK_THAT(message, !sbora_tests::contains("learning"));
  CHECK(bits_of(net) == before);

  llama::decoder generation(net, pool);
  CHECK_ERROR(llama::input_error, where, generation.prefill(llama::prompt_batch({{1, 4}}), 2));

  if (std::string(tensor).find("proj") == std::string::npos) return;
  for (const int bits : {4, 8}) {
    llama::load_options options;
    options.bits = bits;
    CHECK_ERROR(llama::input_error, file.string() + ": tensor " + tensor + " isn't finite at " + place,
                llama::model::load(scratch.path, options, pool));
  }
}

TEST_CASE("train: a trained number that isn't finite is named, with what helps") {
  llama::thread_pool pool(1);
  const auto data = small_data(5, llama::text_windows::order::drawn);
  llama::model net = small_model(llama::adapter_method::lora);
  net.parameters()[1] = INFINITY;
  CHECK_ERROR(std::runtime_error, "model.layers.0.self_attn.q_proj.lora_A has inf at row 0, column 1",
              llama::train(net, small_plan(12, 5), {data}, nullptr, pool, llama::communicator()));
}

TEST_CASE("train: a last step that overflows is found, and no checkpoint of it is left") {
  const scratch_folder scratch;
  const llama::checkpoint_folder checkpoints(scratch.path);
  llama::thread_pool pool(1);
  const auto data = small_data(5, llama::text_windows::order::drawn);
  // LoRA's B is zero, so A may be large; the decay of that step makes it infinite.
  llama::model net = small_model(llama::adapter_method::lora);
  for (float& value : net.parameters()) value *= 1e10F;
  llama::training_plan plan = plan_of_one_step(1);
  plan.learning_rate = 1e30;
  plan.weight_decay = 1;
  plan.save_step = 1;
  const std::string message = sbora_tests::message_of<std::runtime_error>([&] {
    llama::train(net, plan, {.data = data, .checkpoints = &checkpoints}, nullptr, pool, llama::communicator());
  });
  CHECK_THAT(message, sbora_tests::contains("test: a trained number after step 1 isn't finite"));
  CHECK_THAT(message, sbora_tests::contains("model.layers.0.self_attn.q_proj.lora_A has inf at row 0, column 0"));
  CHECK(checkpoints.list().empty());
}
