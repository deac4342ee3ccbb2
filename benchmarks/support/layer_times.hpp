#pragma once

/// A layer over any storage, timed for any number of tokens.

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <sbora/executors/thread_pool.hpp>
#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>
#include <sbora/weights/ggml_codes.hpp>
#include <sbora/weights/ggml_view.hpp>

#include "memory.hpp"
#include "random.hpp"
#include "timing.hpp"

namespace bench {

using sbora::index_t;

/// y = x·Wᵀ, or dx = dy·W.
enum class direction { forward, dx };

/// A layer whose weight lies in memory so many times that no pass finds it in a cache.
class timed_layer {
 public:
  static constexpr index_t most_tokens = 512;

  virtual ~timed_layer() = default;
  virtual const std::string& storage() const = 0;
  /// Of one weight.
  virtual double bytes() const = 0;
  /// Processor seconds of one call on this thread.
  virtual double seconds(direction which, index_t tokens) = 0;
  /// The same of this thread's part of it.
  virtual double seconds(direction which, index_t tokens, sbora::thread_pool& pool) = 0;
  /// Throws unless a spread of one call's results is the product of the dense values.
  virtual void verify(direction which, index_t tokens) = 0;
};

/// Owner: what weights are made of, `view_of(owner)` its view; Activation: of x, y, dx, dy.
template <class Owner, class Activation, class ViewOf>
class layer_in_turn final : public timed_layer {
 public:
  /// `dense`: the d_out x d_in values that the first owner stands for.
  layer_in_turn(std::string storage, std::size_t bytes, std::vector<Owner> owners, ViewOf view_of,
                std::vector<float> dense)
      : storage_(std::move(storage)),
        bytes_(static_cast<double>(bytes)),
        owners_(std::move(owners)),
        view_of_(view_of),
        dense_(std::move(dense)) {
    const auto view = view_of_(owners_.front());
    d_out_ = view.d_out();
    d_in_ = view.d_in();
    x_ = buffer<Activation>(static_cast<std::size_t>(most_tokens * d_in_));
    dx_ = buffer<Activation>(x_.size());
    dy_ = buffer<Activation>(static_cast<std::size_t>(most_tokens * d_out_));
    y_ = buffer<Activation>(dy_.size());
    fill_uniform(x_.span(), 52);
    fill_uniform(dy_.span(), 53);
  }

  const std::string& storage() const override { return storage_; }
  double bytes() const override { return bytes_; }

  double seconds(direction which, index_t tokens) override {
    sbora::serial_executor serial;
    return seconds_by(which, tokens, serial);
  }
  double seconds(direction which, index_t tokens, sbora::thread_pool& pool) override {
    return seconds_by(which, tokens, pool);
  }

  void verify(direction which, index_t tokens) override {
    next_ = 0;
    seconds(which, tokens);
    const bool forward = which == direction::forward;
    const index_t depth = forward ? d_in_ : d_out_, columns = forward ? d_out_ : d_in_;
    const auto &left = forward ? x_ : dy_, &out = forward ? y_ : dx_;
    for (index_t i = 0; i < 17; ++i) {
      const index_t t = i % tokens, n = i * 104729 % columns;
      double sum = 0, magnitude = 0;
      for (index_t k = 0; k < depth; ++k) {
        const double term = static_cast<double>(static_cast<float>(left[at(t, depth, k)])) *
                            static_cast<double>(dense_[forward ? at(n, d_in_, k) : at(k, d_in_, n)]);
        sum += term;
        magnitude += std::abs(term);
      }
      const double rounding = sizeof(Activation) == 2 ? 0x1p-8 : 0x1p-24;
      if (!(std::abs(sum - static_cast<double>(static_cast<float>(out[at(t, columns, n)]))) <
            1e-5 * magnitude + 4 * rounding * std::abs(sum))) {
        throw std::runtime_error("the result of " + storage_ + " is wrong, " + std::to_string(tokens) + " tokens");
      }
    }
  }

 private:
  template <class Executor>
  double seconds_by(direction which, index_t tokens, Executor& pool) {
    const sbora::linear layer(view_of_(owners_[next_]));
    next_ = (next_ + 1) % owners_.size();
    map x(x_.data(), tokens, d_in_), y(y_.data(), tokens, d_out_), dy(dy_.data(), tokens, d_out_),
        dx(dx_.data(), tokens, d_in_);
    return seconds_of([&] {
      if (which == direction::forward) layer.forward(x, y, memory_, pool);
      else layer.backward(dy, dx, memory_, pool);
    });
  }

  using map = Eigen::Map<Eigen::Matrix<Activation, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
  static std::size_t at(index_t row, index_t cols, index_t col) { return static_cast<std::size_t>(row * cols + col); }

  std::string storage_;
  double bytes_;
  std::vector<Owner> owners_;
  ViewOf view_of_;
  std::vector<float> dense_;
  index_t d_out_ = 0, d_in_ = 0;
  buffer<Activation> x_, y_, dx_, dy_;
  sbora::workspace memory_;
  std::size_t next_ = 0;
};

/// A weight in one of ggml's types of blocks, rounded to them.
class ggml_weight {
 public:
  ggml_weight(const sbora::weight_view<const float>& source, sbora::ggml_type type)
      : type_(type), d_out_(source.d_out()), d_in_(source.d_in()) {
    const auto& layout = sbora::detail::layout_of(type);
    blocks_.resize(static_cast<std::size_t>(d_out_ * d_in_ / layout.elements * layout.bytes));
    for (index_t i = 0; i < d_out_ * d_in_; i += layout.elements) {
      const std::span values(source.data() + i, static_cast<std::size_t>(layout.elements));
      sbora::detail::ggml_block block(type, blocks_.data() + i / layout.elements * layout.bytes);
      block.set_scales(values);
      for (index_t k = 0; k < layout.elements; ++k) {
        const auto scales = block.of_group(k / block.group_size(type));
        block.set_code(k, block.nearest(scales, values[static_cast<std::size_t>(k)]));
      }
    }
  }
  sbora::ggml_view view() const { return {std::span(blocks_), type_, d_out_, d_in_}; }

 private:
  sbora::ggml_type type_;
  index_t d_out_, d_in_;
  std::vector<std::uint8_t> blocks_;
};

/// The storages that a layer is made of here, besides q4_1, q8_0 and q4_k; activations f32, over bf16 weights bf16.
inline constexpr std::array timed_storages = {"f32", "bf16", "f16", "nf4", "fp4", "int8"};

/// nf4 is nested. `in_turn`: bytes of all its weights together, 16 of them at most.
inline std::unique_ptr<timed_layer> make_timed_layer(const std::string& storage, index_t d_out, index_t d_in,
                                                     std::size_t in_turn) {
  const auto size = static_cast<std::size_t>(d_out * d_in);
  const auto copies = [&](std::size_t bytes) { return std::clamp<std::size_t>(in_turn / bytes, 1, 16); };
  buffer<float> values(size);
  fill_uniform(values.span(), 51, 0.05F);
  const sbora::weight_view<const float> source(values.data(), d_out, d_in);
  std::vector<float> dense(size);
  const auto make = [&]<class Activation, class Owner, class ViewOf>(Activation, std::size_t bytes,
                                                                     std::vector<Owner> owners,
                                                                     ViewOf view_of) -> std::unique_ptr<timed_layer> {
    return std::make_unique<layer_in_turn<Owner, Activation, ViewOf>>(storage, bytes, std::move(owners), view_of,
                                                                      std::move(dense));
  };
  const auto of_scalars = [&]<class Scalar, class Activation>(Scalar, Activation activation) {
    const std::size_t bytes = size * sizeof(Scalar);
    std::vector<buffer<Scalar>> owners;
    for (std::size_t i = 0; i < copies(bytes); ++i) {
      owners.emplace_back(size);
      for (std::size_t e = 0; e < size; ++e) owners.back()[e] = static_cast<Scalar>(values[e]);
    }
    for (std::size_t e = 0; e < size; ++e) dense[e] = static_cast<float>(owners.front()[e]);
    return make(activation, bytes, std::move(owners), [d_out, d_in](const buffer<Scalar>& w) {
      return sbora::weight_view<const Scalar>(w.data(), d_out, d_in);
    });
  };
  const auto of_codes = [&]<class Owner>(const Owner& weight) {
    const auto bytes = static_cast<std::size_t>(weight.view().bytes());
    sbora::dequantize(weight.view(), sbora::weight_view<float>(dense.data(), d_out, d_in));
    return make(0.0F, bytes, std::vector<Owner>(copies(bytes), weight), [](const Owner& w) { return w.view(); });
  };
  if (storage == "f32") return of_scalars(0.0F, 0.0F);
  if (storage == "bf16") return of_scalars(Eigen::bfloat16(), Eigen::bfloat16());
  if (storage == "f16") return of_scalars(Eigen::half(), 0.0F);
  if (storage == "q4_1") return of_codes(ggml_weight(source, sbora::ggml_type::q4_1));
  if (storage == "q8_0") return of_codes(ggml_weight(source, sbora::ggml_type::q8_0));
  if (storage == "q4_k") return of_codes(ggml_weight(source, sbora::ggml_type::q4_k));
  if (storage == "int8") return of_codes(sbora::int8_weight(source));
  if (storage == "fp4") return of_codes(sbora::four_bit_weight(source, {.type = sbora::four_bit_type::fp4}));
  return of_codes(sbora::four_bit_weight(source, {.type = sbora::four_bit_type::nf4, .nested = true}));
}

}  // namespace bench
