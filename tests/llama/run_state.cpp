#include "support/catch.hpp"
#include "support/message.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/optimisers/adamw.hpp>

#include "common/error.hpp"
#include "training/run_state.hpp"

namespace {

struct scratch_folder {
  scratch_folder() {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~scratch_folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path = std::filesystem::temp_directory_path() / "sbora_llama_run_state_test";
};

const llama::run_options options = {{"--lora_r", "8"}, {"--seed", "42"}};

llama::run_state state_of(llama::index_t step) {
  llama::run_state state;
  state.step = step;
  state.total_steps = 30;
  state.parameters = {1.5F, -0.0F, 3e-42F};
  return state;
}

/// An optimiser of three parameters that took a step.
sbora::adamw<float> optimiser_of(llama::index_t step) {
  sbora::adamw<float> optimiser(3);
  std::vector<float> parameters(3);
  const std::vector<float> gradient = {1, 2, static_cast<float>(step)};
  optimiser.step(parameters, gradient);
  optimiser.set_steps(step);
  return optimiser;
}

void save(const llama::checkpoint_folder& folder, const llama::run_state& state) {
  sbora::adamw<float> optimiser = optimiser_of(state.step);
  folder.save(state, sbora::tensors_of(optimiser), options);
}

}  // namespace

TEST_CASE("run_state: read back bit for bit") {
  const scratch_folder scratch;
  const llama::checkpoint_folder folder(scratch.path);
  llama::run_state saved = state_of(7);
  save(folder, saved);
  llama::run_state read = folder.load(*folder.latest(), options, 3);
  CHECK(read.step == 7);
  CHECK(read.total_steps == 30);
  CHECK(read.parameters == saved.parameters);
  CHECK(std::signbit(read.parameters[1]));
  sbora::adamw<float> optimiser(3), expected = optimiser_of(7);
  sbora::load_optimiser(read.file, optimiser);
  CHECK(std::ranges::equal(optimiser.first_moment(), expected.first_moment()));
  CHECK(std::ranges::equal(optimiser.second_moment(), expected.second_moment()));
  CHECK(optimiser.steps() == 7);
  CHECK(read.best_parameters.empty());
  CHECK(read.best_loss == std::numeric_limits<double>::infinity());

  saved.best_parameters = {7, 8, 9};
  saved.best_loss = 0.1;
  saved.best_step = 6;
  save(folder, saved);
  read = folder.load(*folder.latest(), options, 3);
  CHECK(read.best_parameters == saved.best_parameters);
  CHECK(read.best_loss == 0.1);
  CHECK(read.best_step == 6);
}

TEST_CASE("checkpoint_folder: the newest are kept, by number") {
  const scratch_folder scratch;
  const llama::checkpoint_folder folder(scratch.path, 2);
  CHECK_FALSE(folder.latest().has_value());
  CHECK_FALSE(folder.unfinished().has_value());
  std::ofstream(scratch.path / "checkpoint-x.safetensors") << "not one of ours";
  for (const llama::index_t step : {8, 9, 10, 20}) save(folder, state_of(step));
  REQUIRE(folder.list().size() == 2);
  CHECK(folder.list()[0].filename() == "checkpoint-10.safetensors");
  CHECK(folder.latest()->filename() == "checkpoint-20.safetensors");
  CHECK(folder.unfinished().has_value());
  save(folder, state_of(30));
  CHECK_FALSE(folder.unfinished().has_value());
  folder.clear();
  CHECK(folder.list().empty());
  CHECK(std::filesystem::exists(scratch.path / "checkpoint-x.safetensors"));
}

TEST_CASE("checkpoint_folder: other options are refused by name, with both values") {
  const scratch_folder scratch;
  const llama::checkpoint_folder folder(scratch.path);
  save(folder, state_of(7));
  const auto file = *folder.latest();
  CHECK_ERROR(llama::input_error, "--lora_r was 8 and is 16, --seed was 42 and is 1",
              folder.load(file, {{"--lora_r", "16"}, {"--seed", "1"}}, 3));
  CHECK_ERROR(llama::input_error, "3 numbers in 'parameters', this run has 4", folder.load(file, options, 4));
}

TEST_CASE("checkpoint_folder: what isn't a whole checkpoint is refused") {
  const scratch_folder scratch;
  const llama::checkpoint_folder folder(scratch.path);
  CHECK_ERROR(llama::input_error, "no such file", folder.load(scratch.path / "nothing", options, 3));
  save(folder, state_of(7));
  const auto file = *folder.latest();
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  CHECK_ERROR(llama::input_error, "checkpoint-7.safetensors", folder.load(file, options, 3));
}

TEST_CASE("checkpoint_folder: checkpoints of earlier versions are refused with the reason, and still counted") {
  const scratch_folder scratch;
  const llama::checkpoint_folder folder(scratch.path);
  const auto file = scratch.path / "checkpoint-7.safetensors";
  const std::vector<float> values = {1, 2, 3};
  const sbora::tensor_view tensor{"parameters", sbora::dtype::f32, {3}, std::as_bytes(std::span(values))};
  const auto write = [&](const char* format) {
    sbora::write_safetensors(file, std::vector{tensor},
                             {{"format", format}, {"step", "7"}, {"total_steps", "30"}, {"evaluation_due", "0"}});
  };
  write("sbora-run-2");
  CHECK_ERROR(llama::input_error,
              "written by an earlier version (format \"sbora-run-2\"), which didn't record enough "
              "to tell whether --base_model is still the same, and counted losses otherwise; finish the run with that "
              "version, or start anew",
              folder.load(file, options, 3));
  CHECK(folder.unfinished() == file);  // not overwritten without a word
  write("sbora-run-3");
  CHECK_ERROR(llama::input_error, "(format \"sbora-run-3\"), which kept AdamW's moments under names of its own",
              folder.load(file, options, 3));
  write("sbora-run-9");
  CHECK_ERROR(llama::input_error, "a checkpoint of format \"sbora-run-9\", expected \"sbora-run-4\"",
              folder.load(file, options, 3));
}
