#include "support/catch.hpp"
#include "support/message.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <sbora/io/safetensors/safetensors_writer.hpp>

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
  state.first_moment = {1, 2, static_cast<float>(step)};
  state.second_moment = {4, 5, 6};
  return state;
}

}  // namespace

TEST_CASE("run_state: read back bit for bit") {
  const scratch_folder scratch;
  const llama::checkpoint_folder folder(scratch.path);
  llama::run_state saved = state_of(7);
  folder.save(saved, options);
  llama::run_state read = folder.load(*folder.latest(), options, 3);
  CHECK(read.step == 7);
  CHECK(read.total_steps == 30);
  CHECK(read.parameters == saved.parameters);
  CHECK(std::signbit(read.parameters[1]));
  CHECK(read.first_moment == saved.first_moment);
  CHECK(read.second_moment == saved.second_moment);
  CHECK(read.best_parameters.empty());
  CHECK(read.best_loss == std::numeric_limits<double>::infinity());

  saved.best_parameters = {7, 8, 9};
  saved.best_loss = 0.1;
  saved.best_step = 6;
  folder.save(saved, options);
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
  for (const llama::index_t step : {8, 9, 10, 20}) folder.save(state_of(step), options);
  REQUIRE(folder.list().size() == 2);
  CHECK(folder.list()[0].filename() == "checkpoint-10.safetensors");
  CHECK(folder.latest()->filename() == "checkpoint-20.safetensors");
  CHECK(folder.unfinished().has_value());
  folder.save(state_of(30), options);
  CHECK_FALSE(folder.unfinished().has_value());
  folder.clear();
  CHECK(folder.list().empty());
  CHECK(std::filesystem::exists(scratch.path / "checkpoint-x.safetensors"));
}

TEST_CASE("checkpoint_folder: other options are refused by name, with both values") {
  const scratch_folder scratch;
  const llama::checkpoint_folder folder(scratch.path);
  folder.save(state_of(7), options);
  const auto file = *folder.latest();
  CHECK_ERROR(llama::input_error, "--lora_r was 8 and is 16, --seed was 42 and is 1",
              folder.load(file, {{"--lora_r", "16"}, {"--seed", "1"}}, 3));
  CHECK_ERROR(llama::input_error, "3 numbers in 'parameters', this run has 4", folder.load(file, options, 4));
}

TEST_CASE("checkpoint_folder: what isn't a whole checkpoint is refused") {
  const scratch_folder scratch;
  const llama::checkpoint_folder folder(scratch.path);
  CHECK_ERROR(llama::input_error, "no such file", folder.load(scratch.path / "nothing", options, 3));
  folder.save(state_of(7), options);
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
  write("sbora-run-9");
  CHECK_ERROR(llama::input_error, "a checkpoint of format \"sbora-run-9\", expected \"sbora-run-3\"",
              folder.load(file, options, 3));
}
