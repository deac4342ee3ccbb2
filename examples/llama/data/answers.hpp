#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/prompt.hpp"

namespace llama {

/// How a test file's answers look, and so how one is found in a response: the official evaluate.py's and
/// commonsense_evaluate.py's rules. They go by the name of the data set; we go by the answers.
struct answer_rule {
  /// Commonsense, and AQuA's letters: the first of these that the response has. Empty: its last number.
  std::vector<std::string> choices;
  index_t max_new_tokens = 256;  ///< the scripts' defaults: 32 for commonsense

  bool is_number() const { return choices.empty(); }
};

/// The rule that all answers follow. Errors: input_error that names the first row whose answer doesn't.
answer_rule rule_of(const std::vector<task_row>& rows, const std::string& path);

/// What the scripts take for the response: without a second "### Response:" and blanks at the ends.
std::string response_of(std::string_view generated, const answer_rule& rule);

/// The answer that a response gives; empty where it gives none. Commas in numbers are left out.
std::string extract_answer(std::string_view response, const answer_rule& rule);

/// Numbers may differ by 0.001.
bool is_correct(std::string_view predicted, std::string_view answer, const answer_rule& rule);

}  // namespace llama
