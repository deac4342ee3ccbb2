#pragma once

#include <vector>

#include "fine_tune.hpp"
#include "lora_layer.hpp"
#include "methods.hpp"

namespace byte_lm {

/// FA reads `rank` columns of the weight, FB writes `rank` rows; which ones is drawn from the seed.
template <class Adapter, class Base>
method_result fine_tune_sbora(const session<Base>& with, const char* key, const char* name) {
  const options& set = with.settings;
  return fine_tune(with, key, name + std::string(", rank ") + std::to_string(set.rank), set.rank * width,
                   [&](int layer, std::span<float> parameters, std::span<float> gradient) {
                     const sbora::region region =
                         sbora::sample_region(width, set.rank, set.seed + static_cast<std::uint64_t>(layer));
                     return sbora_layer<Base, Adapter>(
                         with.base, layer, Adapter(width, width, region, {.alpha = set.alpha}, parameters, gradient));
                   });
}

/// The same scale for every rank: with alpha fixed, half the rank would also double the step.
template <class Base>
method_result fine_tune_lora(const session<Base>& with, const char* key, index_t rank) {
  const options& set = with.settings;
  const double scale = set.alpha / static_cast<double>(set.rank);
  return fine_tune(with, key, "LoRA, rank " + std::to_string(rank), 2 * rank * width,
                   [&](int layer, std::span<float> parameters, std::span<float> gradient) {
                     return lora_layer<Base>(with.base, layer, rank, scale,
                                             set.seed + static_cast<std::uint64_t>(layer), parameters, gradient);
                   });
}

/// All methods over one kind of base: compiled in a file for each kind, since each takes a minute.
template <class Base>
std::vector<method_result> run_over(Base base, const method_inputs& in) {
  const session<Base> with{in.settings, base, in.base_text, in.task_text, in.pool, in.log};
  const index_t rank = with.settings.rank;
  std::vector<method_result> results;
  results.push_back(fine_tune_sbora<sbora::fa_adapter<float>>(with, "fa", "SBoRA-FA"));
  results.push_back(fine_tune_sbora<sbora::fb_adapter<float>>(with, "fb", "SBoRA-FB"));
  results.push_back(fine_tune_lora(with, "lora", rank));
  // As many trainable parameters as FA and FB (with an odd rank a little fewer).
  if (rank > 1) results.push_back(fine_tune_lora(with, "lora_half_rank", rank / 2));
  return results;
}

}  // namespace byte_lm
