#pragma once

/// QSBoRA: 4-bit and 8-bit frozen weights for the layers of sbora.hpp, and optimiser state in 8 bits. sbora.hpp
/// doesn't include this, for its time to compile.

#include <sbora/weights/quantize.hpp>
#include <sbora/merge/export_merged.hpp>
#include <sbora/merge/requantize.hpp>
#include <sbora/optimisers/adamw_8bit.hpp>
#include <sbora/weights/four_bit_view.hpp>
#include <sbora/weights/int8_view.hpp>
