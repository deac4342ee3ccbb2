#include "support/catch.hpp"

#include "common/json_file.hpp"
#include "llama_support.hpp"
#include "program/model_card.hpp"

using llama_test::mentions;

namespace {

llama::model_card card_of_a_run() {
  return {.title = "SBoRA-FA, rank 8",
          .base_model = "models/a \"b\"|c",
          .options = {{"--lora_r", "8"}, {"--seed", "42"}},
          .loss = {{1, 2, 3}, {2.5, 2.25, 2.125}},
          .validation = {{2, 3}, {2.0, 2.5}},
          .has_plot = true,
          .has_peft = true};
}

}  // namespace

TEST_CASE("a model card has the base, options, losses and the plot") {
  const std::string text = llama::text_of(card_of_a_run());
  CHECK(text.starts_with("---\nlibrary_name: peft\n"));
  CHECK(mentions(text, "\nbase_model: \"models/a \\\"b\\\"|c\"\n---\n"));
  CHECK(mentions(text, "# SBoRA-FA, rank 8\n"));
  CHECK(mentions(text, "adapter of models/a \"b\"\\|c,"));
  CHECK(mentions(text, "| training, first | 2.5000 | 1 |\n| training, last | 2.1250 | 3 |\n"));
  CHECK(mentions(text, "| validation, lowest | 2.0000 | 2 |\n| validation, last | 2.5000 | 3 |\n"));
  CHECK(mentions(text, "](loss.svg)"));
  CHECK(mentions(text, "`peft/`"));
  CHECK(mentions(text, "| --lora_r | 8 |\n| --seed | 42 |\n"));

  llama::model_card bare = card_of_a_run();
  bare.loss = bare.validation = {};
  bare.has_plot = bare.has_peft = false;
  for (const char* const part : {"Losses", "loss.svg", "peft/"}) CHECK_FALSE(mentions(llama::text_of(bare), part));
}

TEST_CASE("a model card replaces an older one, and nobody's own README") {
  const llama_test::scratch_directory folder;
  llama::model_card card = card_of_a_run();
  llama::write_model_card(folder.path(), card);
  card.title = "another";
  llama::write_model_card(folder.path(), card);
  CHECK(llama::read_file(folder.path() / "README.md") == llama::text_of(card));
  folder.write("README.md", "# mine\n");
  llama::write_model_card(folder.path(), card);
  CHECK(llama::read_file(folder.path() / "README.md") == "# mine\n");
}
