#pragma once

#include <array>
#include <cmath>
#include <vector>

#include <sbora/core/workspace.hpp>
#include <sbora/optimisers/clip.hpp>
#include <sbora/optimisers/optimiser_base.hpp>
#include <sbora/products/product.hpp>

namespace sbora::inline SBORA_ABI {

/// How far a matrix of rows × cols moves, in learning rates (torch's adjust_lr_fn).
enum class muon_scale {
  original,         ///< √max(1, rows/cols)
  match_rms_adamw,  ///< 0.2·√max(rows, cols): learning rates and decays of AdamW fit (arXiv 2502.16982)
};

/// Defaults are torch.optim.Muon's.
struct muon_options {
  double learning_rate = 1e-3;  ///< > 0, of steps that name no other
  double momentum = 0.95;       ///< [0, 1)
  double weight_decay = 0.1;    ///< >= 0, decoupled
  bool nesterov = true;         ///< the gradient once more on top of the momentum
  muon_scale scale = muon_scale::original;
};

/// Muon over the matrices of a flat span of parameters: each moves in the direction of its momentum, made orthogonal.
///
/// Effect      g *= gradient_scale; m = μ·m + (1 - μ)·g; u = nesterov ? μ·m + (1 - μ)·g : m;
///             X = u/max(‖u‖, 1e-7), then five times A = X·Xᵀ, X = a·X + (b·A + c·A²)·X with
///             (a, b, c) = (3.4445, -4.7750, 2.0315), which brings all singular values of u near 1;
///             w = w·(1 - lr·decay) - lr·scale·X
/// Shapes      parameters and gradient: parameter_count numbers each; blocks: their matrices, in order, without gaps:
///             adapter.blocks() or model_adapter.blocks().
/// Requires    sizes as at construction, options in range, finite learning rates and gradient scales,
///             all of them as T has them: checked. A gradient that isn't finite makes its whole matrix NaN.
/// Aliasing    parameters, gradient and state don't overlap.
/// Lifetime    owns the momentum, parameter_count numbers, and scratch of two of the largest matrix; refers to nothing.
/// Cost        of a matrix of n numbers whose lesser side is r: 10·(2·n·r + r³) multiply-adds, that is r/2 as many as a
///             token's product has with it; no allocation in step() after the first.
/// Numerics    in T, norms in double; independent of the executor. PyTorch iterates in bf16 for any type, so its
///             directions differ in the second digit (tests/optimisers/torch_trajectories.hpp).
/// Thread      one step at a time for each object.
/// Errors      config_error, shape_error, before anything is written.
/// Source      https://kellerjordan.github.io/posts/muon/; torch.optim.Muon.
template <class T>
class muon : public detail::optimiser_base<muon<T>, T, muon_options> {
  using base = detail::optimiser_base<muon, T, muon_options>;
  friend base;

 public:
  static constexpr const char* name = "sbora::muon";

  explicit muon(std::span<const parameter_block> blocks, muon_options options = {})
      : base(blocks, options),
        blocks_(blocks.begin(), blocks.end()),
        momentum_(detail::make_zeroed_array<T>(this->parameter_count())) {}

  std::span<T> momentum() & noexcept { return this->span_of(momentum_.get()); }
  std::array<optimiser_state, 1> state() & noexcept { return {{{"momentum", momentum()}}}; }

 private:
  static constexpr index_t range_multiple = 0;  // no step by ranges: see optimiser_base

  static void check(const muon_options& options) {
    using enum detail::option_range;
    detail::check_option(name, "momentum", below_one, options.momentum);
    detail::check_option(name, "weight_decay", not_negative, options.weight_decay);
    static_cast<void>(direction_rates(options, {options.learning_rate}));
    static_cast<void>(rates(options, {options.learning_rate}, {0, 1, 1}));
  }

  static detail::muon_direction_rates<T> direction_rates(const muon_options& options, const step_options& now) {
    using enum detail::option_range;
    return {.gradient_scale = detail::as_used<T>(name, "gradient_scale", scale, now.gradient_scale),
            .rest = detail::as_used<T>(name, "1 - momentum", positive, 1 - options.momentum),
            .nesterov = options.nesterov};
  }

  static detail::muon_rates<T> rates(const muon_options& options, const step_options& now,
                                     const parameter_block& block) {
    const auto rows = static_cast<double>(block.rows), cols = static_cast<double>(block.cols);
    const double distance = options.scale == muon_scale::original ? std::sqrt(std::max(1.0, rows / cols))
                                                                  : 0.2 * std::sqrt(std::max(rows, cols));
    using enum detail::option_range;
    return {.decay = detail::as_used<T>(name, "1 - the learning rate * weight_decay", number,
                                        1 - now.learning_rate * options.weight_decay),
            .step_size = detail::as_used<T>(name, "the learning rate * scale", number, now.learning_rate * distance)};
  }

  /// A matrix while it is made orthogonal. `small` is its lesser side, and the Gram matrix's sides.
  struct scratch {
    T *direction, *next, *gram, *polynomial;
  };
  static index_t small_side(const parameter_block& block) noexcept { return std::min(block.rows, block.cols); }

  template <class Executor>
  void carry_out(std::span<T> parameters, std::span<const T> gradient, const step_options& now, Executor& pool) {
    const auto direction = detail::start_with<detail::muon_direction_rates<T>>(
        {.gradient = gradient.data(), .state = {momentum_.get()}, .rates = direction_rates(this->options(), now)});
    const auto apply = detail::start_with<detail::muon_rates<T>>({});
    for (const parameter_block& block : blocks_) {
      static_cast<void>(rates(this->options(), now, block));  // throws before anything is written
    }
    const auto work = [&](detail::workspace_frame all, any_executor tasks) {
      for (const parameter_block& block : blocks_) {
        detail::workspace_frame frame = all;
        const index_t count = block.rows * block.cols, small = small_side(block);
        const scratch with = {frame.take<T>(count), frame.take<T>(count), frame.take<T>(small * small),
                              frame.take<T>(small * small)};
        auto find = direction;
        find.args.parameter = with.direction;
        find.args.gradient += block.offset;
        find.args.state[0] += block.offset;
        detail::for_ranges(count, detail::task_elements, tasks, find);
        const T* const orthogonal = make_orthogonal(block, with, frame, tasks);
        auto move = apply;
        move.args.parameter = parameters.data() + block.offset;
        move.args.gradient = orthogonal;
        move.args.rates = rates(this->options(), now, block);
        detail::for_ranges(count, detail::task_elements, tasks, move);
      }
    };
    work(detail::workspace_frame(memory_, detail::scratch_of(work)), pool);
  }

  /// out = factor·in.
  static void scale_into(T* out, const T* in, T factor, index_t count, any_executor pool) {
    detail::for_ranges(
        count, detail::task_elements, pool,
        detail::start_with<detail::scaling_rates<T>>({.parameter = out, .gradient = in, .rates = {.factor = factor}}));
  }

  /// The five iterations. A tall matrix by Xᵀ·X, and then from the right: the same numbers without a transposition.
  static const T* make_orthogonal(const parameter_block& block, const scratch& with, detail::workspace_frame frame,
                                  any_executor pool) {
    constexpr double a = 3.4445, b = -4.7750, c = 2.0315, least_norm = 1e-7;
    const index_t rows = block.rows, cols = block.cols, count = rows * cols, small = small_side(block);
    const bool tall = rows > cols;
    const std::span<const T> direction(with.direction, static_cast<std::size_t>(frame.counts() ? 0 : count));
    const double norm = gradient_norm(direction);
    T *x = with.direction, *next = with.next;
    scale_into(x, x, static_cast<T>(1 / (norm < least_norm ? least_norm : norm)), count, pool);
    const auto product = [&](const detail::left_operand<T>& left, const detail::right_operand<T>& right, T* out,
                             T alpha, bool accumulate) {
      detail::multiply(
          left, right,
          detail::product_result<T>{.data = out, .stride = right.columns, .alpha = alpha, .accumulate = accumulate},
          frame, pool);
    };
    for (int iteration = 0; iteration < 5; ++iteration) {
      const detail::left_operand<T> gram = {with.gram, small, small, small, 1};
      if (tall) product({x, small, rows, 1, cols}, detail::plain_operand(x, cols, cols), with.gram, T{1}, false);
      else product({x, rows, cols, cols, 1}, detail::transposed_operand(x, rows, cols), with.gram, T{1}, false);
      // a·1 + b·A + c·A², so that the last product is all of the next X.
      scale_into(with.polynomial, with.gram, static_cast<T>(b), small * small, pool);
      product(gram, detail::plain_operand(with.gram, small, small), with.polynomial, static_cast<T>(c), true);
      detail::for_ranges(small, small, pool, [&](index_t begin, index_t end) {
        for (index_t i = begin; i < end; ++i) with.polynomial[i * small + i] += static_cast<T>(a);
      });
      if (tall)
        product({x, rows, cols, cols, 1}, detail::plain_operand(with.polynomial, cols, cols), next, T{1}, false);
      else product({with.polynomial, rows, rows, rows, 1}, detail::plain_operand(x, cols, cols), next, T{1}, false);
      std::swap(x, next);
    }
    return x;
  }

  std::vector<parameter_block> blocks_;
  detail::aligned_array<T> momentum_;
  workspace memory_;
};

}  // namespace sbora::inline SBORA_ABI
