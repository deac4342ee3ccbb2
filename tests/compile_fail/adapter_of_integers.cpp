// expect: the trained half of an adapter is float or double
#include <Eigen/Core>
#include <sbora/sbora.hpp>

#if defined(SBORA_COMPILE_FAIL)
using scalar = int;
#else
using scalar = double;
#endif

void test() { sbora::fa_adapter<scalar> adapter(4, 4, sbora::sample_region(4, 2, 1)); }
