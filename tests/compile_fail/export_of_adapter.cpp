// expect: deltas are a span
#include <Eigen/Core>
#include <sbora/quantized.hpp>

void test(const sbora::four_bit_view& codes, const sbora::fa_adapter<float>& adapter, sbora::weight_view<float> out) {
#if defined(SBORA_COMPILE_FAIL)
  sbora::export_merged(codes, adapter, out);
#else
  const auto delta = adapter.delta();
  sbora::export_merged(codes, {&delta, 1}, out);
#endif
}
