#pragma once

#include <sbora/config/assert.hpp>
#include <sbora/weights/weight_view.hpp>

namespace sbora::inline SBORA_ABI {

/// tokens × features numbers that somebody else owns; the features of a token lie side by side.
///
/// Shapes      feature f of token t is data[t·stride + f].
/// Lifetime    keeps the pointer.
/// Cost        made from any Eigen object without a copy: a row-major one is tokens × features, a
///             column-major one features × tokens (the same memory), a vector is one token.
template <class T>
struct activation_view {
  T* data;
  index_t tokens;
  index_t features;
  index_t stride;

  activation_view(T* data_, index_t tokens_, index_t features_, index_t stride_ = 0)
      : data(data_), tokens(tokens_), features(features_), stride(stride_ != 0 ? stride_ : features_) {}

  operator activation_view<const T>() const
    requires(!std::is_const_v<T>)
  {
    return {data, tokens, features, stride};
  }
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

template <class T>
struct is_activation_view : std::false_type {};
template <class T>
struct is_activation_view<activation_view<T>> : std::true_type {};

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

/// The scalar type that an argument has as an activation.
template <class Argument>
struct activation_scalar {
  static_assert(eigen_dense<Argument>,
                "sbora: an activation is an Eigen matrix, vector, Map, Ref or Block, or an "
                "sbora::activation_view");
  using type = typename std::remove_cvref_t<Argument>::Scalar;
};
template <class Argument>
  requires is_activation_view<std::remove_cvref_t<Argument>>::value
struct activation_scalar<Argument> {
  using type = std::remove_cvref_t<decltype(*std::declval<std::remove_cvref_t<Argument>>().data)>;
};
template <class Argument>
using activation_scalar_t = typename activation_scalar<Argument>::type;

/// Whether a result, given as an argument's or a scalar's type, is kept as bf16.
template <class Result>
inline constexpr bool is_bf16_result = [] {
  using object = std::remove_cvref_t<Result>;
  if constexpr (is_activation_view<object>::value || eigen_dense<object>) {
    return std::is_same_v<stored_as<activation_scalar_t<object>>, bf16>;
  } else {
    return std::is_same_v<object, bf16> || std::is_same_v<object, Eigen::bfloat16>;
  }
}();

/// The activation that an argument denotes, of T (const for inputs). Whatever would need a hidden copy
/// stops here with a message.
template <class T, class Argument>
activation_view<T> as_activation(Argument&& argument) {
  using object = std::remove_cvref_t<Argument>;
  if constexpr (is_activation_view<object>::value) {
    static_assert(std::is_convertible_v<object, activation_view<T>>,
                  "sbora: an activation of another scalar type than the weight computes in, or a "
                  "read-only one where a result is written");
    return argument;
  } else if constexpr (eigen_dense<Argument>) {
    static_assert(is_direct<object>,
                  "sbora: an activation must lie in memory with an inner stride of 1; an expression or "
                  "a strided map would need a hidden copy: assign it to a matrix first");
    static_assert(std::is_same_v<typename object::Scalar, std::remove_const_t<T>>,
                  "sbora: an activation has to be of the scalar type that the weight computes in: float "
                  "(also for bfloat16 and half weights), or bfloat16 in its place, or double");
    static_assert(std::is_const_v<T> ||
                      !std::is_const_v<element_of<std::remove_reference_t<Argument>>>,
                  "sbora: a result has to be writable");
    if constexpr (bool(object::IsRowMajor)) {
      return {argument.data(), argument.rows(), argument.cols(), argument.outerStride()};
    } else {
      return {argument.data(), argument.cols(), argument.rows(), argument.outerStride()};
    }
  }
}

/// The same, of T or, where T is float, of bfloat16; as the kernels see it.
template <class T, class Argument>
auto as_stored_activation(Argument&& argument) {
  using scalar = activation_scalar_t<Argument>;
  if constexpr (std::is_same_v<scalar, bf16> || std::is_same_v<scalar, Eigen::bfloat16>) {
    static_assert(std::is_same_v<std::remove_const_t<T>, float>,
                  "sbora: bfloat16 activations go with weights that compute in float");
    using element = std::conditional_t<std::is_const_v<T>, const scalar, scalar>;
    using stored = std::conditional_t<std::is_const_v<T>, const bf16, bf16>;
    const auto view = as_activation<element>(argument);
    return activation_view<stored>(reinterpret_cast<stored*>(view.data), view.tokens, view.features,
                                   view.stride);
  } else {
    return as_activation<T>(argument);
  }
}

}  // namespace sbora::inline SBORA_ABI::detail
