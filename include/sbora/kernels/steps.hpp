#pragma once

#include <cstdint>

#include <sbora/core/index.hpp>

/// What kernels take to do a step of an optimiser. Rates are its numbers, each an optimiser's own: adding one is its
/// struct here, its name in the list at the end, and its step_rule in body/optimiser.inl.
namespace sbora::SBORA_KERNELS_ABI {

/// A step of an optimiser that treats every element alike, over [begin, end) of flat spans. `states` arrays are read
/// and written beside the parameters; with `state_is_optional` the first may be null.
template <class Rates>
struct step_args {
  using T = typename Rates::scalar;
  T* parameter = nullptr;
  const T* gradient = nullptr;
  T* state[Rates::states > 0 ? Rates::states : 1] = {};
  Rates rates = {};
  index_t begin = 0, end = 0;
};

template <class Rates>
struct step_kernels {
  void (*step)(const step_args<Rates>&) noexcept;
};

/// Of AdamW, moment corrections folded into step_size and denominator. What is left of one is given: 1 - 0.999999 of
/// floats would be off by a hundredth. State: first and second moment.
template <class T>
struct adamw_rates {
  using scalar = T;
  static constexpr int states = 2;
  static constexpr bool state_is_optional = false;
  T gradient_scale;
  T rest1;         ///< 1 - beta1
  T beta2, rest2;  ///< rest2 = 1 - beta2
  T epsilon;
  T decay;                    ///< 1 - learning_rate·weight_decay
  T step_size;                ///< learning_rate / (1 - beta1^step)
  T inverse_root_correction;  ///< 1 / sqrt(1 - beta2^step)
};

/// Of SGD. State: the velocity, null without momentum.
template <class T>
struct sgd_rates {
  using scalar = T;
  static constexpr int states = 1;
  static constexpr bool state_is_optional = true;
  T gradient_scale;
  T learning_rate, momentum, gradient_weight, weight_decay;
  bool nesterov;
};

/// Of Lion. State: the momentum.
template <class T>
struct lion_rates {
  using scalar = T;
  static constexpr int states = 1;
  static constexpr bool state_is_optional = false;
  T gradient_scale;
  T rest1, rest2;  ///< 1 - beta1, 1 - beta2
  T decay;         ///< 1 - learning_rate·weight_decay
  T learning_rate;
};

/// Of Muon, before its products: the "parameters" become what is made orthogonal. State: the momentum.
template <class T>
struct muon_direction_rates {
  using scalar = T;
  static constexpr int states = 1;
  static constexpr bool state_is_optional = false;
  T gradient_scale;
  T rest;  ///< 1 - momentum
  bool nesterov;
};

/// parameter = factor·gradient.
template <class T>
struct scaling_rates {
  using scalar = T;
  static constexpr int states = 0;
  static constexpr bool state_is_optional = false;
  T factor;
};

/// Of Muon, after them: parameter = decay·parameter - step_size·gradient, the gradient being the orthogonal direction.
template <class T>
struct muon_rates {
  using scalar = T;
  static constexpr int states = 0;
  static constexpr bool state_is_optional = false;
  T decay;  ///< 1 - learning_rate·weight_decay
  T step_size;
};

/// Elements that share a scale in moments of 8 bits.
inline constexpr index_t moment_block = 256;

/// An 8-bit map, and how magnitudes x in [0, 1] are rounded to it: with step = steps[(bits(x) >> 16) - first_step], the
/// entry is step >> 16, plus 1 if the low 16 bits of x exceed step's. Entries count from the code of zero, away from
/// it: downward for negative numbers.
struct moment_map {
  const float* value;          ///< of a code: 256
  const std::uint32_t* steps;  ///< of the upper 16 bits from first_step to last_step
  int code_of_zero;

  static constexpr int first_step = 0x3400;  // 2^-23: below half the least entry
  static constexpr int last_step = 0x3F80;   // 1
};

/// The moments of adamw_8bit: element i of block b = i / moment_block is value[code[i]]·absmax[b].
struct moment_codes {
  std::uint8_t* code;  ///< whole blocks: beyond the last element the code of zero
  float* absmax;
  moment_map map;
};

/// A step of AdamW with moments in 8 bits, decoded and rounded anew on the way. begin is a multiple of moment_block;
/// the last block may be a part.
struct adamw_8bit_args {
  float* parameter;
  const float* gradient;
  moment_codes first, second;
  adamw_rates<float> rates;
  index_t begin = 0, end = 0;
};

/// T is float: moments of 8 bits are of floats.
template <class T>
struct adamw_8bit_kernels {
  void (*step)(const adamw_8bit_args&) noexcept;
};

// Every family of this file: see families.hpp.
#define SBORA_STEPS_OF(T, FAMILY)               \
  FAMILY(step_kernels<adamw_rates<T>>)          \
  FAMILY(step_kernels<sgd_rates<T>>)            \
  FAMILY(step_kernels<lion_rates<T>>)           \
  FAMILY(step_kernels<muon_direction_rates<T>>) \
  FAMILY(step_kernels<scaling_rates<T>>)        \
  FAMILY(step_kernels<muon_rates<T>>)

}  // namespace sbora::SBORA_KERNELS_ABI
