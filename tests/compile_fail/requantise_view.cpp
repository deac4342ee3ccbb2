// expect: merge_requantized\(four_bit_weight, adapter\)
#include <Eigen/Core>
#include <sbora/quantized.hpp>

void test(sbora::four_bit_weight& codes, const sbora::fa_adapter<float>& adapter) {
#if defined(SBORA_COMPILE_FAIL)
  sbora::merge_requantized(codes.view(), adapter);
#else
  sbora::merge_requantized(codes, adapter);
#endif
}
