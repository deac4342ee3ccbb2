#pragma once

#include <cstdint>

#include <sbora/core/abi.hpp>

namespace sbora::inline SBORA_ABI {

/// Which masks a training call's dropout has, where a call is of many adapters: the same number for a step's forward
/// and its backward, another for the next step.
struct training_step {
  std::uint64_t dropout_step = 0;
};

}  // namespace sbora::inline SBORA_ABI
