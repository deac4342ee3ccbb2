#pragma once

/// Dense LoRA merges with Eigen's product, over more than one weight so that they come from memory too.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include "../peers/peers.hpp"
#include "memory.hpp"
#include "random.hpp"

namespace bench {

class lora_workload {
 public:
  lora_workload(std::ptrdiff_t d_out, std::ptrdiff_t d_in, std::ptrdiff_t rank, std::size_t weights = 2)
      : d_out_(d_out), d_in_(d_in), rank_(rank), a_(size(rank, d_in)), b_(size(d_out, rank)) {
    fill_uniform(a_.span(), 11, 0.1F);
    fill_uniform(b_.span(), 12, 0.1F);
    for (std::size_t i = 0; i < weights; ++i) {
      weights_.emplace_back(size(d_out, d_in));
      fill_uniform(weights_.back().span(), 13 + i);
    }
  }

  std::size_t count() const { return weights_.size(); }
  double flops() const { return 2.0 * static_cast<double>(d_out_ * d_in_ * rank_); }

  /// Adds and takes away in turn, so that the values stay where they are.
  void merge_all() {
    for (auto& weight : weights_) merge_one(weight.data(), sign_ * scale);
    sign_ = -sign_;
  }

  /// Throws unless a spread of elements agrees with the sum in double.
  void verify() {
    const std::vector<float> before(weights_[0].begin(), weights_[0].end());
    merge_one(weights_[0].data(), scale);
    for (std::ptrdiff_t i = 0; i < 997; ++i) {
      const std::ptrdiff_t row = i * 7919 % d_out_;
      const std::ptrdiff_t col = i * 104729 % d_in_;
      const std::size_t position = size(row, d_in_) + static_cast<std::size_t>(col);
      double sum = 0;
      for (std::ptrdiff_t k = 0; k < rank_; ++k) {
        sum += static_cast<double>(b_[size(row, rank_) + static_cast<std::size_t>(k)]) *
               static_cast<double>(a_[size(k, d_in_) + static_cast<std::size_t>(col)]);
      }
      const double expected = static_cast<double>(before[position]) + static_cast<double>(scale) * sum;
      if (!(std::abs(expected - static_cast<double>(weights_[0][position])) < 1e-5)) {
        throw std::runtime_error("Eigen's dense LoRA merge is wrong");
      }
    }
    std::copy(before.begin(), before.end(), weights_[0].begin());
  }

 private:
  static constexpr float scale = 2.0F;

  static std::size_t size(std::ptrdiff_t rows, std::ptrdiff_t cols) { return static_cast<std::size_t>(rows * cols); }
  void merge_one(float* weight, float signed_scale) {
    eigen_lora_merge(weight, b_.data(), a_.data(), d_out_, d_in_, rank_, signed_scale);
  }

  std::ptrdiff_t d_out_;
  std::ptrdiff_t d_in_;
  std::ptrdiff_t rank_;
  buffer<float> a_;
  buffer<float> b_;
  std::vector<buffer<float>> weights_;
  float sign_ = 1;
};

}  // namespace bench
