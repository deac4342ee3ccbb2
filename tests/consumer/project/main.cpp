// The smallest program of a user, and what it must not have inherited from the library's targets.
#include <cstdio>
#include <vector>

#include <sbora/sbora.hpp>

#if !defined(NDEBUG)
#error "a Release consumer has NDEBUG, the library's targets must not change it"
#endif
#if defined(_OPENMP) || defined(SBORA_SINGLE_TARGET)
#error "flags or definitions leaked from the library's targets"
#endif

int main() {
  std::vector<float> weights(64, 1.0F);
  sbora::merger merger{sbora::weight_view<float>(weights.data(), 8, 8)};
  sbora::fa_adapter<float> adapter(8, 8, sbora::sample_region(8, 2, 1), {.alpha = 2});
  for (float& parameter : adapter.parameters()) parameter = 0.5F;

  merger.merge(adapter);
  float sum = 0;
  for (const float weight : weights) sum += weight;
  std::printf("sum after merging: %g\n", static_cast<double>(sum));
  return sum == 64.0F + 8 * 2 * 0.5F ? 0 : 1;
}
