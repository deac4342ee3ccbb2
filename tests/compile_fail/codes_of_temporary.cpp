// expect: this memory is referred to, not copied, and a temporary's would be gone
// A view of quantised codes refers to them.
#include <Eigen/Core>
#include <sbora/sbora.hpp>

#include <sbora/quantized.hpp>

void test(const std::vector<float>& absmax) {
#if defined(SBORA_COMPILE_FAIL)
  const sbora::int8_view view(std::vector<std::int8_t>(12), absmax, 3, 4);
#else
  const std::vector<std::int8_t> codes(12);
  const sbora::int8_view view(codes, absmax, 3, 4);
#endif
  static_cast<void>(view);
}
