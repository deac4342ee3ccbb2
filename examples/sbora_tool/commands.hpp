#pragma once

#include "options.hpp"

namespace sbora_tool {

/// Each returns the exit code, and throws for what went wrong.
int inspect(const inspect_options&);
int convert(const convert_options&);
int merge(const merge_options&);
int diff(const diff_options&);
int multi(const multi_options&);

}  // namespace sbora_tool
