#pragma once

#include <string>

#include "model/linear_layers.hpp"
#include "model/model.hpp"

namespace bench {

using llama::index_t;

/// Model flops of a step with FA on q, k, v, up and down, two for each multiply-add of
///     the forward of every linear layer, and of the head for the tokens that have a next one,
///     their dX, but for the layers whose input nothing below is trained by: q, k and v of the first block,
///     the adapters: B in the forward, dB, and the part of dX where there is dX,
///     attention over the keys that a query may see: two products forward, four backward.
/// Not counted: what is computed again in the backward, padding, keys that aren't seen, gradients of frozen weights,
/// norms, softmax, rotation, swiglu, loss, AdamW.
inline double model_flops(const llama::model& net, const llama::token_batch& batch) {
  const llama::model_config& config = net.config();
  const auto count = [](index_t number) { return static_cast<double>(number); };
  const double tokens = count(batch.sequences * batch.length), scored = count(batch.sequences * (batch.length - 1));
  const double seen = count(batch.sequences) * count(batch.length * (batch.length + 1) / 2);
  double sum = 2 * scored * count(config.vocab_size * config.hidden_size);
  for (index_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    for (const llama::linear_layer& each : llama::linear_layers(config)) {
      const bool has_dx = layer > 0 || !(each.name.ends_with("q_proj") || each.name.ends_with("k_proj") ||
                                         each.name.ends_with("v_proj"));
      sum += (has_dx ? 2 : 1) * tokens * count(each.d_out * each.d_in);
      if (each.name.ends_with("o_proj") || each.name.ends_with("gate_proj")) continue;
      sum += (has_dx ? 3 : 2) * tokens * count(each.d_out * net.plan().rank);
    }
    sum += 6 * seen * count(config.query_size());
  }
  return 2 * sum;
}

}  // namespace bench
