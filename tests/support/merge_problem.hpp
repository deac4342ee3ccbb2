#pragma once

#include <array>

#include <sbora/merge/merger.hpp>
#include <sbora/regions/select.hpp>

#include "support/matrices.hpp"

namespace sbora_tests {

/// What a merge leaves of one element, as sbora/merge/merger.hpp defines it: the product rounded by
/// itself, then the sum. Eigen does the 16-bit rounding here. `volatile` keeps compilers from fusing.
template <class Scalar, class T>
Scalar merged_value(Scalar weight, double scale, T trained) {
  volatile T product = static_cast<T>(scale) * trained;
  volatile T sum = static_cast<T>(weight) + product;
  if constexpr (std::is_same_v<Scalar, T>) {
    return sum;
  } else {
    return Scalar(static_cast<float>(sum));
  }
}

/// A random weight of one storage order with NaN between its rows, and adapters for it.
template <class Scalar>
struct merge_problem {
  using T = typename sbora::weight_view<Scalar>::compute_scalar;

  index_t d_out, d_in;
  sbora::storage order;
  padded_matrix<Scalar> weight, original;

  merge_problem(index_t d_out_, index_t d_in_, sbora::storage order_, index_t padding = 3)
      : d_out(d_out_),
        d_in(d_in_),
        order(order_),
        weight(row_major() ? d_out : d_in, row_major() ? d_in : d_out, padding),
        original(weight) {
    weight.randomise(17);
    original = weight;
  }

  bool row_major() const { return order == sbora::storage::out_by_in; }
  sbora::weight_view<Scalar> view() { return {weight.data(), d_out, d_in, weight.stride(), order}; }
  Scalar& at(padded_matrix<Scalar>& m, index_t out, index_t in) const { return row_major() ? m(out, in) : m(in, out); }

  template <sbora::adapter_kind Kind>
  sbora::basic_adapter<Kind, T> adapter(sbora::region target, std::uint64_t seed) const {
    sbora::basic_adapter<Kind, T> made(d_out, d_in, std::move(target), {.alpha = 5});
    fill_random(made.parameters(), seed);
    return made;
  }

  /// What merging into `into` has to make of it.
  template <sbora::adapter_kind Kind>
  void merge_into(padded_matrix<Scalar>& into, const sbora::basic_adapter<Kind, T>& a) const {
    constexpr bool fa = Kind == sbora::adapter_kind::fa;
    for (index_t j = 0; j < a.rank(); ++j) {
      const index_t index = a.target().indices()[static_cast<std::size_t>(j)];
      for (index_t line = 0; line < (fa ? d_out : d_in); ++line) {
        Scalar& w = fa ? at(into, line, index) : at(into, index, line);
        w = merged_value<Scalar, T>(w, a.scale(), fa ? a.matrix()(line, j) : a.matrix()(j, line));
      }
    }
  }

  bool weight_is(const padded_matrix<Scalar>& expected) const { return same_bits(weight.memory(), expected.memory()); }
  bool weight_is_original() const { return weight_is(original); }
};

inline constexpr std::array<sbora::storage, 2> both_orders = {sbora::storage::out_by_in, sbora::storage::in_by_out};

}  // namespace sbora_tests
