#pragma once

#include <string>
#include <string_view>

#include <sbora/core/errors.hpp>
#include <sbora/core/index.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What every merge says of the first element that it would spoil, row and column counted in W.
[[noreturn]] inline void throw_merge_not_finite(std::string_view who, index_t row, index_t col,
                                                std::string_view weight = "the weight") {
  throw not_finite_error(message({who, ": merging would leave row ", row, ", column ", col, " of ", weight,
                                  " not finite; check the adapter and the base for NaN, infinity and great numbers"}),
                         row, col);
}

}  // namespace sbora::inline SBORA_ABI::detail
