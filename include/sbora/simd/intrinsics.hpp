#pragma once

#include <sbora/simd/target.hpp>

/// The processor's intrinsics: only for vec_*.hpp, since they take g++ 12 0.3 s to parse, half of Eigen/Core.
#if defined(SBORA_X86)
#include <immintrin.h>
#elif defined(SBORA_NEON)
#include <arm_neon.h>
#endif
