#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include <sbora/core/index.hpp>

namespace sbora_tool {

namespace fs = std::filesystem;

struct inspect_options {
  fs::path path;
  fs::path base;  ///< empty: none
  bool list = false;
};

enum class layout { native, official, peft, paca, gguf };

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
  std::string blocks = "requantised";
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

enum class multi_action { init, claim, release, transfer, status, merge, remove, verify, combine };

struct multi_options {
  multi_action action = multi_action::status;
  fs::path ledger;
  fs::path base;
  fs::path model;
  fs::path output;
  std::string task;
  std::string to;
  std::vector<std::string> tasks;
  bool force = false;
  // init
  bool crossing = false;
  // claim
  fs::path adapter;  ///< empty: none
  fs::path of;       ///< empty: none
  std::vector<std::string> modules;
  std::string kind = "fa";
  sbora::index_t rank = 8;
  sbora::index_t block = 1;
  double alpha = 16;
  std::uint64_t seed = 1;
  // status
  fs::path svg;  ///< empty: none
  // combine
  std::string method = "linear";
  std::vector<double> weights;
  double density = 1;
};

/// monostate: --help or --version was answered.
using options =
    std::variant<std::monostate, inspect_options, convert_options, merge_options, diff_options, multi_options>;

/// Throws input_error.
options parse_options(int argc, char** argv);

}  // namespace sbora_tool
