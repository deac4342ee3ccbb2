#include "model/adapter_targets.hpp"

#include <algorithm>
#include <cmath>

#include "common/error.hpp"
#include "model/linear_layers.hpp"
#include "model/lora.hpp"

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

std::vector<std::string> default_targets(const model_config& config) {
  if (config.arch.fused) return {"qkv_proj", "gate_up_proj", "down_proj"};
  return {"q_proj", "k_proj", "v_proj", "up_proj", "down_proj"};
}

std::vector<adapted_layer> adapted_layers(const model_config& config, const adapter_plan& plan) {
  if (plan.method == adapter_method::none) return {};
  check_options(plan);
  std::vector<bool> found(plan.target_modules.size(), false);
  std::vector<adapted_layer> adapted;
  const std::vector<linear_layer> of_block = linear_layers(config);
  for (index_t number = 0; number < config.num_hidden_layers * std::ssize(of_block); ++number) {
    const auto& [own_name, d_out, d_in, has_bias] = of_block[static_cast<std::size_t>(number % std::ssize(of_block))];
    const std::string name = "model.layers." + std::to_string(number / std::ssize(of_block)) + "." + own_name;
    bool is_adapted = false;
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!is_target(name, plan.target_modules[i])) continue;
      found[i] = is_adapted = true;
    }
    if (!is_adapted) continue;
    const index_t most = plan.method == adapter_method::sbora_fa   ? d_in
                         : plan.method == adapter_method::sbora_fb ? d_out
                                                                   : std::min(d_in, d_out);
    if (plan.rank > most) {
      throw input_error("rank " + std::to_string(plan.rank) + " is larger than " + name + " allows for " +
                        method_name(plan.method) + ", which is " + std::to_string(most));
    }
    adapted.push_back({number, name, d_out, d_in, parameters_of(plan.method, d_out, d_in, plan.rank)});
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i]) continue;
    std::string known;
    for (const linear_layer& each : of_block) {
      known += (known.empty() ? "" : ", ") + each.name.substr(each.name.rfind('.') + 1);
    }
    throw input_error("target module \"" + plan.target_modules[i] + "\" is none of this model's, which are " + known +
                      " (embed_tokens and lm_head take no adapter)");
  }
  return adapted;
}

std::size_t parameter_count(const std::vector<adapted_layer>& layers) {
  std::size_t count = 0;
  for (const adapted_layer& layer : layers) count += layer.parameters;
  return count;
}

}  // namespace llama
