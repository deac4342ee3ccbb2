#pragma once

#include <algorithm>
#include <numeric>

#include <sbora/io/tensor_index.hpp>

namespace sbora::inline SBORA_ABI::detail {

SBORA_INSTANCE_OF tensor_index::tensor_index(std::span<const tensor_view> tensors) : by_name_(tensors.size()) {
  std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
  std::sort(by_name_.begin(), by_name_.end(),
            [&](std::size_t a, std::size_t b) { return tensors[a].name < tensors[b].name; });
}

SBORA_INSTANCE_OF const tensor_view* tensor_index::find(std::span<const tensor_view> tensors,
                                                        std::string_view name) const noexcept {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                   [&](std::size_t i, std::string_view key) { return tensors[i].name < key; });
  return at != by_name_.end() && tensors[*at].name == name ? &tensors[*at] : nullptr;
}

SBORA_INSTANCE_OF const tensor_view* tensor_index::repeated(std::span<const tensor_view> tensors) const noexcept {
  const auto twice = std::adjacent_find(by_name_.begin(), by_name_.end(), [&](std::size_t a, std::size_t b) {
    return tensors[a].name == tensors[b].name;
  });
  return twice != by_name_.end() ? &tensors[*twice] : nullptr;
}

}  // namespace sbora::inline SBORA_ABI::detail
