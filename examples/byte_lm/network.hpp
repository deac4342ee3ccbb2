#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "corpus.hpp"
#include "model.hpp"
#include "common/matrix.hpp"

namespace byte_lm {

enum class pass { train, evaluate };

/// One batch: rows of `context` bytes and the byte that follows each.
struct batch {
  std::vector<std::uint8_t> inputs;
  std::vector<std::uint8_t> targets;

  index_t tokens() const { return std::ssize(targets); }

  void clear() {
    inputs.clear();
    targets.clear();
  }
  void add(const corpus& text, index_t position) {
    inputs.insert(inputs.end(), text.at(position - context), text.at(position));
    targets.push_back(*text.at(position));
  }
};

/// embedding -> hidden, ReLU -> hidden, ReLU -> output, softmax. What a layer computes and what of it
/// is trained is the layer's matter. It has
///   forward(x, y, pass, pool)    y from x; x stays as it is until backward
///   backward(dy, dx, pool)       its gradients, and dx unless null
/// Activations are row-major tokens x features.
template <class Hidden, class Output>
class network {
 public:
  network(model_view model, Hidden first, Hidden second, Output output)
      : model_(model), hidden_{std::move(first), std::move(second)}, output_(std::move(output)) {}

  /// Of the last forward, before its loss.
  const matrix& logits() const { return values_[3]; }
  Hidden& hidden(int layer) { return hidden_[static_cast<std::size_t>(layer)]; }

  /// Mean loss of the batch in nats per byte.
  double forward(const batch& examples, pass what, thread_pool& pool) {
    resize(examples.tokens());
    embed(examples, pool);
    for (std::size_t layer = 0; layer < 2; ++layer) {
      matrix& y = values_[layer + 1];
      hidden_[layer].forward(values_[layer], y, what, pool);
      for_row_blocks(y.rows(), pool, [&](index_t first, index_t count) {
        auto rows = y.middleRows(first, count);
        rows = rows.cwiseMax(0.0f);
      });
    }
    output_.forward(values_[2], values_[3], what, pool);
    return softmax_loss(examples, pool);
  }

  /// After forward(..., pass::train, ...). With an embedding gradient the first layer's dx is needed,
  /// without one it isn't computed.
  void backward(const batch& examples, matrix_map* embedding_gradient, thread_pool& pool) {
    output_.backward(gradients_[3], &gradients_[2], pool);
    relu_backward(2, pool);
    hidden_[1].backward(gradients_[2], &gradients_[1], pool);
    relu_backward(1, pool);
    hidden_[0].backward(gradients_[1], embedding_gradient ? &gradients_[0] : nullptr, pool);
    if (!embedding_gradient) return;
    // Serial: rows of different tokens may hit the same symbol, and the order of sums is part of the
    // result.
    for (index_t token = 0; token < examples.tokens(); ++token) {
      for (index_t i = 0; i < context; ++i) {
        embedding_gradient->row(examples.inputs[static_cast<std::size_t>(token * context + i)]) +=
            gradients_[0].row(token).segment(i * embedding_width, embedding_width);
      }
    }
  }

 private:
  void resize(index_t tokens) {
    if (values_[0].rows() == tokens) return;
    for (std::size_t i = 0; i < values_.size(); ++i) {
      values_[i].resize(tokens, i == 3 ? symbols : width);
      gradients_[i].resize(tokens, i == 3 ? symbols : width);
    }
    losses_.resize(static_cast<std::size_t>(tokens));
  }

  void embed(const batch& examples, thread_pool& pool) {
    const matrix_map table = model_.embedding();
    for_row_blocks(examples.tokens(), pool, [&](index_t first, index_t count) {
      for (index_t token = first; token < first + count; ++token) {
        for (index_t i = 0; i < context; ++i) {
          values_[0].row(token).segment(i * embedding_width, embedding_width) =
              table.row(examples.inputs[static_cast<std::size_t>(token * context + i)]);
        }
      }
    });
  }

  /// Loss, and its gradient in gradients_[3].
  double softmax_loss(const batch& examples, thread_pool& pool) {
    const index_t tokens = examples.tokens();
    for_row_blocks(tokens, pool, [&](index_t first, index_t count) {
      for (index_t token = first; token < first + count; ++token) {
        const auto logits = values_[3].row(token).array();
        auto probabilities = gradients_[3].row(token).array();
        const index_t target = examples.targets[static_cast<std::size_t>(token)];
        const float largest = logits.maxCoeff();
        probabilities = (logits - largest).exp();
        const float sum = probabilities.sum();
        losses_[static_cast<std::size_t>(token)] = std::log(sum) + largest - logits(target);
        probabilities /= sum * static_cast<float>(tokens);
        probabilities(target) -= 1.0f / static_cast<float>(tokens);
      }
    });
    double total = 0;
    for (const float loss : losses_) total += static_cast<double>(loss);
    return total / static_cast<double>(tokens);
  }

  void relu_backward(std::size_t layer, thread_pool& pool) {
    for_row_blocks(values_[layer].rows(), pool, [&](index_t first, index_t count) {
      gradients_[layer].middleRows(first, count).array() *=
          (values_[layer].middleRows(first, count).array() > 0.0f).template cast<float>();
    });
  }

  model_view model_;
  std::array<Hidden, 2> hidden_;
  Output output_;
  std::array<matrix, layer_count + 1> values_;
  std::array<matrix, layer_count + 1> gradients_;
  std::vector<float> losses_;
};

}  // namespace byte_lm
