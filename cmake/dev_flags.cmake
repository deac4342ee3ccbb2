# Warnings for code of this repository only. Never exported: users pick their own.
add_library(sbora_dev_flags INTERFACE)
target_compile_options(sbora_dev_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
# GCC 12's flow analysis is wrong about its own headers, std::string's and, where code is compiled for AVX-512, the
# intrinsics' `__m512 y = y` (GCC PR 105593, 105651): said, but no error.
target_compile_options(sbora_dev_flags INTERFACE
  "$<$<CXX_COMPILER_ID:GNU>:-Wno-error=maybe-uninitialized;-Wno-error=uninitialized;-Wno-error=array-bounds;-Wno-error=restrict>")
# Newer clangs warn of what is in others' headers: Catch2's __COUNTER__, the buffer of GCC 12's std::stable_sort.
set(newer_clang "$<AND:$<CXX_COMPILER_ID:Clang>,$<VERSION_GREATER_EQUAL:$<CXX_COMPILER_VERSION>,22>>")
target_compile_options(sbora_dev_flags INTERFACE
  "$<${newer_clang}:-Wno-c2y-extensions;-Wno-error=deprecated-declarations>")
