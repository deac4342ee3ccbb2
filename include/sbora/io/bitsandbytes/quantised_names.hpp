#pragma once

#include <string>
#include <string_view>

#include <sbora/core/abi.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What lies beside bitsandbytes' codes of 4 bits: the weight's name and one of these.
inline constexpr std::string_view four_bit_parts[] = {".absmax",
                                                      ".quant_map",
                                                      ".nested_absmax",
                                                      ".nested_quant_map",
                                                      ".quant_state.bitsandbytes__nf4",
                                                      ".quant_state.bitsandbytes__fp4"};
/// And beside those of LLM.int8: the module's name, a dot where it isn't empty, and one of these.
inline constexpr std::string_view int8_parts[] = {"SCB", "weight_format"};

/// What the weight "MODULE.weight" is kept as where it isn't numbers, by what lies beside it or in its place; empty
/// where it is numbers, or not there. `all`: has find(name), null where there is none.
template <class Tensors>
std::string quantised_as(const Tensors& all, std::string_view weight) {
  const std::string name(weight);
  if (all.find(name + ".quant_state.bitsandbytes__nf4") != nullptr) return "bitsandbytes' codes of 4 bits (NF4)";
  if (all.find(name + ".quant_state.bitsandbytes__fp4") != nullptr) return "bitsandbytes' codes of 4 bits (FP4)";
  if (all.find(name + ".absmax") != nullptr) return "bitsandbytes' codes of 4 bits";
  constexpr std::string_view ending = "weight";
  if (!name.ends_with(ending)) return {};
  const std::string module = name.substr(0, name.size() - ending.size());
  if (all.find(module + "SCB") != nullptr) return "bitsandbytes' codes of 8 bits (LLM.int8)";
  if (all.find(module + "qweight") != nullptr) return "codes of GPTQ or AWQ";
  if (all.find(module + "weight_packed") != nullptr) return "codes of compressed-tensors";
  return {};
}

}  // namespace sbora::inline SBORA_ABI::detail
