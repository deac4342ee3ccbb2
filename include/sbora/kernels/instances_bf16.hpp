#pragma once

#include <sbora/kernels/instantiate.hpp>

/// The kernels of bf16 weights and activations, compiled in this unit for the whole program; see instances.hpp.
SBORA_INSTANTIATE(SBORA_KERNELS_OF_BF16)
