#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include <sbora/core/executor.hpp>

namespace sbora::inline SBORA_ABI {

/// What may change from step to step.
struct step_options {
  double learning_rate;       ///< finite in the parameters' type
  double gradient_scale = 1;  ///< the same, 0 or a normal number; gradients are multiplied by it first: clip_scale,
                              ///< 1/micro-batches
};

/// One array of an optimiser's state, to be saved or put back.
struct optimiser_state {
  std::string_view name;  ///< "first_moment"
  std::variant<std::span<float>, std::span<double>, std::span<std::uint8_t>> values;

  std::size_t bytes() const noexcept {
    return std::visit([](const auto& span) { return span.size_bytes(); }, values);
  }
};

/// What trains a flat span of parameters: adamw, adamw_8bit, sgd, lion, muon, or one of yours.
///
/// Effect      step(parameters, gradient, now) and the same with an executor: one step. Parameters and gradient are
///             parameter_count() numbers each; what is wrong throws before anything is written.
///             steps(), set_steps(n) and state() are all that a step depends on besides: who puts them back goes on as
///             if nothing had happened. io/optimiser_state.hpp saves and loads them.
///             `name` is what errors and files call it.
/// Numerics    results don't depend on the executor.
template <class Optimiser>
concept optimiser = requires(Optimiser& it, const Optimiser& constant, std::span<typename Optimiser::scalar> parameters,
                             std::span<const typename Optimiser::scalar> gradient, step_options now, index_t steps) {
  { Optimiser::name } -> std::convertible_to<std::string_view>;
  it.step(parameters, gradient, now);
  it.step(parameters, gradient, now, serial_executor());
  { constant.parameter_count() } -> std::same_as<index_t>;
  { constant.steps() } -> std::same_as<index_t>;
  it.set_steps(steps);
  { it.state()[0] } -> std::convertible_to<optimiser_state>;
  { constant.state_bytes() } -> std::same_as<std::size_t>;
};

}  // namespace sbora::inline SBORA_ABI
