#pragma once

#include <numeric>
#include <span>
#include <vector>

#include <sbora/adapters/adapter.hpp>
#include <sbora/layers/delta.hpp>
#include <sbora/regions/region.hpp>

#include "common/matrix.hpp"

namespace llama {

/// The baseline: y += s B A x with both halves trained.
///
/// It is an FB adapter followed by an FA adapter, each with a region that is everything: A x is what FB adds
/// to all rows of a rank x d_in layer, B(...) what FA adds from all columns of a d_out x rank one. So it runs
/// on the same kernels as what it is compared with.
class lora {
 public:
  static index_t parameter_count(index_t d_out, index_t d_in, index_t rank) { return rank * (d_in + d_out); }

  /// Parameters: A, rank x d_in, then B, d_out x rank.
  lora(index_t d_out, index_t d_in, index_t rank, const sbora::adapter_options& options, std::span<float> parameters,
       std::span<float> gradient)
      : a_(rank, d_in, everything(rank), a_options(options, rank), a_part(parameters, rank, d_in),
           a_part(gradient, rank, d_in)),
        b_(d_out, rank, everything(rank), b_options(options), b_part(parameters, rank, d_in),
           b_part(gradient, rank, d_in)) {}

  void add_to(const matrix& x, matrix& y, sbora::workspace& memory, thread_pool& pool) const {
    matrix reduced = matrix::Zero(x.rows(), a_.rank());
    sbora::delta_forward(a_, x, reduced, memory, pool);
    sbora::delta_forward(b_, reduced, y, memory, pool);
  }

  /// In training mode, with the dropout mask of `step`.
  void add_to(const matrix& x, matrix& y, std::uint64_t step, sbora::workspace& memory, thread_pool& pool) {
    matrix reduced = matrix::Zero(x.rows(), a_.rank());
    a_.set_dropout_step(step);
    sbora::delta_forward(a_, x, reduced, saved_input_, memory, pool);
    sbora::delta_forward(b_, reduced, y, saved_reduced_, memory, pool);
  }

  /// Adds to the gradients and, unless null, to dx.
  void backward(const matrix& x, const matrix& dy, matrix* dx, sbora::workspace& memory, thread_pool& pool) {
    saved_input_.refer_to({x.data(), x.rows(), x.cols()}, saved_input_.dropout_step());
    matrix reduced_gradient = matrix::Zero(dy.rows(), a_.rank());
    sbora::delta_backward(b_, dy, reduced_gradient, saved_reduced_, memory, pool);
    if (dx) sbora::delta_backward(a_, reduced_gradient, *dx, saved_input_, memory, pool);
    else sbora::delta_backward(a_, reduced_gradient, sbora::no_dx, saved_input_, memory, pool);
  }

  std::size_t saved_bytes() const {
    return sizeof(float) * static_cast<std::size_t>(saved_reduced_.tokens() * a_.rank());
  }

 private:
  static sbora::region everything(index_t rank) {
    std::vector<index_t> indices(static_cast<std::size_t>(rank));
    std::iota(indices.begin(), indices.end(), index_t{0});
    return {rank, std::move(indices)};
  }
  /// The scale belongs to B, the dropout to A's input.
  static sbora::adapter_options a_options(sbora::adapter_options options, index_t rank) {
    options.alpha = static_cast<double>(rank);
    options.rslora = false;
    return options;
  }
  static sbora::adapter_options b_options(sbora::adapter_options options) {
    options.dropout = 0;
    return options;
  }
  static std::span<float> a_part(std::span<float> both, index_t rank, index_t d_in) {
    return both.first(static_cast<std::size_t>(rank * d_in));
  }
  static std::span<float> b_part(std::span<float> both, index_t rank, index_t d_in) {
    return both.subspan(static_cast<std::size_t>(rank * d_in));
  }

  sbora::fb_adapter<float> a_;
  sbora::fa_adapter<float> b_;
  sbora::fb_saved<float> saved_input_;
  sbora::fa_saved<float> saved_reduced_;
};

}  // namespace llama
