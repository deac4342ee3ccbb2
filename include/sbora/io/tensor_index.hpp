#pragma once

#include <span>
#include <string_view>
#include <vector>

#include <sbora/core/compiled_once.hpp>
#include <sbora/io/tensor.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Tensors by name: their positions, so that it stays right when they move together with it. A binary search.
class tensor_index {
 public:
  tensor_index() = default;
  SBORA_IN_IO_INSTANCES explicit tensor_index(std::span<const tensor_view> tensors);

  /// Null where there is none of that name. Requires: the tensors that it was made of.
  SBORA_IN_IO_INSTANCES const tensor_view* find(std::span<const tensor_view> tensors,
                                                std::string_view name) const noexcept;
  /// One whose name another has too; null where there is none.
  SBORA_IN_IO_INSTANCES const tensor_view* repeated(std::span<const tensor_view> tensors) const noexcept;

 private:
  std::vector<std::size_t> by_name_;  // ascending
};

}  // namespace sbora::inline SBORA_ABI::detail
