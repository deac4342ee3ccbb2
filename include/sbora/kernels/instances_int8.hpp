#pragma once

#include <sbora/kernels/instantiate.hpp>

/// The kernels of weights of int8 and fp8 codes, compiled in this unit for the whole program; see instances.hpp.
SBORA_INSTANTIATE(SBORA_KERNELS_OF_INT8)
