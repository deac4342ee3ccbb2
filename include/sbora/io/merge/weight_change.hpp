#pragma once

#include <map>
#include <optional>
#include <string>

#include <sbora/adapters/full_tensor.hpp>
#include <sbora/adapters/trainable_tokens.hpp>
#include <sbora/adapters/weight_delta.hpp>
#include <sbora/weights/part.hpp>

namespace sbora::inline SBORA_ABI {

/// What is to be merged into a part of a tensor: weight number `slice` of a stack of them (three dimensions; 0 where
/// there are two), and of that the part, or all of it. The deltas are of the part's shape.
struct part_change {
  delta_list<float> deltas;
  index_t slice = 0;
  std::optional<weight_part> part = {};
  /// The part's rows may begin before the tensor's and end behind them: the deltas are of a weight of which the tensor
  /// has some rows, such as the gate of a gate_up. Of out_by_in.
  bool reaches_out = false;
};

/// What is to be merged into one tensor of a file. in_by_out for the transposed weights of Conv1D and
/// fan_in_fan_out. Parts that overlap are merged one after the other. Lifetime: the deltas point into their adapters.
struct weight_change {
  delta_list<float> deltas;
  storage order = storage::out_by_in;
  std::vector<part_change> parts = {};
  const full_tensor<float>* full = nullptr;  ///< instead of all that: what the tensor becomes, rounded to its type
  const trainable_tokens* tokens = nullptr;  ///< or some of its rows
};

/// By the tensor's name in the file.
using weight_changes = std::map<std::string, weight_change>;

}  // namespace sbora::inline SBORA_ABI
