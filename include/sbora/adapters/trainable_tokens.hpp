#pragma once

#include <array>
#include <span>
#include <string>
#include <utility>

#include <sbora/adapters/parameter_block.hpp>
#include <sbora/adapters/trained_numbers.hpp>
#include <sbora/adapters/weight_delta.hpp>
#include <sbora/core/assert.hpp>
#include <sbora/core/checked_size.hpp>
#include <sbora/weights/frozen_weight.hpp>

namespace sbora::inline SBORA_ABI {

/// Rows of a table that are trained whole, in the place of the table's own: new or changed tokens. One object serves
/// an embedding (layers/embedding.hpp) and the head that is tied to it (layers/trainable_tokens.hpp), with one gradient
/// and one merge (merge/token_merger.hpp).
///
/// Effect      row target()[j] of the table counts as row j of parameters(), which starts as a copy of it.
/// Shapes      parameters() and gradient(): flat, row-major rank × features.
/// Requires    a region over the vocabulary: shape_error.
/// Lifetime    owns its memory, or uses the caller's, which has to outlive it; keeps nothing of the table. Movable.
/// Cost        2·rank·features numbers.
/// Numerics    no sum with the table's rows anywhere: what was trained is what is read, to the bit. (An FB adapter is
///             added instead, so that it can be scaled, switched off and mixed.)
/// Thread      const members are safe concurrently; backwards write the gradient, one call at a time.
/// Source      PEFT's TrainableTokensLayer.
template <class T>
class basic_trainable_tokens : public detail::trained_numbers<T> {
 public:
  /// A copy of the table's rows. Defined in layers/trainable_tokens.hpp, since it takes kernels, which a model's
  /// adapters do without.
  template <float_weight Weight>
  basic_trainable_tokens(const Weight& table, region tokens);
  /// On the caller's memory of rank·features numbers each, which keeps its contents. An empty gradient: for inference.
  basic_trainable_tokens(index_t vocabulary, index_t features, region tokens, std::span<T> parameters,
                         std::span<T> gradient)
      : basic_trainable_tokens(checked{}, vocabulary, features, std::move(tokens)) {
    this->use("sbora::trainable_tokens", count(), parameters, gradient);
  }

  const region& target() const& noexcept { return target_; }
  const region& target() const&& = delete;  // would dangle: name the tokens
  index_t vocabulary() const noexcept { return vocabulary_; }
  index_t features() const noexcept { return features_; }
  /// The trained rows as optimisers of matrices take them.
  std::array<parameter_block, 1> blocks() const noexcept { return {{{0, target_.rank(), features_}}}; }

  /// The rows as an FB adapter's delta with a scale of 1: what seen_rows (sparse_step.hpp) takes. What adds it to the
  /// table adds instead of replacing.
  weight_delta<T> delta() const& {
    SBORA_ASSERT(target_.rank() > 0, "the tokens were moved from, and have no rows any more");
    return {detail::row_kind,
            &target_,
            this->parameters().data(),
            this->gradient_of_delta(),
            vocabulary_,
            features_,
            T{1},
            true,
            0,
            0};
  }
  weight_delta<T> delta() const&& = delete;  // would dangle: name the tokens

 private:
  struct checked {};

  basic_trainable_tokens(checked, index_t vocabulary, index_t features, region tokens)
      : target_(std::move(tokens)), vocabulary_(vocabulary), features_(features) {
    if (target_.dim() != vocabulary_) {
      throw shape_error(detail::message({"sbora::trainable_tokens: the region is of [0, ", target_.dim(),
                                         "), the table has ", vocabulary_, " rows"}));
    }
    detail::require_product("sbora::trainable_tokens", {2 * sizeof(T), target_.rank(), features_});
  }
  index_t count() const noexcept { return target_.rank() * features_; }

  region target_;
  index_t vocabulary_;
  index_t features_;
};

using trainable_tokens = basic_trainable_tokens<float>;

}  // namespace sbora::inline SBORA_ABI
