#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "options.hpp"

namespace sbora_tool {

/// The commands below `multi`.
void add_multi(CLI::App& app, multi_options& into);

}  // namespace sbora_tool
