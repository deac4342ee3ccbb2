#pragma once

#include <sbora/core/index.hpp>

namespace sbora::inline SBORA_ABI {

/// A matrix in a flat span of parameters: rows × cols numbers from `offset` on, row-major. The trained half of FA is
/// d_out × rank, that of FB rank × d_in.
struct parameter_block {
  index_t offset;
  index_t rows;
  index_t cols;

  friend bool operator==(const parameter_block&, const parameter_block&) = default;
};

}  // namespace sbora::inline SBORA_ABI
