#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include <sbora/layers/linear.hpp>

namespace sbora::inline SBORA_ABI {

/// How far y = x·Wᵀ in compute::int8 is from y in full: norms of the difference over norms of y.
struct int8_error {
  double relative;     ///< of all tokens together
  double worst_token;  ///< of the token where it is greatest
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

inline double relative_norm(double difference, double whole) {
  if (difference == 0) return 0;
  return whole > 0 ? std::sqrt(difference / whole) : std::numeric_limits<double>::infinity();
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Measures compute::int8 on a weight and activations of yours: those that a layer sees in use, not random ones, since
/// the error depends on how far the features of a token differ in size.
///
/// Shapes      x: tokens × d_in, as of linear::forward.
/// Requires    a weight that computes in float. Where int8 isn't used (see compute), the error is 0.
/// Cost        both products; memory for y twice.
/// Numerics    sums of squares in double. A NaN or infinity in x gives NaN.
/// Errors      those of linear::forward.
template <class Weight, class X, class Executor = serial_executor>
  requires std::same_as<typename Weight::compute_scalar, float>
int8_error int8_error_of(const Weight& weight, X&& x, Executor&& pool = Executor{}) {
  linear<Weight> layer(weight);
  const auto in = detail::as_stored_activation<const float>(x);
  const auto size = static_cast<std::size_t>(in.tokens * layer.d_out());
  std::vector<float> full(size), rounded(size);
  workspace memory;
  layer.forward(x, activation_view<float>(full.data(), in.tokens, layer.d_out()), memory, pool);
  layer.set_compute(compute::int8);
  layer.forward(x, activation_view<float>(rounded.data(), in.tokens, layer.d_out()), memory, pool);
  double all_difference = 0, all = 0, worst = 0;
  for (std::size_t begin = 0; begin < size; begin += static_cast<std::size_t>(layer.d_out())) {
    double difference = 0, whole = 0;
    for (std::size_t i = begin; i < begin + static_cast<std::size_t>(layer.d_out()); ++i) {
      const double is = static_cast<double>(full[i]), off = static_cast<double>(rounded[i]) - is;
      difference += off * off;
      whole += is * is;
    }
    const double here = detail::relative_norm(difference, whole);
    worst = here > worst || here != here ? here : worst;
    all_difference += difference;
    all += whole;
  }
  return {detail::relative_norm(all_difference, all), worst};
}

}  // namespace sbora::inline SBORA_ABI
