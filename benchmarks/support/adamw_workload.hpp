#pragma once

/// One AdamW step over flat spans.
///
/// Byte model, per element: w, g, m, v read and w, m, v written, 7 * sizeof(Scalar) = 28 in f32; with moments in
/// 8 bits 16.

#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <sbora/optimisers/adamw_8bit.hpp>
#include <sbora/sbora.hpp>

#include "memory.hpp"
#include "random.hpp"

namespace bench {

template <class Scalar, class Optimiser = sbora::adamw<Scalar>>
class adamw_workload {
 public:
  static constexpr bool exact = std::is_same_v<Optimiser, sbora::adamw<Scalar>>;
  static constexpr double bytes_per_element = exact ? 7.0 * sizeof(Scalar) : 3.0 * sizeof(Scalar) + 4;

  explicit adamw_workload(std::size_t count)
      : parameters_(count), gradient_(count), optimiser_(static_cast<sbora::index_t>(count)) {
    fill_uniform(parameters_.span(), 21);
    fill_uniform(gradient_.span(), 22);
  }

  void step() { optimiser_.step(parameters_.span(), std::as_const(gradient_).span()); }
  std::size_t size() const { return parameters_.size(); }
  double bytes() const { return bytes_per_element * static_cast<double>(parameters_.size()); }

  /// Throws unless the first steps of every element agree with the definition, computed in double. Moments in 8
  /// bits are rounded from the second step on.
  static void verify() {
    constexpr std::size_t count = 1003;
    constexpr int steps = exact ? 5 : 1;
    adamw_workload work(count);
    const sbora::adamw_options options;
    std::vector<double> w(work.parameters_.begin(), work.parameters_.end());
    std::vector<double> m(count);
    std::vector<double> v(count);
    for (int t = 1; t <= steps; ++t) {
      work.step();
      for (std::size_t i = 0; i < count; ++i) {
        const auto g = static_cast<double>(work.gradient_[i]);
        m[i] = options.beta1 * m[i] + (1 - options.beta1) * g;
        v[i] = options.beta2 * v[i] + (1 - options.beta2) * g * g;
        const double m_hat = m[i] / (1 - std::pow(options.beta1, t));
        const double v_hat = v[i] / (1 - std::pow(options.beta2, t));
        w[i] -= options.learning_rate * options.weight_decay * w[i];
        w[i] -= options.learning_rate * m_hat / (std::sqrt(v_hat) + options.epsilon);
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (!(std::abs(static_cast<double>(work.parameters_[i]) - w[i]) < 1e-6)) {
        throw std::runtime_error("AdamW: element " + std::to_string(i) + " is wrong");
      }
    }
  }

 private:
  buffer<Scalar> parameters_;
  buffer<Scalar> gradient_;
  Optimiser optimiser_;
};

}  // namespace bench
