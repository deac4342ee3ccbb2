#pragma once

#include <cmath>

#include <sbora/adapters/adapter.hpp>
#include <sbora/layers/linear.hpp>
#include <sbora/regions/sample.hpp>

#include "support/matrices.hpp"

namespace sbora_tests {

/// A layer with an adapter on random numbers, and what its results have to be: dense products with the
/// one-hot half written out, as arXiv 2407.05413 defines SBoRA.

struct layer_case {
  index_t d_out = 37;
  index_t d_in = 29;
  index_t rank = 5;
  index_t tokens = 11;
  sbora::storage order = sbora::storage::out_by_in;
  index_t padding = 0;
  bool bias = false;
  double dropout = 0;
};

inline std::ostream& operator<<(std::ostream& out, const layer_case& c) {
  return out << c.d_out << " x " << c.d_in << ", rank " << c.rank << ", tokens " << c.tokens
             << (c.order == sbora::storage::out_by_in ? ", out_by_in" : ", in_by_out") << ", padding " << c.padding
             << (c.bias ? ", bias" : "") << ", dropout " << c.dropout;
}

/// Row-major memory as an activation.
template <class T>
sbora::activation_view<T> activation(padded_matrix<T>& m) {
  return {m.data(), m.rows(), m.cols(), m.stride()};
}
template <class T>
sbora::activation_view<const T> activation(const padded_matrix<T>& m) {
  return {m.data(), m.rows(), m.cols(), m.stride()};
}

/// 0 where the definition in kernels/arguments.hpp drops, 1/(1 - p) elsewhere.
inline exact_matrix dropout_mask(const sbora::adapter_options& options, std::uint64_t step, index_t tokens,
                                 index_t features) {
  exact_matrix mask(tokens, features);
  for (index_t t = 0; t < tokens; ++t) {
    for (index_t f = 0; f < features; ++f) {
      const auto words = sbora::philox4x32({static_cast<std::uint32_t>(f / 4), static_cast<std::uint32_t>(t),
                                            static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32)},
                                           options.dropout_seed);
      const double threshold = std::floor(options.dropout * 0x1p32);
      const bool dropped = words[static_cast<std::size_t>(f % 4)] < threshold;
      mask(t, f) = dropped ? 0 : 1 / (1 - threshold * 0x1p-32L);
    }
  }
  return mask;
}

template <sbora::adapter_kind Kind, class Scalar>
struct layer_problem {
  static constexpr bool is_fa = Kind == sbora::adapter_kind::fa;
  using T = typename sbora::weight_view<Scalar>::compute_scalar;
  using adapter_type = sbora::basic_adapter<Kind, T>;
  using layer_type = sbora::linear<sbora::weight_view<const Scalar>>;

  layer_case size;
  padded_matrix<Scalar> weight;
  std::vector<T> bias;
  adapter_type adapter;
  padded_matrix<T> x, dy;

  explicit layer_problem(const layer_case& c, std::uint64_t seed = 1)
      : size(c),
        weight(c.order == sbora::storage::out_by_in ? c.d_out : c.d_in,
               c.order == sbora::storage::out_by_in ? c.d_in : c.d_out, c.padding),
        bias(random_vector<T>(c.bias ? c.d_out : 0, seed + 1)),
        adapter(c.d_out, c.d_in, sbora::sample_region(is_fa ? c.d_in : c.d_out, c.rank, seed + 2),
                {.alpha = 3, .dropout = c.dropout, .dropout_seed = seed + 3}),
        x(c.tokens, c.d_in, c.padding),
        dy(c.tokens, c.d_out, c.padding) {
    weight.randomise(seed + 4);
    fill_random(adapter.parameters(), seed + 5);
    x.randomise(seed + 6);
    dy.randomise(seed + 7);
  }

  layer_type layer() const {
    const sbora::weight_view<const Scalar> view(weight.data(), size.d_out, size.d_in, weight.stride(), size.order);
    return bias.empty() ? layer_type(view) : layer_type(view, bias);
  }
  padded_matrix<T> empty_y() const { return {size.tokens, size.d_out, size.padding}; }
  padded_matrix<T> empty_dx() const { return {size.tokens, size.d_in, size.padding}; }

  /// Roundings between operands and y (or dx), a sum over `depth` and one over rank.
  index_t roundings(index_t depth) const { return depth + depth / 256 + size.rank + 8; }
};

/// Values, and the sums of absolute values that bound their rounding errors.
struct exact_results {
  exact_matrix y, y_magnitude, dx, dx_magnitude, gradient, gradient_magnitude;
};

template <class Matrix>
exact_matrix exact_of(const Matrix& m) {
  exact_matrix copy(m.rows(), m.cols());
  for (index_t i = 0; i < m.rows(); ++i) {
    for (index_t j = 0; j < m.cols(); ++j) copy(i, j) = static_cast<long double>(m(i, j));
  }
  return copy;
}

/// Of a training forward with the mask of `step` (eval: no mask) and the backward that follows.
template <sbora::adapter_kind Kind, class Scalar>
exact_results exact_layer(const layer_problem<Kind, Scalar>& p, bool training, std::uint64_t step = 0) {
  constexpr bool is_fa = Kind == sbora::adapter_kind::fa;
  const layer_case& size = p.size;
  const index_t rank = p.adapter.rank();
  exact_matrix w = exact_of(p.weight);
  if (size.order == sbora::storage::in_by_out) w.transposeInPlace();

  exact_matrix one_hot = exact_matrix::Zero(is_fa ? rank : size.d_out, is_fa ? size.d_in : rank);
  for (index_t j = 0; j < rank; ++j) {
    const index_t index = p.adapter.target().indices()[static_cast<std::size_t>(j)];
    is_fa ? one_hot(j, index) = 1 : one_hot(index, j) = 1;
  }
  const exact_matrix trained = exact_of(p.adapter.matrix());
  const auto scale = p.adapter.enabled() ? static_cast<long double>(p.adapter.scale()) : 0.0L;
  const exact_matrix delta = scale * (is_fa ? exact_product(trained, one_hot) : exact_product(one_hot, trained));

  const exact_matrix x = exact_of(p.x), dy = exact_of(p.dy);
  const exact_matrix mask = training ? dropout_mask(p.adapter.options(), step, size.tokens, size.d_in)
                                     : exact_matrix(exact_matrix::Ones(size.tokens, size.d_in));
  const exact_matrix masked = x.cwiseProduct(mask);
  const exact_matrix w_abs = w.cwiseAbs(), delta_abs = delta.cwiseAbs(), dy_abs = dy.cwiseAbs();

  exact_results r;
  r.y = exact_product(x, w.transpose()) + exact_product(masked, delta.transpose());
  r.y_magnitude =
      exact_product(x.cwiseAbs(), w_abs.transpose()) + exact_product(masked.cwiseAbs(), delta_abs.transpose());
  for (std::size_t o = 0; o < p.bias.size(); ++o) {
    r.y.col(static_cast<index_t>(o)).array() += p.bias[o];
    r.y_magnitude.col(static_cast<index_t>(o)).array() += std::abs(p.bias[o]);
  }
  r.dx = exact_product(dy, w) + mask.cwiseProduct(exact_product(dy, delta));
  r.dx_magnitude = exact_product(dy_abs, w_abs) + mask.cwiseProduct(exact_product(dy_abs, delta_abs));
  const exact_matrix full = scale * exact_product(dy.transpose(), masked);
  const exact_matrix full_abs = scale * exact_product(dy_abs.transpose(), masked.cwiseAbs());
  const exact_matrix one_hot_t = one_hot.transpose();
  r.gradient = is_fa ? exact_product(full, one_hot_t) : exact_product(one_hot_t, full);
  r.gradient_magnitude = is_fa ? exact_product(full_abs, one_hot_t) : exact_product(one_hot_t, full_abs);
  return r;
}

}  // namespace sbora_tests
