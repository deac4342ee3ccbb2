#pragma once

#include <map>
#include <string>

#include <sbora/adapters/weight_delta.hpp>

namespace sbora::inline SBORA_ABI {

/// What is to be merged into one tensor of a file. in_by_out for the transposed weights of Conv1D and
/// fan_in_fan_out. Lifetime: the deltas point into their adapters.
struct weight_change {
  delta_list<float> deltas;
  storage order = storage::out_by_in;
};

/// By the tensor's name in the file.
using weight_changes = std::map<std::string, weight_change>;

}  // namespace sbora::inline SBORA_ABI
