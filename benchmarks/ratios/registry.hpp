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
double touch_fa_of_bw();
double adamw_of_bw();
double gemm_f32_of_peak();
double gemm_f32_vs_eigen();
double gemm_f32_vs_onednn();
double gemm_f32_vs_onednn_n16();
double gemm_f32_vs_onednn_n64();
double gemv_f32_of_bw();
double gemm_bf16_of_peak();
double gemm_bf16_vs_onednn();
double gemv_bf16_of_bw();
double gemv_f16_of_bw();
double forward_overhead_fa();
double forward_overhead_fb();
double forward_overhead_fa_n1();
double forward_overhead_fb_n1();
double step_overhead_fa();
double step_overhead_fb();
double threads2_speedup();
double gemm_nf4_vs_f32();
double gemm_nf4_bf16_of_peak();
double gemv_nf4_of_bw();
double gemv_nf4_int8_of_bw();
double gemm_nf4_int8_vs_bf16();
double gemv_int8_of_bw();
double gemm_q4_1_vs_f32();
double gemm_q4_k_vs_f32();
double gemv_q4_1_of_bw();
double gemv_q8_0_of_bw();
double gemv_nf4_vs_f32();
double monotone();
double narrow();
double step_overhead_fa_nf4();
double step_overhead_fb_nf4();
double mixed_64_adapters();
double mixed_512_8();
double mixed_step_512_8();
double mixed_vs_serial();
double store_overhead();
double experts_overhead();
double embedding_of_bw();
double scorer_overhead();
double batch_invariant_n1();
double batch_invariant_n64();
double compile_cost();
double compile_io();
double compile_unit();
double compile_unit_separate();
double compile_kernels();

/// A line on stderr, indented.
void note(const std::string& text);
/// Notes both arms of a measurement: median and spread, times `scale`.
void note(const alternation& measured, const char* first, const char* second, double scale, const char* unit);

}  // namespace bench
