#pragma once

#include <sbora/core/index.hpp>

namespace byte_lm {

using sbora::index_t;

/// Bytes that the model sees before the one it predicts.
inline constexpr index_t context = 32;

inline constexpr index_t symbols = 256;
inline constexpr index_t embedding_width = 16;

/// The hidden layers are square (32 bytes of 16 features in, as many out), so that FA and FB train the
/// same number of parameters at the same rank.
inline constexpr index_t width = context * embedding_width;

/// Layers 0 and 1 are hidden and get adapters, layer 2 is the output.
inline constexpr int layer_count = 3;
inline constexpr int output_layer = 2;

}  // namespace byte_lm
