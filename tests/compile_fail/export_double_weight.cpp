// expect: a weight is read row by row as floats \(dequantize, export_merged
#include <vector>

#include <sbora/quantized.hpp>

#if defined(SBORA_COMPILE_FAIL)
using scalar = double;
#else
using scalar = float;
#endif

void test(std::vector<scalar>& weight, std::vector<float>& out) {
  sbora::dequantize(sbora::weight_view<scalar>(weight.data(), 8, 8), sbora::weight_view<float>(out.data(), 8, 8));
}
