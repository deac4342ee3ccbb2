#pragma once

#include <cmath>
#include <numbers>
#include <span>
#include <type_traits>

#include "model/config.hpp"
#include "common/matrix.hpp"

namespace llama {

/// Cosine and sine of position * frequency, positions x head_dim / 2.
///
/// Numerics    frequencies and angles are rounded to float as transformers rounds them: at position 1000
///             an exact angle would differ from its angle by 3e-5, and the logits with it.
template <class T>
struct rotary_table {
  matrix_of<T> cosine, sine;

  void extend(const model_config& config, index_t positions) {
    if (positions <= cosine.rows()) return;
    const Eigen::ArrayXf frequency = frequencies(config);
    cosine.resize(positions, frequency.size());
    sine.resize(positions, frequency.size());
    for (index_t position = 0; position < positions; ++position) {
      for (index_t i = 0; i < frequency.size(); ++i) {
        const float angle = static_cast<float>(position) * frequency(i);
        cosine(position, i) = static_cast<T>(std::cos(static_cast<double>(angle)));
        sine(position, i) = static_cast<T>(std::sin(static_cast<double>(angle)));
      }
    }
  }

  /// theta^(-2i/d), low ones divided by the factor as LLaMA 3.1 does.
  static Eigen::ArrayXf frequencies(const model_config& config) {
    Eigen::ArrayXf result(config.head_dim / 2);
    for (index_t i = 0; i < result.size(); ++i) {
      const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
      result(i) = 1.0f / std::pow(static_cast<float>(config.rope_theta), exponent);
      if (config.scaling) result(i) = rescaled(result(i), *config.scaling);
      if (!config.frequency_divisors.empty()) result(i) /= config.frequency_divisors[static_cast<std::size_t>(i)];
    }
    return result;
  }

 private:
  /// Wavelengths below the original context over high_freq_factor stay, those above it over
  /// low_freq_factor are stretched, in between it goes over smoothly. Source: LLaMA 3.1's reference code.
  static float rescaled(float frequency, const rope_scaling& with) {
    const auto context = static_cast<float>(with.original_max_position_embeddings);
    const auto low = static_cast<float>(with.low_freq_factor);
    const auto high = static_cast<float>(with.high_freq_factor);
    const auto factor = static_cast<float>(with.factor);
    const float wavelength = 2 * std::numbers::pi_v<float> / frequency;
    if (wavelength < context / high) return frequency;
    if (wavelength > context / low) return frequency / factor;
    const float smooth = (context / wavelength - low) / (high - low);
    return (1 - smooth) * frequency / factor + smooth * frequency;
  }
};

enum class rotation { forward, backward };

/// Rotates, in place, the pairs (i, i + d/2) of every head, or those of neighbours, by their token's angles; backward
/// by the opposite angles, which is what gradients need.
template <class T>
void rotate(matrix_of<T>& x, const model_config& config, std::span<const index_t> positions,
            const rotary_table<T>& table, rotation way, thread_pool& pool) {
  const index_t head_dim = config.head_dim, half = head_dim / 2;
  const T sign = way == rotation::forward ? T{1} : T{-1};
  const auto rotate_head = [&](T* head, const T* cosine, const T* sine, auto step) {
    const index_t apart = step == 1 ? half : 1;
    for (index_t i = 0; i < half; ++i) {
      const T a = head[i * step];
      const T b = head[i * step + apart];
      head[i * step] = a * cosine[i] - sign * b * sine[i];
      head[i * step + apart] = b * cosine[i] + sign * a * sine[i];
    }
  };
  for_row_blocks(x.rows(), pool, [&](index_t first, index_t count) {
    for (index_t token = first; token < first + count; ++token) {
      const index_t position = positions[static_cast<std::size_t>(token)];
      const T* const cosine = &table.cosine(position, 0);
      const T* const sine = &table.sine(position, 0);
      for (T* head = &x(token, 0); head < &x(token, 0) + x.cols(); head += head_dim) {
        if (config.arch.adjacent_pairs) rotate_head(head, cosine, sine, std::integral_constant<index_t, 2>());
        else rotate_head(head, cosine, sine, std::integral_constant<index_t, 1>());
      }
    }
  });
}

}  // namespace llama
