#pragma once

#include <sbora/kernels/instantiate.hpp>

/// The kernels of f16 weights, compiled in this unit for the whole program; see instances.hpp.
SBORA_INSTANTIATE(SBORA_KERNELS_OF_F16)
