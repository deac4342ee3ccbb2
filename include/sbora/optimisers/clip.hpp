#pragma once

#include <cmath>
#include <initializer_list>
#include <span>

#include <sbora/core/finite.hpp>
#include <sbora/core/option.hpp>

namespace sbora::inline SBORA_ABI {

/// Sum of squares of a gradient; add those of several adapters for their common norm.
///
/// Cost        one read of the span.
/// Numerics    accumulates in double, in one fixed order.
/// Thread      pure.
template <class T>
double sum_of_squares(std::span<const T> gradient) noexcept {
  // Four sums, so that the additions' latency doesn't bound the pass.
  double sum[4] = {0, 0, 0, 0};
  std::size_t i = 0;
  for (; i + 4 <= gradient.size(); i += 4) {
    for (std::size_t lane = 0; lane < 4; ++lane) {
      const auto g = static_cast<double>(gradient[i + lane]);
      sum[lane] += g * g;
    }
  }
  for (; i < gradient.size(); ++i) sum[0] += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/// √ of the sum of squares over all spans: the global norm. Cost, numerics, thread as sum_of_squares.
template <class T>
double gradient_norm(std::initializer_list<std::span<const T>> gradients) noexcept {
  double sum = 0;
  for (const std::span<const T> gradient : gradients) sum += sum_of_squares(gradient);
  return std::sqrt(sum);
}
template <class T>
double gradient_norm(std::span<const T> gradient) noexcept {
  return std::sqrt(sum_of_squares(gradient));
}

/// The same of whatever is a span of float or double: adapter.gradient(), a vector, several of them in braces.
inline double sum_of_squares(std::span<const float> gradient) noexcept { return sum_of_squares<float>(gradient); }
inline double sum_of_squares(std::span<const double> gradient) noexcept { return sum_of_squares<double>(gradient); }
inline double gradient_norm(std::span<const float> gradient) noexcept { return gradient_norm<float>(gradient); }
inline double gradient_norm(std::span<const double> gradient) noexcept { return gradient_norm<double>(gradient); }
inline double gradient_norm(std::initializer_list<std::span<const float>> gradients) noexcept {
  return gradient_norm<float>(gradients);
}
inline double gradient_norm(std::initializer_list<std::span<const double>> gradients) noexcept {
  return gradient_norm<double>(gradients);
}

/// What gradients of that norm have to be multiplied by so that it is at most max_norm:
/// min(1, max_norm/(norm + 1e-6)). Pass it as step_options::gradient_scale; no pass of its own then.
/// Errors      config_error where max_norm isn't positive; not_finite_error (row and col -1) where the norm
///             isn't finite, as after a step that was too large.
/// Source      torch.nn.utils.clip_grad_norm_, error_if_nonfinite=True.
inline double clip_scale(double norm, double max_norm) {
  detail::check_option("sbora::clip_scale", "max_norm", detail::option_range::positive, max_norm);
  if (!detail::is_finite(norm)) {
    throw not_finite_error(detail::message({"sbora::clip_scale: the gradient's norm is ", detail::number_text(norm),
                                            "; training has diverged, or an input wasn't finite"}),
                           -1, -1);
  }
  return std::min(1.0, max_norm / (norm + 1e-6));
}

}  // namespace sbora::inline SBORA_ABI
