#pragma once

#include "multi_task/results.hpp"
#include "multi_task/subject.hpp"

namespace multi_task {

// The questions, by their names in a results file. tables.cpp has their tables.
inline constexpr const char* alone_question = "alone";
inline constexpr const char* forgetting_question = "forgetting";
inline constexpr const char* together_question = "together";
inline constexpr const char* sequence_question = "sequence";
inline constexpr const char* interference_question = "interference";
inline constexpr const char* columns_question = "columns";
inline constexpr const char* done_question = "done";  ///< a seed is

inline constexpr const char* base_text_name = "base text";

/// Asks a subject all questions for one seed, but those that have been answered. What is trained for one question is
/// used by the others.
void ask_all(subject& of, results& answers, std::uint64_t seed);

}  // namespace multi_task
