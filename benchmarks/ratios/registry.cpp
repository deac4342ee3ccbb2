#include "registry.hpp"

#include <array>
#include <cstdio>

namespace bench {

std::span<const ratio> ratios() {
  static constexpr std::array table{
      ratio{"merge_fa_vs_lora", ">= 12",
            "time of a dense LoRA merge (Eigen, rank 64, 4096 x 4096 f32) over an FA merge's", merge_fa_vs_lora},
      ratio{"merge_fb_vs_lora", ">= 100", "the same over an FB merge's", merge_fb_vs_lora},
      ratio{"merge_fa_of_bw", ">= 0.7",
            "bytes of touched cache lines per second of an FA merge over memcpy's bytes per second", merge_fa_of_bw},
      ratio{"merge_fb_of_bw", ">= 0.85", "the same for an FB merge", merge_fb_of_bw},
      ratio{"touch_fa_of_bw", "(none)", "bytes of the same lines, only read and written: what the machine can at most",
            touch_fa_of_bw},
      ratio{"adamw_of_bw", ">= 0.85", "28 bytes per element per second of an AdamW step over memcpy's bytes per second",
            adamw_of_bw},
      ratio{"gemm_f32_of_peak", ">= 0.85", "flops per second of a forward, 512 tokens, over the FMA peak in registers",
            gemm_f32_of_peak},
      ratio{"gemm_f32_vs_eigen", ">= 1.4", "Eigen's time for Y = X Wᵀ, 512 tokens, over ours", gemm_f32_vs_eigen},
      ratio{"gemm_f32_vs_onednn", ">= 1.03", "oneDNN's time for the same over ours", gemm_f32_vs_onednn},
      ratio{"gemm_f32_vs_onednn_n16", ">= 1.2", "the same with 16 tokens", gemm_f32_vs_onednn_n16},
      ratio{"gemm_f32_vs_onednn_n64", ">= 1.1", "the same with 64 tokens", gemm_f32_vs_onednn_n64},
      ratio{"gemv_f32_of_bw", ">= 0.90", "bytes of W per second of a forward of 1 token over read-only bandwidth",
            gemv_f32_of_bw},
      ratio{"gemm_bf16_of_peak", ">= 0.88",
            "flops per second of a forward in bf16, 512 tokens, over the vdpbf16ps peak", gemm_bf16_of_peak},
      ratio{"gemm_bf16_vs_onednn", ">= 0.97", "oneDNN's time for the same over ours", gemm_bf16_vs_onednn},
      ratio{"gemv_bf16_of_bw", ">= 0.90", "as gemv_f32_of_bw, with W and X in bf16", gemv_bf16_of_bw},
      ratio{"gemv_f16_of_bw", ">= 0.85", "as gemv_f32_of_bw, with W in f16", gemv_f16_of_bw},
      ratio{"forward_overhead_fa", "<= 0.02",
            "time of a forward with an FA adapter over one without, 512 tokens, minus 1", forward_overhead_fa},
      ratio{"forward_overhead_fb", "<= 0.02", "the same with an FB adapter", forward_overhead_fb},
      ratio{"forward_overhead_fa_n1", "<= 0.06", "FA, 1 token", forward_overhead_fa_n1},
      ratio{"forward_overhead_fb_n1", "<= 0.06", "FB, 1 token", forward_overhead_fb_n1},
      ratio{"step_overhead_fa", "<= 0.04",
            "time of forward + backward + AdamW with FA over frozen forward + dX, minus 1", step_overhead_fa},
      ratio{"step_overhead_fb", "<= 0.04", "the same with FB", step_overhead_fb},
      ratio{"threads2_speedup", ">= 1.85", "one thread's time of forward + backward, 512 tokens, over two threads'",
            threads2_speedup},
      ratio{"gemm_nf4_vs_f32", ">= 0.90", "our f32 forward's time over the NF4 forward's, 512 tokens, f32 activations",
            gemm_nf4_vs_f32},
      ratio{"gemm_nf4_bf16_of_peak", ">= 0.80",
            "flops per second of an NF4 forward, 512 tokens in bf16, over the vdpbf16ps peak", gemm_nf4_bf16_of_peak},
      ratio{"gemv_nf4_of_bw", ">= 0.85",
            "bytes of codes and absmax per second of a forward of 1 token over read-only bandwidth", gemv_nf4_of_bw},
      ratio{"gemv_nf4_int8_of_bw", ">= 0.80", "the same in compute::int8", gemv_nf4_int8_of_bw},
      ratio{"gemm_nf4_int8_vs_bf16", ">= 1.4",
            "time of an NF4 forward, 512 tokens in bf16, over the same in compute::int8", gemm_nf4_int8_vs_bf16},
      ratio{"gemm_q4_1_vs_f32", ">= 0.90", "our f32 forward's time over one over GGUF's Q4_1, 512 tokens",
            gemm_q4_1_vs_f32},
      ratio{"gemm_q4_k_vs_f32", ">= 0.90", "the same over Q4_K", gemm_q4_k_vs_f32},
      ratio{"gemv_q4_1_of_bw", ">= 0.80", "as gemv_nf4_of_bw over Q4_1 (AVX2: >= 0.40)", gemv_q4_1_of_bw},
      ratio{"gemv_q8_0_of_bw", ">= 0.80", "the same over Q8_0 (AVX2: >= 0.70)", gemv_q8_0_of_bw},
      ratio{"gemv_int8_of_bw", ">= 0.70", "as gemv_nf4_of_bw over int8 codes", gemv_int8_of_bw},
      ratio{"gemv_nf4_vs_f32", ">= 3", "our f32 forward's time over the NF4 forward's, 1 token, all cores",
            gemv_nf4_vs_f32},
      ratio{"monotone", "<= 1.10", "the worst time of n tokens over the least of any more, in a sweep", monotone},
      ratio{"narrow", "<= 1.15", "the worst time over a narrower storage over f32's, in the same sweep", narrow},
      ratio{"step_overhead_fa_nf4", "<= 0.04", "step_overhead_fa over an NF4 weight", step_overhead_fa_nf4},
      ratio{"step_overhead_fb_nf4", "<= 0.04", "the same with FB", step_overhead_fb_nf4},
      ratio{"mixed_64_adapters", "<= 0.08",
            "time of a forward of 64 tokens, each with another adapter of rank 8 to 64, over the frozen one, minus 1",
            mixed_64_adapters},
      ratio{"mixed_512_8", "<= 0.04", "the same of 512 tokens of 8 adapters, in any order", mixed_512_8},
      ratio{"mixed_step_512_8", "<= 0.06",
            "time of forward, dX and gradients of that batch over the frozen forward + dX, minus 1", mixed_step_512_8},
      ratio{"mixed_vs_serial", ">= 3", "time of one call a token, 64 tokens of 64 adapters, over the mixed batch's",
            mixed_vs_serial},
      ratio{"store_overhead", "<= 1.10",
            "time to decode with a store that has room for 100 of its 1,000 adapters, over one with room for all",
            store_overhead},
      ratio{"experts_overhead", "<= 0.05",
            "time of a grouped forward of 512 tokens, two of 8 experts each, with an adapter on each expert over the "
            "frozen one, minus 1",
            experts_overhead},
      ratio{"embedding_of_bw", ">= 0.7", "bytes of rows gathered per second over those of only reading the table",
            embedding_of_bw},
      ratio{"scorer_overhead", "<= 0.05",
            "time of forward + dX of a block's layers with gradient scorers on all over one without, minus 1",
            scorer_overhead},
      ratio{"batch_invariant_n1", "(none)",
            "time of a forward of 1 token with the same bits in any batch, over one that needn't", batch_invariant_n1},
      ratio{"batch_invariant_n64", "(none)", "the same of 64 tokens", batch_invariant_n64},
      ratio{"compile_cost", "<= 1.6",
            "time to compile a file that includes <sbora/sbora.hpp> over one with <Eigen/Core>", compile_cost},
      ratio{"compile_io", "<= 2.5", "the same of <sbora/io.hpp>", compile_io},
      ratio{"compile_unit", "<= 4", "the same of a unit that trains an FA layer over f32", compile_unit},
      ratio{"compile_unit_separate", "<= 2.2", "the same with SBORA_SEPARATE_KERNELS", compile_unit_separate},
      ratio{"compile_kernels", "<= 18", "the same of all kernels in one unit", compile_kernels},
  };
  return table;
}

void note(const std::string& text) { std::fprintf(stderr, "  %s\n", text.c_str()); }

void note(const alternation& measured, const char* first, const char* second, double scale, const char* unit) {
  std::fprintf(stderr, "  %s: %.4g %s (MAD %.2g)\n", first, scale * median(measured.first), unit,
               scale * mad(measured.first));
  std::fprintf(stderr, "  %s: %.4g %s (MAD %.2g)\n", second, scale * median(measured.second), unit,
               scale * mad(measured.second));
  std::fprintf(stderr, "  pairs: %zu, ratio %.4g (MAD %.2g)\n", measured.first.size(), measured.ratio(),
               measured.spread());
}

}  // namespace bench
