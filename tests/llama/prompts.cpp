#include "support/catch.hpp"

#include <algorithm>
#include <string>

#include "model/batch.hpp"
#include "bracketing_tokenizer.hpp"
#include "text/byte_tokenizer.hpp"
#include "llama_support.hpp"
#include "data/plain_rows.hpp"
#include "data/prompt.hpp"

using llama::byte_tokenizer;
using llama::evaluation_prompt;
using llama::example;
using llama::task_row;
using llama::token_ids;
using llama::training_prompt;
using llama_test::bracketing;

namespace {

const task_row question = {"What is 2 + 3?", "", "A: It is 5.", "5"};
const task_row with_input = {"Add.", "2, 3", "5", "5"};

}  // namespace

TEST_CASE("training prompts are finetune.py's, blank by blank") {
  CHECK(training_prompt(question) ==
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.  \n"
        "\n"
        "                ### Instruction:\n"
        "                What is 2 + 3?\n"
        "                \n"
        "                ### Response:\n"
        "                A: It is 5.");
  CHECK(training_prompt(with_input) ==
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request. \n"
        "\n"
        "                ### Instruction:\n"
        "                Add.\n"
        "                \n"
        "                ### Input:\n"
        "                2, 3\n"
        "                \n"
        "                ### Response:\n"
        "                5");
}

TEST_CASE("evaluation prompts are evaluate.py's, blank by blank") {
  CHECK(evaluation_prompt(question) ==
        "Below is an instruction that describes a task. Write a response that appropriately completes the request. \n"
        "\n"
        "                ### Instruction:\n"
        "                What is 2 + 3?\n"
        "\n"
        "                ### Response:\n"
        "                ");
  CHECK(evaluation_prompt(with_input) ==
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n"
        "\n"
        "                ### Instruction:\n"
        "                Add.\n"
        "\n"
        "                ### Input:\n"
        "                2, 3\n"
        "\n"
        "                ### Response:\n"
        "                ");
}

TEST_CASE("an example ends in the end of sequence where cutoff_len leaves room") {
  const byte_tokenizer bytes;
  const token_ids text = bytes.encode(training_prompt(question), true);
  token_ids ended = text;
  ended.push_back(byte_tokenizer::end);
  const auto length = std::ssize(text);

  example e = tokenise(question, bytes, {.cutoff_len = 4096});
  CHECK(e.tokens == ended);
  CHECK(e.labels == ended);
  CHECK(tokenise(question, bytes, {.cutoff_len = length + 1}).tokens == ended);
  CHECK(tokenise(question, bytes, {.cutoff_len = length}).tokens == text);
  e = tokenise(question, bytes, {.cutoff_len = 10});
  CHECK(e.tokens == token_ids(text.begin(), text.begin() + 10));
  CHECK(e.labels == e.tokens);
}

TEST_CASE("labels of the prompt are masked where inputs aren't trained on") {
  const byte_tokenizer bytes;
  task_row unanswered = question;
  unanswered.output.clear();
  const auto prompt = std::ssize(bytes.encode(training_prompt(unanswered), true));
  const example e = tokenise(question, bytes, {.cutoff_len = 4096, .train_on_inputs = false});
  REQUIRE(e.labels.size() == e.tokens.size());
  CHECK(std::ssize(e.tokens) == prompt + 11 + 1);  // "A: It is 5." and the end
  for (llama::index_t t = 0; t < std::ssize(e.labels); ++t) {
    const auto at = static_cast<std::size_t>(t);
    CHECK(e.labels[at] == (t < prompt ? llama::token_batch::not_scored : e.tokens[at]));
  }
  // Nothing is left to score where the prompt alone is longer.
  const example cut = tokenise(question, bytes, {.cutoff_len = 20, .train_on_inputs = false});
  CHECK(cut.tokens.size() == 20);
  CHECK(cut.labels == std::vector<std::int32_t>(20, llama::token_batch::not_scored));
}

TEST_CASE("cutting leaves the special tokens, and the end of sequence isn't put twice") {
  const bracketing by(true);
  const token_ids whole = tokenise(question, by, {.cutoff_len = 4096}).tokens;
  CHECK(whole == by.encode(training_prompt(question), true));
  CHECK(tokenise(question, by, {.cutoff_len = 4}).tokens == token_ids{300, 'B', 'e', 301});
}

TEST_CASE("with add_eos_token no end stands in a prompt, and the answer's first token is scored") {
  const bracketing by(true);
  const auto prompt = std::ssize(encode_prompt(llama::training_prompt({question.instruction, "", "", ""}), by));
  const example e = tokenise(question, by, {.cutoff_len = 4096, .train_on_inputs = false});
  REQUIRE(std::ssize(e.tokens) == prompt + 11 + 1);  // "A: It is 5." and the end
  CHECK(std::count(e.tokens.begin(), e.tokens.end(), 301) == 1);
  CHECK(e.labels == [&] {
    token_ids labels = e.tokens;
    std::fill_n(labels.begin(), prompt, llama::token_batch::not_scored);
    return labels;
  }());
  CHECK(e.labels[static_cast<std::size_t>(prompt)] == 'A');

  CHECK(llama::encode_prompt("ab", by) == token_ids{300, 'a', 'b'});
  const example plain = llama::tokenise_plain(question, by, {.cutoff_len = 4096, .train_on_inputs = false});
  CHECK(plain.tokens.front() == 300);
  CHECK(std::count(plain.tokens.begin(), plain.tokens.end(), 301) == 1);
  CHECK(plain.labels[question.instruction.size() + 2] == 'A');  // after the beginning and the line feed
}

TEST_CASE("a row that was cut is known, also where the tokenizer ends it") {
  CHECK(tokenise(question, bracketing(true), {.cutoff_len = 20}).cut);
  CHECK_FALSE(tokenise(question, bracketing(true), {.cutoff_len = 4096}).cut);
  CHECK(tokenise(question, byte_tokenizer(), {.cutoff_len = 20}).cut);
  const auto whole = std::ssize(byte_tokenizer().encode(training_prompt(question), true));
  CHECK_FALSE(tokenise(question, byte_tokenizer(), {.cutoff_len = whole}).cut);
}

TEST_CASE("a tokenizer without an end of sequence can't be trained with") {
  const bracketing by(false);
  CHECK(llama_test::mentions(llama_test::refusal([&] { tokenise(question, by, {}); }), "no end of sequence"));
}
