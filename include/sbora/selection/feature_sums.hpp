#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <sbora/core/errors.hpp>
#include <sbora/core/executor.hpp>
#include <sbora/kernels/dispatch.hpp>
#include <sbora/products/activation.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What is scored is read as these: bf16 as floats.
template <class X>
using scored_as = std::conditional_t<std::is_same_v<X, double>, double, float>;

/// What is read at once where it has to be widened; of what needn't be, a task's features.
inline constexpr index_t scored_tokens = 8, scored_features = 512;

/// A task's features. Where one thread does all, long runs: rows of memory are read through, 1.3 times as fast.
template <class... X>
index_t features_of_task(any_executor pool) {
  return pool.is_serial() && (std::is_same_v<X, scored_as<X>> && ...) ? index_t{4096} : scored_features;
}

/// A piece of an activation as kernels of T read it: where it lies, or widened.
template <class X>
class scored_piece {
  using T = scored_as<X>;
  static constexpr bool widens = !std::is_same_v<X, T>;

 public:
  static constexpr index_t most_tokens(index_t tokens) { return widens ? std::min(tokens, scored_tokens) : tokens; }

  /// Features [begin, begin + count) of tokens [t, t + tokens).
  scored_piece(activation_view<const X> x, index_t t, index_t tokens, index_t begin, index_t count) {
    const X* const from = x.data + t * x.stride + begin;
    if constexpr (widens) {
      const auto widen = get_kernels<conversion_kernels<float>>().widen_bf16;
      for (index_t i = 0; i < tokens; ++i) widen(from + i * x.stride, widened_ + i * scored_features, count);
      data_ = widened_;
      stride_ = scored_features;
    } else {
      data_ = from;
      stride_ = x.stride;
    }
  }
  scored_piece(const scored_piece&) = delete;
  scored_piece& operator=(const scored_piece&) = delete;

  const T* data() const& { return data_; }
  const T* data() const&& = delete;  // would dangle: name the piece
  index_t stride() const { return stride_; }

 private:
  const T* data_;
  index_t stride_;
  T widened_[widens ? scored_tokens * scored_features : 1];
};

/// sums[j] += Σ_t weights[t]·a[t, j]·b[t, j], token after token.
template <class A, class B>
void add_feature_products(activation_view<const A> a, activation_view<const B> b, const double* weights, double* sums,
                          any_executor pool) {
  const auto kernel = get_kernels<score_kernels<scored_as<A>>>().add_products;
  const index_t step = std::min(scored_piece<A>::most_tokens(a.tokens), scored_piece<B>::most_tokens(a.tokens));
  for_ranges(a.features, features_of_task<A, B>(pool), pool, [&](index_t begin, index_t end) {
    for (index_t t = 0; t < a.tokens; t += step) {
      const index_t tokens = std::min(step, a.tokens - t);
      const scored_piece<A> left(a, t, tokens, begin, end - begin);
      const scored_piece<B> right(b, t, tokens, begin, end - begin);
      kernel({left.data(), left.stride(), right.data(), right.stride(), weights == nullptr ? nullptr : weights + t,
              tokens, end - begin, sums + begin});
    }
  });
}

/// sums[j] += Σ_t weights[t]·a[t, j]².
template <class A>
void add_feature_squares(activation_view<const A> a, const double* weights, double* sums, any_executor pool) {
  const auto kernel = get_kernels<score_kernels<scored_as<A>>>().add_products;
  const index_t step = scored_piece<A>::most_tokens(a.tokens);
  for_ranges(a.features, features_of_task<A>(pool), pool, [&](index_t begin, index_t end) {
    for (index_t t = 0; t < a.tokens; t += step) {
      const index_t tokens = std::min(step, a.tokens - t);
      const scored_piece<A> piece(a, t, tokens, begin, end - begin);
      kernel({piece.data(), piece.stride(), piece.data(), piece.stride(), weights == nullptr ? nullptr : weights + t,
              tokens, end - begin, sums + begin});
    }
  });
}

/// squares[t] = Σ_j a[t, j]².
template <class A>
void token_squares(activation_view<const A> a, double* squares, any_executor pool) {
  const auto kernel = get_kernels<score_kernels<scored_as<A>>>().add_squares;
  for_ranges(a.tokens, scored_tokens, pool, [&](index_t begin, index_t end) {
    std::fill(squares + begin, squares + end, 0.0);
    const index_t most = std::is_same_v<A, scored_as<A>> ? a.features : scored_features;
    for (index_t j = 0; j < a.features; j += most) {
      const index_t count = std::min(most, a.features - j);
      const scored_piece<A> piece(a, begin, end - begin, j, count);
      kernel({piece.data(), piece.stride(), end - begin, count, squares + begin});
    }
  });
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// What a scorer adds up of the tokens that it is given, one number in double for each column or row.
///
/// Effect      sums() and tokens() are all that it knows: processes that score parts of the data add them (an
///             all-reduce over sums(), or merge()).
/// Numerics    token after token in double: the same bits for any executor and for any split into batches. merge()
///             adds two such sums: within tokens()·2⁻⁵³ of one over all tokens, relative to the sum of magnitudes.
/// Thread      one call at a time.
/// Errors      shape_error for another number of columns or rows.
class feature_sums {
 public:
  index_t dim() const noexcept { return static_cast<index_t>(sums_.size()); }
  index_t tokens() const noexcept { return tokens_; }
  std::span<double> sums() & noexcept { return sums_; }
  std::span<const double> sums() const& noexcept { return sums_; }
  std::span<const double> sums() const&& = delete;  // would dangle: name the scorer

  void merge(const feature_sums& other) {
    if (other.dim() != dim()) {
      throw shape_error(
          detail::message({"sbora: scores of ", other.dim(), " columns or rows can't be added to ", dim()}));
    }
    for (std::size_t j = 0; j < sums_.size(); ++j) sums_[j] += other.sums_[j];
    tokens_ += other.tokens_;
  }
  void reset() noexcept {
    std::fill(sums_.begin(), sums_.end(), 0.0);
    tokens_ = 0;
  }
  /// Of sums that were added elsewhere.
  void set_tokens(index_t tokens) noexcept { tokens_ = tokens; }

 protected:
  explicit feature_sums(index_t dim) : sums_(static_cast<std::size_t>(dim)) {}

  double* data() noexcept { return sums_.data(); }
  void count(index_t tokens) noexcept { tokens_ += tokens; }

 private:
  std::vector<double> sums_;
  index_t tokens_ = 0;
};

}  // namespace sbora::inline SBORA_ABI
