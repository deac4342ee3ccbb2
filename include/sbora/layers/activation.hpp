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

/// The activation that an argument denotes, as T (const for inputs). Whatever would need a hidden copy
/// stops here with a message.
template <class T, class Argument>
activation_view<T> as_activation(Argument&& argument) {
  using object = std::remove_cvref_t<Argument>;
  if constexpr (is_activation_view<object>::value) {
    static_assert(std::is_convertible_v<object, activation_view<T>>,
                  "sbora: an activation of another scalar type than the weight computes in, or a "
                  "read-only one where a result is written");
    return argument;
  } else if constexpr (!eigen_dense<Argument>) {
    static_assert(eigen_dense<Argument>,
                  "sbora: an activation is an Eigen matrix, vector, Map, Ref or Block, or an "
                  "sbora::activation_view");
  } else {
    static_assert(is_direct<object>,
                  "sbora: an activation must lie in memory with an inner stride of 1; an expression or "
                  "a strided map would need a hidden copy: assign it to a matrix first");
    static_assert(std::is_same_v<typename object::Scalar, std::remove_const_t<T>>,
                  "sbora: an activation has to be of the scalar type that the weight computes in: float "
                  "(also for bfloat16 and half weights) or double");
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

}  // namespace sbora::inline SBORA_ABI::detail
