#pragma once

#include <sbora/kernels/instantiate.hpp>

/// The kernels of f32 weights, of f32 activations, and of what is computed in f32,
/// compiled in this unit for the whole program; see instances.hpp.
SBORA_INSTANTIATE(SBORA_KERNELS_OF_F32)
