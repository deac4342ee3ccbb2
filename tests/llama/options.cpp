#include "support/catch.hpp"
#include "support/message.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/error.hpp"
#include "common/folders.hpp"
#include "program/options.hpp"

namespace {

llama::options parse(std::vector<std::string> words) {
  words.insert(words.begin(), "llama");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const auto set = llama::parse_options(static_cast<int>(argv.size()), argv.data());
  REQUIRE(set.has_value());
  return *set;
}

const std::vector<std::string> with_base = {"--base_model", "b", "--data_path", "d.json"};

std::vector<std::string> base_and(std::initializer_list<std::string> more) {
  std::vector<std::string> words = with_base;
  words.insert(words.end(), more);
  return words;
}

}  // namespace

TEST_CASE("options: the official scripts' names and defaults") {
  const llama::options set = parse(with_base);
  CHECK(set.output_dir == "./lora-alpaca");
  CHECK(set.adapter_name == "sbora_fa");
  CHECK(set.lora_r == 8);
  CHECK(set.lora_alpha == 16);
  CHECK(set.lora_dropout == 0.05);
  CHECK(set.batch_size == 128);
  CHECK(set.micro_batch_size == 4);
  CHECK(set.accumulation() == 32);
  CHECK(set.num_epochs == 3);
  CHECK(set.learning_rate == 3e-4);
  CHECK(set.weight_decay == 0);
  CHECK(set.warmup_steps == 100);
  CHECK(set.max_grad_norm == 1);
  CHECK(set.cutoff_len == 256);
  CHECK(set.val_set_size == 2000);
  CHECK(set.train_on_inputs);
  CHECK(set.eval_step == 200);
  CHECK(set.save_step == 200);
  CHECK_FALSE(set.use_gradient_checkpointing);
  CHECK(set.bits == 16);
}

TEST_CASE("options: the embedded cycle has its own defaults, and keeps what was given") {
  const llama::options set = parse({"--lora_r", "8", "--num_epochs", "2"});
  CHECK(set.embedded());
  CHECK(set.adapter_name.empty());
  CHECK(set.lora_r == 8);
  CHECK(set.max_steps == 0);  // epochs were asked for
  CHECK(set.batch_size == 16);
  CHECK(parse({}).max_steps > 0);
}

TEST_CASE("options: switches alone, or with a value as the official scripts give it") {
  CHECK(parse(base_and({"--use_gradient_checkpointing"})).use_gradient_checkpointing);
  CHECK(parse(base_and({"--use_gradient_checkpointing", "True", "--seed", "3"})).use_gradient_checkpointing);
  CHECK_FALSE(parse(base_and({"--train_on_inputs", "False"})).train_on_inputs);
  CHECK_FALSE(parse(base_and({"--double_quant=no"})).double_quant);
  CHECK(parse(base_and({"--bf16"})).bf16);
}

TEST_CASE("options: target modules as JSON or with commas") {
  const std::vector<std::string> expected = {"q_proj", "v_proj"};
  CHECK(parse(base_and({"--target_modules", R"(["q_proj", "v_proj"])"})).target_modules == expected);
  CHECK(parse(base_and({"--target_modules", "q_proj,v_proj"})).target_modules == expected);
  for (const char* text : {"[q_proj,v_proj]", "[q_proj, v_proj]", "['q_proj', 'v_proj']", " [ \"q_proj\",v_proj ] ",
                           "q_proj, v_proj", "\"q_proj\",'v_proj'"}) {
    CAPTURE(text);
    CHECK(parse(base_and({"--target_modules", text})).target_modules == expected);
    CHECK(parse(base_and({std::string("--target_modules=") + text})).target_modules == expected);
  }
  // What a shell makes of a list that isn't quoted; other options may follow, and the last one counts.
  const llama::options split =
      parse(base_and({"--target_modules", "k_proj", "--target_modules", "[q_proj,", "v_proj]", "--seed", "9"}));
  CHECK(split.target_modules == expected);
  CHECK(split.seed == 9);
  CHECK(parse(base_and({"--target_modules", "[layers.0.self_attn.q_proj]"})).target_modules ==
        std::vector<std::string>{"layers.0.self_attn.q_proj"});
}

TEST_CASE("options: what is wrong is named") {
  CHECK_ERROR(llama::input_error, "--data_path", parse({"--base_model", "b"}));
  CHECK_ERROR(llama::input_error, "--nonsense", parse({"--nonsense"}));
  CHECK_ERROR(llama::input_error, "--lora_r", parse({"--lora_r", "0"}));
  CHECK_ERROR(llama::input_error, "--lora_r", parse({"--lora_r", "1.5"}));
  CHECK_ERROR(llama::input_error, "--learning_rate", parse({"--learning_rate", "nan"}));
  CHECK_ERROR(llama::input_error, "--learning_rate", parse({"--learning_rate", "1e999"}));
  CHECK_ERROR(llama::input_error, "--lora_dropout", parse({"--lora_dropout", "1"}));
  CHECK_ERROR(llama::input_error, "--seed", parse({"--seed", "-1"}));
  CHECK_ERROR(llama::input_error, "--seed", parse({"--seed", "18446744073709551616"}));
  CHECK_ERROR(llama::input_error, "--bits", parse({"--bits", "5"}));
  CHECK_ERROR(llama::input_error, "--quant_type", parse({"--quant_type", "int4"}));
  CHECK_ERROR(llama::input_error, "--adapter_name", parse({"--adapter_name", "dora"}));
  CHECK_ERROR(llama::input_error, "--train_on_inputs", parse({"--train_on_inputs", "maybe"}));
  CHECK_ERROR(llama::input_error, "--target_modules", parse({"--target_modules", "q_proj,,v_proj"}));
  CHECK_ERROR(llama::input_error, "--target_modules", parse({"--target_modules", "[\"q_proj\", 3]"}));
  for (const char* text : {"[q_proj", "q_proj]", "[]", "", "q proj", "[q_proj,,v_proj]", "q_proj,\"v_proj"}) {
    CAPTURE(text);
    CHECK_ERROR(llama::input_error, "--target_modules", parse(base_and({"--target_modules", text})));
  }
  CHECK_ERROR(llama::input_error, "--target_modules", parse(base_and({"--target_modules", "[q_proj,", "--seed", "9"})));
  CHECK_ERROR(llama::input_error, "--early_stopping_patience",
              parse(base_and({"--early_stopping_patience", "2", "--val_set_size", "0"})));
  CHECK_ERROR(llama::input_error, "--early_stopping_patience",
              parse(base_and({"--early_stopping_patience", "2", "--eval_step", "0"})));
  CHECK_ERROR(llama::input_error, "--batch_size", parse({"--batch_size", "10", "--micro_batch_size", "4"}));
  CHECK_ERROR(llama::input_error, "--base_steps", parse(base_and({"--base_steps", "3"})));
  CHECK_ERROR(llama::input_error, "--base_model", parse({"--base_model", ""}));
  CHECK_ERROR(llama::input_error, "--eval_files", parse({"--eval_files", "x.json"}));
  CHECK_ERROR(llama::input_error, "--loss_files", parse({"--loss_files", "x.json"}));
  CHECK_ERROR(llama::input_error, "--eval_rows", parse(base_and({"--eval_rows", "-1"})));
  CHECK_ERROR(llama::input_error, "--resume_from_checkpoint", parse({"--resume_from_checkpoint", "x.safetensors"}));
}

TEST_CASE("options: a folder that can't be written is found out at once") {
  const auto folder = std::filesystem::temp_directory_path() / "sbora_llama_options_test";
  std::filesystem::remove_all(folder);
  llama::prepare_folder("--output_dir", (folder / "deep").string());
  CHECK(std::filesystem::is_empty(folder / "deep"));
  std::ofstream(folder / "file") << "in the way";
  llama::check_folder("--output_dir", (folder / "new" / "folder").string());
  CHECK_FALSE(std::filesystem::exists(folder / "new"));
  CHECK_ERROR(llama::input_error, "file isn't a folder",
              llama::check_folder("--output_dir", (folder / "file" / "dir").string()));
  CHECK_ERROR(llama::input_error, "--output_dir", llama::prepare_folder("--output_dir", (folder / "file").string()));
  std::filesystem::remove_all(folder);
}
