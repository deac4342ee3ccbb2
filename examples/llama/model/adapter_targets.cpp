#include "model/adapter_targets.hpp"

#include <algorithm>
#include <cmath>

#include "common/error.hpp"
#include "model/model_tensors.hpp"
#include "model/lora.hpp"
#include "weights/tensors.hpp"

namespace llama {
namespace {

/// PEFT's rule.
bool is_target(const std::string& module, const std::string& name) {
  return module == name || module.ends_with("." + name);
}

void check_options(const adapter_plan& plan) {
  if (plan.rank < 1) throw input_error("the adapters' rank must be at least 1, got " + std::to_string(plan.rank));
  if (!(plan.alpha > 0) || !std::isfinite(plan.alpha)) {
    throw input_error("the adapters' alpha must be positive, got " + std::to_string(plan.alpha));
  }
  if (!(plan.dropout >= 0 && plan.dropout < 1)) {
    throw input_error("the adapters' dropout must be in [0, 1), got " + std::to_string(plan.dropout));
  }
  if (plan.target_modules.empty()) throw input_error("no target modules");
}

std::size_t parameters_of(adapter_method method, index_t d_out, index_t d_in, index_t rank) {
  switch (method) {
    case adapter_method::sbora_fa: return static_cast<std::size_t>(d_out * rank);
    case adapter_method::sbora_fb: return static_cast<std::size_t>(rank * d_in);
    case adapter_method::lora: return static_cast<std::size_t>(lora::parameter_count(d_out, d_in, rank));
    case adapter_method::none: break;
  }
  return 0;
}

}  // namespace

const char* method_name(adapter_method method) {
  switch (method) {
    case adapter_method::sbora_fa: return "sbora_fa";
    case adapter_method::sbora_fb: return "sbora_fb";
    case adapter_method::lora: return "lora";
    case adapter_method::none: break;
  }
  return "none";
}

std::vector<adapted_layer> adapted_layers(const model_config& config, const adapter_plan& plan) {
  if (plan.method == adapter_method::none) return {};
  check_options(plan);
  std::vector<bool> found(plan.target_modules.size(), false);
  std::vector<adapted_layer> adapted;
  index_t number = 0;
  for (const tensor_shape& tensor : tensors_of(config)) {
    const std::string name = tensor.name.substr(0, tensor.name.rfind('.'));
    const bool is_linear = std::any_of(std::begin(linear_names), std::end(linear_names),
                                       [&](const char* linear) { return is_target(name, linear); });
    if (!is_linear) continue;
    bool is_adapted = false;
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!is_target(name, plan.target_modules[i])) continue;
      found[i] = is_adapted = true;
    }
    const index_t d_out = tensor.shape[0], d_in = tensor.shape[1];
    if (is_adapted) {
      const index_t most = plan.method == adapter_method::sbora_fa   ? d_in
                           : plan.method == adapter_method::sbora_fb ? d_out
                                                                     : std::min(d_in, d_out);
      if (plan.rank > most) {
        throw input_error("rank " + std::to_string(plan.rank) + " is larger than " + name + " allows for " +
                          method_name(plan.method) + ", which is " + std::to_string(most));
      }
      adapted.push_back({number, name, d_out, d_in, parameters_of(plan.method, d_out, d_in, plan.rank)});
    }
    ++number;
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i]) continue;
    throw input_error("target module \"" + plan.target_modules[i] +
                      "\" is none of this model's, which are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and "
                      "down_proj (embed_tokens and lm_head take no adapter)");
  }
  return adapted;
}

std::size_t parameter_count(const std::vector<adapted_layer>& layers) {
  std::size_t count = 0;
  for (const adapted_layer& layer : layers) count += layer.parameters;
  return count;
}

}  // namespace llama
