#pragma once

#include <string>
#include <vector>

#include <sbora/core/checked_size.hpp>

namespace sbora::inline SBORA_ABI {

/// A tensor of the model that an adapter replaces as a whole: a bias, the weight of a normalisation or of a head, as
/// PEFT's `bias` and `modules_to_save` train them.
///
/// Shapes      values: all elements, row-major.
/// Thread      a value.
template <class T>
struct full_tensor {
  std::string name;  ///< as the model's files have it: model.norm.weight
  std::vector<index_t> shape;
  std::vector<T> values;
};

}  // namespace sbora::inline SBORA_ABI
