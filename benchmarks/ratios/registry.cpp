#include "registry.hpp"

#include <array>
#include <cstdio>

namespace bench {

std::span<const ratio> ratios() {
  static constexpr std::array table{
      ratio{"merge_fa_vs_lora", ">= 12",
            "time of a dense LoRA merge (Eigen, rank 64, 4096 x 4096 f32) over an FA merge's",
            merge_fa_vs_lora},
      ratio{"merge_fb_vs_lora", ">= 100", "the same over an FB merge's", merge_fb_vs_lora},
      ratio{"merge_fa_of_bw", ">= 0.7",
            "bytes of touched cache lines per second of an FA merge over memcpy's bytes per second",
            merge_fa_of_bw},
      ratio{"merge_fb_of_bw", ">= 0.85", "the same for an FB merge", merge_fb_of_bw},
      ratio{"adamw_of_bw", ">= 0.85",
            "28 bytes per element per second of an AdamW step over memcpy's bytes per second",
            adamw_of_bw},
      ratio{"compile_cost", "<= 2.0",
            "time to compile a file that includes <sbora/sbora.hpp> over one with <Eigen/Core>",
            compile_cost},
  };
  return table;
}

void note(const std::string& text) { std::fprintf(stderr, "  %s\n", text.c_str()); }

void note(const alternation& measured, const char* first, const char* second, double scale,
          const char* unit) {
  std::fprintf(stderr, "  %s: %.4g %s (MAD %.2g)\n", first, scale * median(measured.first), unit,
               scale * mad(measured.first));
  std::fprintf(stderr, "  %s: %.4g %s (MAD %.2g)\n", second, scale * median(measured.second), unit,
               scale * mad(measured.second));
  std::fprintf(stderr, "  pairs: %zu, ratio %.4g (MAD %.2g)\n", measured.first.size(), measured.ratio(),
               measured.spread());
}

}  // namespace bench
