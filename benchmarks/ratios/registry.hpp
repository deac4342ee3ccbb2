#pragma once

/// The ratios that `run.sh --ratios` prints. To add one: write a function that verifies, measures with
/// bench::alternate and returns the value, and add a line to the table in registry.cpp. What isn't C++
/// (another interpreter's peer, say) is a script ratios/NAME.sh that prints its own line.

#include <span>
#include <string>

#include "../support/timing.hpp"

namespace bench {

struct ratio {
  const char* name;
  const char* bar;   ///< what the project promises, for people to read
  const char* what;  ///< numerator over denominator
  double (*measure)();
};

std::span<const ratio> ratios();

double merge_fa_vs_lora();
double merge_fb_vs_lora();
double merge_fa_of_bw();
double merge_fb_of_bw();
double adamw_of_bw();
double compile_cost();

/// A line on stderr, indented.
void note(const std::string& text);
/// Notes both arms of a measurement: median and spread, times `scale`.
void note(const alternation& measured, const char* first, const char* second, double scale,
          const char* unit);

}  // namespace bench
