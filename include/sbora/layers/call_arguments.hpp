#pragma once

#include <tuple>

#include <sbora/core/executor.hpp>
#include <sbora/core/workspace.hpp>
#include <sbora/products/activation.hpp>
#include <sbora/adapters/saved.hpp>
#include <sbora/adapters/weight_delta.hpp>

namespace sbora::inline SBORA_ABI {

/// Where backward shall not compute dx: the first layer of a network.
struct no_dx_t {};
inline constexpr no_dx_t no_dx{};

}  // namespace sbora::inline SBORA_ABI

/// Whether the types of a call's arguments fit, and else what is wrong first. Every public call comes twice: as what
/// it is, for fitting arguments, and as a function of any arguments whose body says what doesn't fit
/// (call_mistakes.inl). So a mistake is the first and only error that is reported.
namespace sbora::inline SBORA_ABI::detail {

template <class Adapter>
concept adapter_like = requires(const Adapter& a) {
  a.delta();
  typename Adapter::saved_type;
};

enum class layer_call { forward, backward, delta_forward, delta_backward };

enum class call_mistake {
  none,
  workspace,
  order,
  executor,
  no_activation,
  indirect,
  transposed,
  scalar,
  read_only,
  adapter_scalar,
  adapter_const,
  saved,
  saved_input,
  temporary
};

/// Of an input or a result of a call that computes in Scalar.
template <class Scalar, class Argument, bool IsResult, bool MayBeBf16>
constexpr call_mistake activation_mistake() {
  using object = std::remove_cvref_t<Argument>;
  if constexpr (!is_activation_view<object> && !eigen_dense<object>) {
    return call_mistake::no_activation;
  } else {
    if constexpr (eigen_dense<object>) {
      if constexpr (!is_direct<object>) return call_mistake::indirect;
      else if constexpr (is_transposed<object>) return call_mistake::transposed;
    }
    using element = activation_element_t<Argument>;
    using stored = stored_as<element>;
    const bool fits =
        std::is_same_v<stored, Scalar> || (MayBeBf16 && std::is_same_v<stored, bf16> && std::is_same_v<Scalar, float>);
    if (!fits) return call_mistake::scalar;
    return IsResult && std::is_const_v<element> ? call_mistake::read_only : call_mistake::none;
  }
}

/// Whether Saved is what an adapter of this kind fills and reads.
template <class Adapter, class Saved>
inline constexpr bool is_saved_of = [] {
  using T = typename Adapter::scalar;
  if constexpr (saves_gathered(Adapter::kind)) return std::is_same_v<Saved, fa_saved<T>>;
  else return std::is_same_v<Saved, fb_saved<T>> || std::is_same_v<Saved, fb_saved<T, Eigen::bfloat16>>;
}();

/// Of adapter and record of a training call on x (or dy).
template <layer_call Call, class X, class Adapter, class Saved>
constexpr call_mistake training_mistake() {
  constexpr bool is_forward = Call == layer_call::forward || Call == layer_call::delta_forward;
  using adapter = std::remove_cvref_t<Adapter>;
  using saved = std::remove_cvref_t<Saved>;
  if constexpr (!is_saved_of<adapter, saved>) {
    return call_mistake::saved;
  } else {
    const bool can_be_filled = std::is_lvalue_reference_v<Saved> && !std::is_const_v<std::remove_reference_t<Saved>>;
    if (is_forward && !can_be_filled) return call_mistake::saved;
    const bool has_steps = requires(adapter& a) { a.next_dropout_step(); };  // with_gradient is for backwards
    if ((is_forward && !has_steps) || !std::is_lvalue_reference_v<Adapter> ||
        std::is_const_v<std::remove_reference_t<Adapter>>) {
      return call_mistake::adapter_const;
    }
    if constexpr (is_forward && !saves_gathered(adapter::kind)) {
      using input = std::remove_const_t<std::remove_pointer_t<decltype(std::declval<saved>().input().data)>>;
      if (!std::is_same_v<input, stored_as<activation_element_t<X>>>) return call_mistake::saved_input;
      if (is_owning_temporary<X>) return call_mistake::temporary;
    }
    return call_mistake::none;
  }
}

/// The first mistake in (x, y, [deltas | adapter | adapter, saved,] workspace [, executor]), all as references.
template <layer_call Call, class Scalar, class... Arguments>
constexpr call_mistake find_call_mistake() {
  constexpr bool is_delta = Call == layer_call::delta_forward || Call == layer_call::delta_backward;
  constexpr std::size_t count = sizeof...(Arguments);
  constexpr std::size_t place = [] {
    const bool is_workspace[] = {std::is_convertible_v<Arguments, workspace&>..., true};
    std::size_t at = 0;
    while (!is_workspace[at]) ++at;
    return at;
  }();
  if constexpr (place == count) {
    return call_mistake::workspace;
  } else if constexpr (place < (is_delta ? 3 : 2) || place > 4 || count > place + 2) {
    return call_mistake::order;
  } else {
    using all = std::tuple<Arguments...>;
    using x = std::tuple_element_t<0, all>;
    using y = std::tuple_element_t<1, all>;
    using last = std::tuple_element_t<count - 1, all>;
    using third = std::remove_cvref_t<std::tuple_element_t<2, all>>;
    if constexpr (place >= 3 && adapter_like<third>) {
      if constexpr (!std::is_same_v<typename third::scalar, Scalar>) return call_mistake::adapter_scalar;
    } else if constexpr (place == 4 || (place == 3 && !std::is_convertible_v<std::tuple_element_t<2, all>,
                                                                             std::span<const weight_delta<Scalar>>>)) {
      return call_mistake::order;
    }
    if constexpr (count == place + 2 && !executor<std::remove_reference_t<last>>) return call_mistake::executor;

    constexpr call_mistake in = activation_mistake<Scalar, x, false, true>();
    if constexpr (in != call_mistake::none) return in;
    if constexpr (!(place == 4 && std::is_same_v<std::remove_cvref_t<y>, no_dx_t>)) {
      constexpr call_mistake out = activation_mistake<Scalar, y, true, !is_delta>();
      if constexpr (out != call_mistake::none) return out;
    }
    if constexpr (place == 4 && adapter_like<third> && in == call_mistake::none) {
      return training_mistake<Call, x, std::tuple_element_t<2, all>, std::tuple_element_t<3, all>>();
    }
    return call_mistake::none;
  }
}

template <layer_call Call, class Scalar, class... Arguments>
inline constexpr call_mistake mistake_of_call = find_call_mistake<Call, Scalar, Arguments&&...>();

/// The same of delta_forward and delta_backward, which name the adapter first.
template <layer_call Call, class... Arguments>
inline constexpr call_mistake mistake_of_delta_call = call_mistake::order;
template <layer_call Call, class Adapter, class X, class Y, class... Rest>
  requires adapter_like<std::remove_cvref_t<Adapter>>
inline constexpr call_mistake mistake_of_delta_call<Call, Adapter, X, Y, Rest...> =
    find_call_mistake<Call, typename std::remove_cvref_t<Adapter>::scalar, X&&, Y&&, Adapter&&, Rest&&...>();

template <layer_call Call, class Scalar, class... Arguments>
concept fits_call = mistake_of_call<Call, Scalar, Arguments...> == call_mistake::none;
template <layer_call Call, class... Arguments>
concept fits_delta_call = mistake_of_delta_call<Call, Arguments...> == call_mistake::none;

}  // namespace sbora::inline SBORA_ABI::detail
