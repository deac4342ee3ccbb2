#pragma once

#include <sbora/simd/target.hpp>

/// The processor's intrinsics: only for vec_*.hpp, since <immintrin.h> takes g++ 12 half as long as Eigen/Core.
#if defined(SBORA_X86)
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ == 12 && !defined(_IMMINTRIN_H_INCLUDED)
// Of its parts, which ask for this macro, those that are used: of AVX-512, a third of the time was FP16 and others. Who
// includes all of it later gets the rest. Other releases have other parts.
#define _IMMINTRIN_H_INCLUDED
#include <smmintrin.h>
#include <avxintrin.h>
#include <avx2intrin.h>
#include <avx512fintrin.h>
#include <avx512vlintrin.h>
#include <avx512bwintrin.h>
#include <avx512dqintrin.h>
#include <avx512vlbwintrin.h>
#include <avx512vnniintrin.h>
#include <avx512bf16vlintrin.h>
#include <avx512bf16intrin.h>
#include <fmaintrin.h>
#include <f16cintrin.h>
#include <amxtileintrin.h>
#include <amxbf16intrin.h>
#undef _IMMINTRIN_H_INCLUDED
#else
#include <immintrin.h>
#endif
#elif defined(SBORA_NEON)
#include <arm_neon.h>
#endif
