#pragma once

#include <filesystem>
#include <variant>

namespace sbora_tool {

namespace fs = std::filesystem;

struct inspect_options {
  fs::path path;
  fs::path base;  ///< empty: none
  bool list = false;
};

enum class layout { native, official, peft };

struct convert_options {
  fs::path input;
  fs::path output;
  layout to = layout::native;
  fs::path base;  ///< empty: none
  bool lenient = false;
  bool rslora_flag = false;
  bool record_base = false;
  bool force = false;
};

struct merge_options {
  fs::path adapter;
  fs::path base;
  fs::path output;
  double multiplier = 1;
  bool whole = false;
  bool any_base = false;
  bool force = false;
};

struct diff_options {
  fs::path a;
  fs::path b;
  fs::path base;  ///< empty: none
  bool all = false;
};

/// monostate: --help or --version was answered.
using options = std::variant<std::monostate, inspect_options, convert_options, merge_options, diff_options>;

/// Throws input_error.
options parse_options(int argc, char** argv);

}  // namespace sbora_tool
