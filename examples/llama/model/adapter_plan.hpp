#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/matrix.hpp"

namespace llama {

enum class adapter_method { none, sbora_fa, sbora_fb, lora };

/// Which adapters a model gets. Defaults are the official scripts'.
struct adapter_plan {
  adapter_method method = adapter_method::none;
  index_t rank = 32;
  double alpha = 64;
  double dropout = 0.05;
  bool rslora = false;
  /// A module gets an adapter where its name is one of these, or ends in "." and one of these (PEFT's rule).
  std::vector<std::string> target_modules = {"q_proj", "k_proj", "v_proj", "up_proj", "down_proj"};
  /// Regions, LoRA's start and dropout masks follow from it.
  std::uint64_t seed = 42;
};

}  // namespace llama
