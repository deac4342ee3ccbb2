#pragma once

#include <functional>

#include <sbora/weights/four_bit_view.hpp>

#include "common/matrix.hpp"

namespace llama {

/// How the linear layers' weights are kept. Norms stay as they are stored, and embedding and head too but for bf16, as
/// bitsandbytes leaves them.
struct load_options {
  int bits = 16;  ///< 16: as stored (float32, bfloat16, float16, bitsandbytes' codes), in place; 8: LLM.int8; 4
  sbora::four_bit_type four_bit = sbora::four_bit_type::nf4;
  index_t blocksize = 64;
  bool double_quant = true;
  bool bf16 = false;  ///< rounds weights that are kept in 16 or 32 bits, and what is multiplied with weights
  /// Called with the layers done and all of them.
  std::function<void(index_t, index_t)> progress;
};

}  // namespace llama
