#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include <Eigen/Core>
#include <sbora/sbora.hpp>

#include "common/matrix.hpp"
#include "sizes.hpp"

namespace byte_lm {

using matrix_map = Eigen::Map<matrix>;

/// The weights of the model, or their gradients, as matrices over one flat array that someone else
/// owns. One array means one optimiser call, one copy, one comparison.
class model_view {
 public:
  explicit model_view(std::span<float> values) : data_(values.data()) {}

  static constexpr index_t size() { return offset(layer_count); }

  matrix_map embedding() const { return {data_, symbols, embedding_width}; }

  /// d_out x d_in, as PyTorch stores it.
  matrix_map weight(int layer) const { return {data_ + offset(layer), outputs(layer), width}; }

  std::span<float> bias(int layer) const {
    return {data_ + offset(layer) + outputs(layer) * width, static_cast<std::size_t>(outputs(layer))};
  }

  static constexpr index_t outputs(int layer) { return layer == output_layer ? symbols : width; }

 private:
  static constexpr index_t offset(int layer) {
    index_t result = symbols * embedding_width;
    for (int i = 0; i < layer; ++i) result += outputs(i) * (width + 1);
    return result;
  }

  float* data_;
};

/// Random weights: He's uniform initialisation for the layers before a ReLU, biases zero.
inline void initialise(model_view model, std::uint64_t seed) {
  sbora::random_stream random(seed, /*stream=*/3);
  const auto fill = [&](matrix_map values, double bound) {
    for (index_t i = 0; i < values.size(); ++i) {
      values.data()[i] = static_cast<float>((2 * random.uniform() - 1) * bound);
    }
  };
  fill(model.embedding(), 1.0);
  for (int layer = 0; layer < layer_count; ++layer) {
    fill(model.weight(layer), std::sqrt((layer == output_layer ? 1.0 : 6.0) / width));
    for (float& value : model.bias(layer)) value = 0;
  }
}

}  // namespace byte_lm
