#pragma once

#include <cmath>

#include <sbora/adapters/region_geometry.hpp>
#include <sbora/core/workspace.hpp>
#include <sbora/layers/shapes.hpp>
#include <sbora/selection/feature_sums.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A view, or what Eigen keeps in memory as tokens with their features side by side.
template <class X, class Object = std::remove_cvref_t<X>>
concept scored_activation =
    is_activation_view<Object> || (eigen_dense<Object> && is_direct<Object> && !is_transposed<Object>);

/// An argument as an activation of float, double or bf16.
template <class X>
auto as_scored(X& x) {
  using scalar = scored_as<stored_as<activation_element_t<X&>>>;
  return as_stored_activation<const scalar>(x);
}

/// Of the weight whose columns (FA) or rows (FB) are scored.
inline index_t scored_dim(adapter_kind kind, index_t d_out, index_t d_in) {
  if (d_out < 1 || d_in < 1) {
    throw shape_error("sbora: scores of a weight of " + shape_text(d_out, d_in) + ", both must be at least 1");
  }
  return region_geometry(kind, d_out, d_in, 1).dim;
}

inline void check_same_tokens(const named_extent& a, const named_extent& b) {
  SBORA_ASSERT(a.tokens == b.tokens, wrong_tokens(a, b).c_str());
}

inline std::vector<double> roots(std::span<const double> sums) {
  std::vector<double> scores(sums.begin(), sums.end());
  for (double& score : scores) score = std::sqrt(score);
  return scores;
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Scores columns or rows by the norm of what goes in or comes out there.
///
/// Effect      scores()[j] = √(Σ_t a[t, j]²) over all tokens t given: a is x for columns (FA), y for rows (FB). For
///             the least active ones first, give top_region negated(scores()).
/// Shapes      a: tokens × dim(); float, double or bfloat16.
/// Cost        2 flops and one read of each element; nothing is allocated but by scores().
/// Numerics, thread: see feature_sums. A NaN stays one, which top_region refuses.
/// Errors      SBORA_ASSERT for another shape.
/// Source      the selections that RoCoFT (arXiv 2410.10075) and S2FT (arXiv 2412.06289) compare.
class activation_scorer : public feature_sums {
 public:
  activation_scorer(adapter_kind kind, index_t d_out, index_t d_in)
      : feature_sums(detail::scored_dim(kind, d_out, d_in)) {}

  template <detail::scored_activation A>
  void add(const A& a, any_executor pool = {}) {
    const auto in = detail::as_scored(a);
    detail::check_features({"a", in}, "the number of scores", dim());
    detail::add_feature_squares(in, nullptr, data(), pool);
    count(in.tokens);
  }

  std::vector<double> scores() const { return detail::roots(sums()); }
};

/// Scores columns or rows by the norm of the weight's gradient there, token by token.
///
/// Effect      A token's own gradient of W is dyᵗ·xᵗᵀ, of rank one. scores()[j] is the root of the sum over all tokens
///             given of the squared norm of its column j (FA), √(Σ_t ‖dyᵗ‖²·x[t, j]²), or of its row j (FB),
///             √(Σ_t ‖xᵗ‖²·dy[t, j]²): the empirical Fisher information, one token a sample, that the column or row
///             has. Unlike the norm of a batch's gradient it adds up over batches, and needs no product of its own.
/// Shapes      x: tokens × d_in, dy: tokens × d_out, both of float or bfloat16, or of double.
/// Requires    dy of the same loss for all batches: a sum over tokens, or means of equal batches.
/// Cost        4 flops for each element of the two; a number a token from the workspace.
/// Numerics, thread: see feature_sums; ‖·‖² is summed in double, in an order of the instruction set's own.
/// Errors      SBORA_ASSERT for other shapes; workspace_error.
/// Source      gradient norms as in SHiRA (arXiv 2406.13175) and SMT (2405.15525); Fisher: arXiv 1612.00796.
class gradient_scorer : public feature_sums {
 public:
  gradient_scorer(adapter_kind kind, index_t d_out, index_t d_in)
      : feature_sums(detail::scored_dim(kind, d_out, d_in)), of_(kind, d_out, d_in, 1) {}

  template <detail::scored_activation X, detail::scored_activation Dy>
  void add(const X& x, const Dy& dy, workspace& memory, any_executor pool = {}) {
    const auto in = detail::as_scored(x);
    const auto out = detail::as_scored(dy);
    const bool of_input = of_.is_of_input(true);
    detail::check_features({"x", in}, "d_in", of_input ? of_.dim : of_.lines);
    detail::check_features({"dy", out}, "d_out", of_input ? of_.lines : of_.dim);
    detail::check_same_tokens({"x", in}, {"dy", out});
    of_input ? add_weighted(in, out, memory, pool) : add_weighted(out, in, memory, pool);
  }

  std::vector<double> scores() const { return detail::roots(sums()); }

 private:
  template <class A, class Other>
  void add_weighted(activation_view<const A> a, activation_view<const Other> other, workspace& memory,
                    any_executor pool) {
    const auto work = [&](detail::workspace_frame frame, any_executor tasks) {
      auto* const squares = frame.take<double>(a.tokens);
      detail::token_squares(other, squares, tasks);
      detail::add_feature_squares(a, squares, data(), tasks);
    };
    work(detail::workspace_frame(memory, detail::scratch_of(work)), pool);
    count(a.tokens);
  }

  detail::region_geometry of_;
};

/// Scores columns or rows by what the loss would feel of their scale: |w·gradient| of all of it together.
///
/// Effect      scores()[j] = |Σ w·∂L/∂w| over the elements w of column j (FA) or row j (FB), L the loss of all tokens
///             given: |∂L/∂c| of a factor c on it. It is |Σ_t x[t, j]·dx[t, j]| with dx = dy·W for columns, and
///             |Σ_t y[t, j]·dy[t, j]| with y = x·Wᵀ, without a bias, for rows.
/// Shapes      a and da: tokens × dim(), x and dx, or y and dy; both of float or bfloat16, or of double.
/// Requires    the layer's own dx: where several layers share x, not their sum.
/// Cost        2 flops for each element; nothing is allocated but by scores().
/// Numerics, thread, errors: as activation_scorer. An all-reduce adds sums(), which have signs, not scores().
/// Source      SNIP, arXiv 1810.02340, whose connection is a column or row here.
class snip_scorer : public feature_sums {
 public:
  snip_scorer(adapter_kind kind, index_t d_out, index_t d_in) : feature_sums(detail::scored_dim(kind, d_out, d_in)) {}

  template <detail::scored_activation A, detail::scored_activation Da>
  void add(const A& a, const Da& da, any_executor pool = {}) {
    const auto value = detail::as_scored(a);
    const auto gradient = detail::as_scored(da);
    detail::check_features({"a", value}, "the number of scores", dim());
    detail::check_features({"da", gradient}, "the number of scores", dim());
    detail::check_same_tokens({"a", value}, {"da", gradient});
    detail::add_feature_products(value, gradient, nullptr, data(), pool);
    count(value.tokens);
  }

  std::vector<double> scores() const {
    std::vector<double> scores(sums().begin(), sums().end());
    for (double& score : scores) score = std::abs(score);
    return scores;
  }
};

/// The least first, where top_region takes the greatest.
inline std::vector<double> negated(std::vector<double> scores) {
  for (double& score : scores) score = -score;
  return scores;
}

}  // namespace sbora::inline SBORA_ABI
