// expect: convert\(source, out\)
#include <vector>

#include <sbora/weights/convert.hpp>

void test(std::vector<float>& source, std::vector<float>& out, std::vector<Eigen::bfloat16>& narrow) {
#if defined(SBORA_COMPILE_FAIL)
  static_cast<void>(narrow);
  sbora::convert(source, out);
#else
  static_cast<void>(out);
  sbora::convert(source, narrow);
#endif
}
