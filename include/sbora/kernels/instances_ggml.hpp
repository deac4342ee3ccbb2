#pragma once

#include <sbora/kernels/instantiate.hpp>

/// The kernels of weights in ggml's blocks, compiled in this unit for the whole program; see instances.hpp.
SBORA_INSTANTIATE(SBORA_KERNELS_OF_GGML)
