#pragma once

#include <sbora/core/eigen_names.hpp>
#include <sbora/simd/float16.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// How the kernels see a scalar type of the interface: float and double as they are, Eigen's 16-bit
/// types as bits.
template <class Scalar>
struct storage_type {
  static constexpr bool supported = false;
  using type = float;  // so that what says so is the only error
  using compute = float;
};
template <>
struct storage_type<float> {
  static constexpr bool supported = true;
  using type = float;
  using compute = float;
};
template <>
struct storage_type<double> {
  static constexpr bool supported = true;
  using type = double;
  using compute = double;
};
template <>
struct storage_type<Eigen::bfloat16> {
  static constexpr bool supported = true;
  using type = bf16;
  using compute = float;
};
template <>
struct storage_type<Eigen::half> {
  static constexpr bool supported = true;
  using type = f16;
  using compute = float;
};

}  // namespace sbora::inline SBORA_ABI::detail
