#include "peers.hpp"

/// Built where OpenBLAS isn't installed.
extern "C" {
int openblas_available(int) { return 0; }
void openblas_forward(const float*, const float*, float*, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t) {}
void openblas_backward(const float*, const float*, float*, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t) {}
}
