#pragma once

#include <sbora/kernels/instantiate.hpp>

/// The kernels of weights of 4-bit codes, compiled in this unit for the whole program; see instances.hpp.
SBORA_INSTANTIATE(SBORA_KERNELS_OF_FOUR_BIT)
