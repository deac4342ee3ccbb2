#include "peers.hpp"

/// Built where oneDNN isn't installed.
extern "C" {
int onednn_available(int) { return 0; }
int onednn_bf16_available(int) { return 0; }
void onednn_forward(const float*, const float*, float*, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t) {}
void onednn_backward(const float*, const float*, float*, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t) {}
void onednn_forward_bf16(const void*, const void*, void*, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t) {}
void onednn_backward_bf16(const void*, const void*, void*, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t) {}
}
