#pragma once

#include <sbora/weights/weight_view.hpp>

namespace sbora::inline SBORA_ABI {

/// tokens × features numbers that somebody else owns; the features of a token lie side by side.
///
/// Shapes      feature f of token t is data[t·stride + f]. An input's stride may be anything, 0 too: one token for all.
///             A result's is at least `features`: checked by the call.
/// Lifetime    keeps the pointer.
/// Cost        made from any Eigen object without a copy: a row-major one is tokens × features, a
///             column-major one features × tokens (the same memory), a vector is one token. Eigen's default is
///             column-major; tokens_by_features and features_by_tokens say which is meant.
template <class T>
struct activation_view {
  T* data;
  index_t tokens;
  index_t features;
  index_t stride;

  /// Without gaps.
  activation_view(T* data_, index_t tokens_, index_t features_)
      : activation_view(data_, tokens_, features_, features_) {}
  activation_view(T* data_, index_t tokens_, index_t features_, index_t stride_)
      : data(data_), tokens(tokens_), features(features_), stride(stride_) {}

  operator activation_view<const T>() const
    requires(!std::is_const_v<T>)
  {
    return {data, tokens, features, stride};
  }
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

template <class T>
inline constexpr bool is_activation_view = false;
template <class T>
inline constexpr bool is_activation_view<activation_view<T>> = true;

/// Transposing a matrix changes the storage order too, and so nothing in what it would be taken for.
template <class Object>
inline constexpr bool is_transposed = false;
template <class Matrix>
inline constexpr bool is_transposed<Eigen::Transpose<Matrix>> = true;
template <class Matrix, int Rows, int Cols, bool InnerPanel>
inline constexpr bool is_transposed<Eigen::Block<Matrix, Rows, Cols, InnerPanel>> =
    is_transposed<std::remove_const_t<Matrix>>;

/// How an activation's elements are kept: float, double, or bf16 for Eigen's and for itself.
template <class Scalar>
struct activation_storage {
  using type = Scalar;
};
template <>
struct activation_storage<Eigen::bfloat16> {
  using type = bf16;
};
template <class Scalar>
using stored_as = typename activation_storage<std::remove_const_t<Scalar>>::type;

/// The element type of an argument as an activation, const where it may only be read.
template <class Argument, class Object = std::remove_cvref_t<Argument>>
struct activation_element {
  using type = element_of<Argument>;
};
template <class Argument, class T>
struct activation_element<Argument, activation_view<T>> {
  using type = T;
};
template <class Argument>
using activation_element_t = typename activation_element<Argument>::type;

/// Whether a result, given as an argument's or a scalar's type, is kept as bf16.
template <class Result>
inline constexpr bool is_bf16_result = [] {
  using object = std::remove_cvref_t<Result>;
  if constexpr (is_activation_view<object> || eigen_dense<object>) {
    return std::is_same_v<stored_as<activation_element_t<object>>, bf16>;
  } else {
    return std::is_same_v<object, bf16> || std::is_same_v<object, Eigen::bfloat16>;
  }
}();

/// The activation that an argument denotes, of T (const for inputs), which it is known to be.
template <class T, class Argument>
activation_view<T> as_activation(Argument&& argument) {
  using object = std::remove_cvref_t<Argument>;
  if constexpr (is_activation_view<object>) {
    return argument;
  } else if constexpr (bool(object::IsRowMajor)) {
    return {argument.data(), argument.rows(), argument.cols(), argument.outerStride()};
  } else {
    return {argument.data(), argument.cols(), argument.rows(), argument.outerStride()};
  }
}

/// The same, of T or, where T is float, of bfloat16; as the kernels see it.
template <class T, class Argument>
auto as_stored_activation(Argument&& argument) {
  using scalar = std::remove_const_t<activation_element_t<Argument>>;
  if constexpr (std::is_same_v<stored_as<scalar>, bf16>) {
    using element = std::conditional_t<std::is_const_v<T>, const scalar, scalar>;
    using stored = std::conditional_t<std::is_const_v<T>, const bf16, bf16>;
    const auto view = as_activation<element>(argument);
    return activation_view<stored>(reinterpret_cast<stored*>(view.data), view.tokens, view.features, view.stride);
  } else {
    return as_activation<T>(argument);
  }
}

/// Whether the features of a token lie side by side in it. A vector's elements follow one another both ways.
template <class Matrix, bool RowsAreTokens, class Object = std::remove_cvref_t<Matrix>>
inline constexpr bool has_features_together =
    bool(Object::IsRowMajor) == RowsAreTokens || bool(Object::IsVectorAtCompileTime);

template <bool RowsAreTokens, class Matrix>
activation_view<element_of<Matrix>> explicit_activation(Matrix& matrix) {
  const index_t tokens = RowsAreTokens ? matrix.rows() : matrix.cols();
  const index_t features = RowsAreTokens ? matrix.cols() : matrix.rows();
  const bool outer = bool(std::remove_const_t<Matrix>::IsRowMajor) == RowsAreTokens;
  return {matrix.data(), tokens, features, outer ? matrix.outerStride() : features};
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// A matrix as an activation whose rows are the tokens. Where Eigen's storage order wouldn't say that, or to say it
/// oneself: square matrices pass every check of sizes.
///
/// Requires    a row-major matrix, or a vector: at compile time, since anything else needs a copy.
/// Lifetime    refers to the matrix; of a temporary it doesn't compile, of a Map, Block or transpose it does.
template <class Matrix>
  requires detail::eigen_dense<Matrix>
auto tokens_by_features(Matrix&& matrix) {
  static_assert(!detail::is_owning_temporary<Matrix&&>,
                "sbora::tokens_by_features: a view of a temporary would dangle; name the matrix first");
  static_assert(detail::is_direct<std::remove_cvref_t<Matrix>>,
                "sbora::tokens_by_features: an activation must lie in memory with an inner stride of 1");
  static_assert(
      detail::has_features_together<Matrix, true>,
      "sbora::tokens_by_features: the features of a token have to lie side by side: it takes a row-major matrix");
  return detail::explicit_activation<true>(matrix);
}

/// The same where the columns are the tokens: a column-major matrix.
template <class Matrix>
  requires detail::eigen_dense<Matrix>
auto features_by_tokens(Matrix&& matrix) {
  static_assert(!detail::is_owning_temporary<Matrix&&>,
                "sbora::features_by_tokens: a view of a temporary would dangle; name the matrix first");
  static_assert(detail::is_direct<std::remove_cvref_t<Matrix>>,
                "sbora::features_by_tokens: an activation must lie in memory with an inner stride of 1");
  static_assert(
      detail::has_features_together<Matrix, false>,
      "sbora::features_by_tokens: the features of a token have to lie side by side: it takes a column-major matrix");
  return detail::explicit_activation<false>(matrix);
}

}  // namespace sbora::inline SBORA_ABI
