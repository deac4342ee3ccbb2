#pragma once

#include <string>
#include <utility>

#include <sbora/core/errors.hpp>
#include <sbora/products/activation.hpp>
#include <sbora/weights/weight_view.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// How another system's numbers are kept, where that is known when the program runs.
enum class plugged_type { f32, bf16 };

/// rows × cols numbers of another system's: a weight as d_out × d_in, activations as tokens × features.
///
/// Shapes      element (i, j) is data[i·stride + j].
/// Lifetime    keeps the pointer.
struct plugged_matrix {
  void* data;  ///< what is only read may be const memory
  plugged_type type;
  index_t rows;
  index_t cols;
  index_t stride;
};

/// f(pointer to the matrix' elements): float* or Eigen::bfloat16*, which needn't be complete.
template <class Function>
decltype(auto) with_elements(const plugged_matrix& of, Function&& f) {
  if (of.type == plugged_type::f32) return f(static_cast<float*>(of.data));
  return f(static_cast<Eigen::bfloat16*>(of.data));
}

/// `of` as an activation of T, which the caller knows it to be.
template <class T>
activation_view<T> plugged_activation(const plugged_matrix& of) {
  return {static_cast<T*>(of.data), of.rows, of.cols, of.stride};
}

/// Input and result are of one type. Errors: shape_error that names both.
inline void check_same_type(const char* a_name, const plugged_matrix& a, const char* b_name, const plugged_matrix& b) {
  if (a.type == b.type) return;
  const auto text = [](plugged_type type) { return std::string(type == plugged_type::f32 ? "f32" : "bf16"); };
  throw shape_error(std::string("sbora: ") + a_name + " is " + text(a.type) + ", " + b_name + " is " + text(b.type) +
                    "; both have to be of one type");
}

}  // namespace sbora::inline SBORA_ABI::detail
