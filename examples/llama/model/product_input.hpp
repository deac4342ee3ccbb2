#pragma once

#include <span>

#include <sbora/weights/convert.hpp>

#include "common/matrix.hpp"

namespace llama {

/// What products read: activations as they are, or rounded to bfloat16, as under torch.autocast. Weights of 16 bits or
/// fewer are multiplied with those in pairs where the processor can (AVX512_BF16, AMX). Sums stay in float.
///
/// Cost        of rounding: one pass over x, in a buffer that all layers share.
/// Thread      one call at a time.
class product_input {
 public:
  explicit product_input(bool rounds) : rounds_(rounds) {}

  bool rounds() const { return rounds_; }

  /// f(x), or f(x rounded). Aliasing: f may not call this again.
  template <class X, class Function>
  void read(const X& x, thread_pool& pool, Function f) {
    if (!rounds_) return f(x);
    rounded_.resize(x.rows(), x.cols());
    for_row_blocks(x.rows(), pool, [&](index_t first, index_t count) {
      for (index_t row = first; row < first + count; ++row) {
        const auto cols = static_cast<std::size_t>(x.cols());
        sbora::convert(std::span<const float>(x.row(row).data(), cols), std::span(&rounded_(row, 0), cols));
      }
    });
    f(rounded_);
  }

 private:
  bool rounds_;
  Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rounded_;
};

}  // namespace llama
