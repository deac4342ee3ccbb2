#include "support/catch.hpp"

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "data/answers.hpp"
#include "bracketing_tokenizer.hpp"
#include "data/evaluation.hpp"
#include "data/sample_answers.hpp"
#include "llama_support.hpp"
#include "text/byte_tokenizer.hpp"

using llama::answer_rule;
using llama::byte_tokenizer;
using llama::index_t;
using llama::rule_of;
using llama::task_row;
using llama::token_ids;
using llama_test::mentions;
using llama_test::refusal;

namespace {

std::vector<task_row> rows_with(const std::vector<std::string>& answers) {
  std::vector<task_row> rows;
  for (const std::string& answer : answers) rows.push_back({"?", "", "", answer});
  return rows;
}

answer_rule rule_for(const std::string& answer) { return rule_of(rows_with({answer}), "test.json"); }

std::string extracted(const std::string& answer, const std::string& response) {
  const answer_rule rule = rule_for(answer);
  return extract_answer(response_of(response, rule), rule);
}

}  // namespace

TEST_CASE("numbers are extracted as evaluate.py does: the last one, commas left out") {
  CHECK(extracted("5", "There are 2 + 3 = 5 apples. The answer is 5.") == "5.");
  CHECK(extracted("5", "It costs $1,234.50 in all") == "1234.50");
  CHECK(extracted("5", "from 10 to -7 degrees") == "-7");
  CHECK(extracted("5", "5-3") == "-3");
  CHECK(extracted("5", "version 1.2.3") == "3");
  CHECK(extracted("5", "1.2.") == "1.2");
  CHECK(extracted("5", "- .5 -.") == "5");
  CHECK(extracted("5", "none") == "");
  CHECK(extracted("5", "") == "");
  CHECK(extracted("5", "It is 4. ### Response: It is 9.") == "4.");  // the first response counts
}

TEST_CASE("numbers are compared with a tolerance of 0.001") {
  const answer_rule rule = rule_for("2.5");
  CHECK(rule.is_number());
  CHECK(rule.max_new_tokens == 256);
  CHECK(is_correct("5.", "5.0", rule));
  CHECK(is_correct("-5", "-5.0", rule));
  CHECK(is_correct("0.3333", "0.333", rule));
  CHECK(!is_correct("0.335", "0.333", rule));
  CHECK(!is_correct("", "0", rule));
  CHECK(!is_correct(std::string(400, '9'), "5", rule));
}

TEST_CASE("choices are extracted as commonsense_evaluate.py does: the first one") {
  CHECK(extracted("true", "the correct answer is true, not false") == "true");
  CHECK(extracted("false", "untrue") == "true");
  CHECK(extracted("answer2", "the correct answer is answer4 or answer1") == "answer4");
  CHECK(extracted("solution1", "solution2") == "solution2");
  CHECK(extracted("ending1", "ending4 ending3") == "ending4");
  CHECK(extracted("option2", "I take option1.") == "option1");
  CHECK(extracted("true", "Maybe") == "");
  CHECK(extracted("true", "false ### Response: it is true") == "true");  // the last response counts
  CHECK(rule_for("answer5").max_new_tokens == 32);
  CHECK(is_correct("answer5", "answer5", rule_for("answer5")));
  CHECK(!is_correct("", "answer5", rule_for("answer5")));
}

TEST_CASE("AQuA's letters: the first capital from A to E") {
  CHECK(extracted("C", "The answer is (D), A or B.") == "D");
  CHECK(extracted("C", "Eh") == "E");
  CHECK(rule_for("C").max_new_tokens == 256);
}

TEST_CASE("answers that follow no rule are refused with their row") {
  const auto refused = [](const std::vector<std::string>& answers) {
    return refusal([&] { rule_of(rows_with(answers), "test.json"); });
  };
  CHECK(mentions(refused({"5", ""}), "test.json: row 1: field \"answer\" is missing or empty"));
  CHECK(mentions(refused({"5", "6.0", "C"}), "test.json: row 2: field \"answer\" = \"C\", expected a number"));
  CHECK(mentions(refused({"true", "5"}), "row 1: field \"answer\" = \"5\", expected true to false"));
  CHECK(mentions(refused({"yes"}), "row 0: field \"answer\" = \"yes\", expected a number"));
  CHECK(mentions(refused({"nan"}), "row 0: field \"answer\" = \"nan\", expected a number"));
}

TEST_CASE("a test file is answered in batches and marked row by row") {
  const llama_test::scratch_directory folder;
  const auto path = folder.write("test_sums.json", R"([
    {"instruction": "a long question: 1 + 1?", "input": "", "output": "", "answer": "2.0"},
    {"instruction": "2 + 2?", "input": "", "output": "", "answer": 4},
    {"instruction": "3 + 3?", "input": "", "output": "", "answer": "6"},
    {"instruction": "4 + 4?", "input": "", "output": "", "answer": "8"},
    {"instruction": "5 + 5?", "input": "", "output": "", "answer": "10"}])");
  const llama::test_file test = llama::read_test_file(path);
  CHECK(test.name == "test_sums");

  const byte_tokenizer bytes;
  const std::map<std::string, std::string> replies = {{"a long question: 1 + 1?", "The answer is 2."},
                                                      {"2 + 2?", " 4 "},
                                                      {"3 + 3?", "7"},
                                                      {"4 + 4?", "eight"},
                                                      {"5 + 5?", "1,0"}};
  std::vector<std::size_t> batches;
  index_t limit = 0;
  const llama::generator replying = [&](const std::vector<token_ids>& prompts, index_t max_new_tokens) {
    batches.push_back(prompts.size());
    limit = max_new_tokens;
    std::vector<token_ids> results;
    for (const token_ids& prompt : prompts) {
      CHECK(prompt.front() == byte_tokenizer::begin);
      for (const auto& [question, reply] : replies) {
        if (mentions(bytes.decode(prompt), "\n                " + question + "\n\n")) {
          results.push_back(bytes.encode(reply, false));
        }
      }
    }
    return results;
  };

  std::vector<index_t> done;
  std::int64_t said = 0;
  llama::evaluation_options options;
  options.batch_size = 2;
  options.progress = [&](index_t rows, index_t all, index_t, std::int64_t tokens) {
    done.push_back(rows);
    said += tokens;
    CHECK(all == 5);
  };
  const llama::evaluation result = evaluate_answers(test, bytes, replying, options);
  CHECK(batches == std::vector<std::size_t>{2, 2, 1});
  CHECK(done == std::vector<index_t>{2, 4, 5});
  CHECK(said == 16 + 3 + 1 + 5 + 3);  // bytes of the replies
  CHECK(limit == 256);
  CHECK(result.correct == 3);
  CHECK(result.unanswered == 1);
  CHECK(result.rows[0].correct);
  CHECK(result.rows[1].response == "4");
  CHECK(result.rows[2].predicted == "7");
  CHECK(!result.rows[2].correct);
  CHECK(evaluation_lines(result, "fa.") ==
        "result fa.test_sums.accuracy 0.6000\nresult fa.test_sums.correct 3\n"
        "result fa.test_sums.rows 5\nresult fa.test_sums.unanswered 1\n");
  const auto saved = nlohmann::json::parse(evaluation_json(test, result));
  CHECK(saved.size() == 5);
  CHECK(saved[1] == nlohmann::json{{"instruction", "2 + 2?"},
                                   {"input", ""},
                                   {"output", ""},
                                   {"answer", "4"},
                                   {"output_pred", "4"},
                                   {"pred", "4"},
                                   {"flag", true}});

  options = {};
  options.max_rows = 3;
  options.max_new_tokens = 7;
  CHECK(evaluate_answers(test, bytes, replying, options).rows.size() == 3);
  CHECK(limit == 7);
}

TEST_CASE("the model goes on from prompts that no end of sequence closes") {
  const llama_test::bracketing by(true);
  const llama::test_file test{"test", {{"2 + 2?", "", "", "4"}}, {}};
  std::vector<token_ids> asked;
  evaluate_answers(test, by,
                   [&](const std::vector<token_ids>& prompts, index_t) {
                     asked = prompts;
                     return std::vector<token_ids>(prompts.size());
                   },
                   {});
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].front() == 300);
  CHECK(asked[0].back() == ' ');
}

TEST_CASE("sample answers are of rows that are whole and of the template, whatever is trained on") {
  const byte_tokenizer bytes;
  const task_row row = {"What is 2 + 3?", "", "A: It is 5.", "5"};
  llama::dataset data;
  data.examples.push_back({.tokens = {'t', 'e', 'x', 't'}, .labels = {'t', 'e', 'x', 't'}});
  for (const bool train_on_inputs : {true, false}) {
    data.examples.push_back(tokenise(row, bytes, {.cutoff_len = 400, .train_on_inputs = train_on_inputs}));
  }
  data.examples.push_back(tokenise(row, bytes, {.cutoff_len = 230, .train_on_inputs = true}));
  REQUIRE(data.examples.back().cut);

  std::vector<std::string> asked;
  const llama::generator parrot = [&](const std::vector<token_ids>& prompts, index_t) {
    std::vector<token_ids> answers;
    for (const token_ids& prompt : prompts) {
      asked.push_back(bytes.decode(prompt));
      answers.push_back(bytes.encode("\n                A:  6.", false));
    }
    return answers;
  };
  const std::string sample = "\nquestion: What is 2 + 3? \nexpected: A: It is 5.\nanswered: A: 6.\n";
  CHECK(llama::sample_answers(data, std::vector<index_t>{0, 1, 2, 3}, bytes, parrot) == sample + sample);
  REQUIRE(asked.size() == 2);
  CHECK(asked[0] == asked[1]);
  CHECK(asked[0].ends_with("### Response:"));
  CHECK(llama::sample_answers(data, std::vector<index_t>{0, 3}, bytes, parrot).empty());
}
