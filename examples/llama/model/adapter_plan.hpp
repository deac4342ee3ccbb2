#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <sbora/regions/region.hpp>

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

/// One adapted linear layer, for saving, loading and comparing. The spans are parts of model::parameters().
struct adapter_slot {
  std::string module;  ///< "model.layers.0.self_attn.q_proj"
  adapter_method method;
  index_t d_out, d_in, rank;
  const sbora::region* target = nullptr;  ///< FA: its columns, FB: its rows
  std::span<float> a;                     ///< rank x d_in; empty for FA
  std::span<float> b;                     ///< d_out x rank; empty for FB
  std::size_t offset = 0;                 ///< of a (where there is one, else of b) in parameters()
};

}  // namespace llama
