#pragma once

#include <string>

#include "multi_task/results.hpp"

namespace multi_task {

/// All questions' tables in Markdown: mean ± standard deviation over the seeds. Rows and columns come in the order of
/// their first results, the base text last.
std::string tables_of(const results& from);

}  // namespace multi_task
