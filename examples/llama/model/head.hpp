#pragma once

#include <span>

#include "model/block.hpp"

namespace llama {

/// The end of the model: norm, logits and their loss. Logits exist for a chunk of the scored tokens at a time,
/// and become their gradient in place.
class head {
 public:
  /// Products with the weight read through `input`.
  head(sbora::any_weight weight, norm_gain norm, std::shared_ptr<product_input> input)
      : weight_(std::move(weight)), norm_(norm), input_(std::move(input)) {}

  const sbora::any_weight& weight() const { return weight_; }
  norm_gain& norm() { return norm_; }
  const norm_gain& norm() const { return norm_; }
  /// Backward adds to this gradient, vocab_size x hidden_size. Empty: frozen.
  void train_weight(std::span<float> gradient) { weight_gradient_ = gradient; }

  /// The loss of the targets; dhidden, unless null, gets gradient_scale times the gradient of its sum.
  loss_sum loss(const matrix& hidden, std::span<const target> targets, float gradient_scale, matrix* dhidden,
                const block_context& with);

  /// The logits of some tokens.
  void logits(const matrix& hidden, std::span<const index_t> tokens, matrix& out, const block_context& with);

 private:
  using matrix_part = Eigen::Ref<matrix, 0, Eigen::OuterStride<>>;
  /// out = the logits of normed_.
  void multiply(matrix_part out, const block_context& with);
  void norm_rows(const matrix& hidden, const block_context& with);
  void backward(const matrix_part& dlogits, const block_context& with);

  sbora::any_weight weight_;
  norm_gain norm_;
  std::shared_ptr<product_input> input_;
  std::span<float> weight_gradient_;
  // Of one chunk.
  std::vector<index_t> tokens_;
  std::vector<float> inverse_rms_;
  matrix rows_, normed_, dnormed_, part_, drows_;
  matrix logits_;  ///< the first rows of it; it only grows, for memory of that size goes back to the system otherwise
};

}  // namespace llama
