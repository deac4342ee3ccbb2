#pragma once

/// What the compiler must be told before anything else of sbora makes sense. abi.hpp, and with it every header,
/// includes this first. An #error alone is followed by hundreds of others; a file that isn't there ends it.

#if defined(_MSVC_LANG)
#define SBORA_LANGUAGE _MSVC_LANG
#else
#define SBORA_LANGUAGE __cplusplus
#endif

// clang-format off: #error in one line
#if SBORA_LANGUAGE < 202002L
#error \
    "sbora needs C++20: compile with -std=c++20 (g++ 11, clang 14 or later); in CMake link sbora::sbora, which asks for it"
#define SBORA_STOP_HERE <sbora/needs_cxx20>
#include SBORA_STOP_HERE
#elif !defined(__cpp_exceptions)
#error \
    "sbora needs exceptions, by which it reports all errors: compile without -fno-exceptions, at least the units that include it"
#define SBORA_STOP_HERE <sbora/needs_exceptions>
#include SBORA_STOP_HERE
#endif
// clang-format on

#undef SBORA_LANGUAGE
