#pragma once

/// Merges whose weights, trained halves and saved originals all come from memory, as they do when a
/// model is switched from one adapter to another: enough of them that a pass touches several times the
/// last-level cache, walked in the same order each time.
///
/// FA: one adapter per weight. FB: each weight's rows are cut into disjoint regions of `rank` rows, one
/// adapter each (a region is only rank * d_in elements, and a weight has d_out / rank of them).
/// Every adapter has a merger of its own, as if the others weren't there.
///
/// Byte model, per merge: 2 * 64 for every distinct cache line of the weight that has an element of the
/// region (read and written back; counted from the region and the address), plus the trained half
/// (read), plus the saved originals (written). What a merge moves beyond that counts against it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <sbora/sbora.hpp>

#include "machine.hpp"
#include "memory.hpp"
#include "random.hpp"

namespace bench {

using sbora::index_t;

constexpr std::size_t line_bytes = 64;

struct merge_shape {
  index_t d_out = 4096;
  index_t d_in = 4096;
  index_t rank = 64;
};

/// Distinct cache lines with an element of the given columns, over all rows of a row-major weight.
template <class Scalar>
double lines_of_columns(const Scalar* weight, const merge_shape& shape, const sbora::region& columns) {
  double lines = 0;
  for (index_t row = 0; row < shape.d_out; ++row) {
    std::uintptr_t last = 0;
    for (const index_t column : columns.sorted()) {
      const auto address = reinterpret_cast<std::uintptr_t>(weight + row * shape.d_in + column);
      lines += address / line_bytes != last ? 1 : 0;
      last = address / line_bytes;
    }
  }
  return lines;
}

/// Distinct cache lines of whole rows; a line that two neighbouring rows share counts once.
template <class Scalar>
double lines_of_rows(const Scalar* weight, const merge_shape& shape, const sbora::region& rows) {
  double lines = 0;
  std::uintptr_t last = 0;
  for (const index_t row : rows.sorted()) {
    const auto begin = reinterpret_cast<std::uintptr_t>(weight + row * shape.d_in) / line_bytes;
    const auto end = (reinterpret_cast<std::uintptr_t>(weight + (row + 1) * shape.d_in) - 1) / line_bytes;
    lines += static_cast<double>(end - begin + 1) - (begin == last ? 1 : 0);
    last = end;
  }
  return lines;
}

/// Weight: float, Eigen::bfloat16, Eigen::half. Adapter: sbora::fa_adapter<float> or fb_adapter<float>.
template <class Weight, class Adapter>
class merge_workload {
 public:
  static constexpr bool is_fa = std::is_same_v<Adapter, sbora::fa_adapter<float>>;

  /// `cache_multiple`: how often a pass over all adapters touches the last-level cache's size.
  merge_workload(merge_shape shape, double cache_multiple, std::uint64_t seed = 1) : shape_(shape) {
    const double least = cache_multiple * static_cast<double>(last_level_cache_bytes());
    const double weight_bytes = static_cast<double>(shape.d_out * shape.d_in) * sizeof(Weight);
    const double room = std::max(weight_bytes, 0.4 * static_cast<double>(available_memory_bytes()));
    double touched = 0;
    do {
      touched += add_weight(seed + weights_.size());
    } while (touched < least && weight_bytes * static_cast<double>(weights_.size() + 1) < room);
    touched_bytes_ = touched;
  }

  std::size_t count() const { return slots_.size(); }
  std::size_t weight_count() const { return weights_.size(); }
  /// Bytes of the model, summed over a pass. Unmerging reads no trained half.
  double pass_bytes() const { return pass_bytes_; }
  double unmerge_bytes() const { return unmerge_bytes_; }
  double touched_bytes() const { return touched_bytes_; }

  void merge_all() {
    for (slot& item : slots_) item.merger->merge(*item.adapter);
  }
  /// f(weight, its indices) for every adapter.
  template <class Function>
  void for_each_region(Function&& f) {
    for (slot& item : slots_) f(weights_[item.weight].data(), item.adapter->target().indices());
  }
  void unmerge_all() {
    for (slot& item : slots_) item.merger->unmerge(*item.adapter);
  }

  /// Throws unless merging gives exactly what a plain loop gives and unmerging restores every weight.
  /// Leaves everything unmerged and merged once, so nothing is allocated for the first time later.
  void verify() {
    std::vector<std::uint64_t> sums;
    for (const auto& weight : weights_) sums.push_back(checksum(weight.span()));
    verify_merge(0);
    verify_merge(slots_.size() - 1);
    merge_all();
    unmerge_all();
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      if (checksum(std::as_const(weights_[i]).span()) != sums[i]) {
        throw std::runtime_error("unmerge didn't restore weight " + std::to_string(i));
      }
    }
  }

 private:
  struct slot {
    std::size_t weight;
    std::unique_ptr<Adapter> adapter;
    std::unique_ptr<sbora::merger<Weight>> merger;
  };

  /// Adds a weight with its adapters; returns the bytes of distinct memory that merging them touches.
  double add_weight(std::uint64_t seed) {
    const index_t dim = is_fa ? shape_.d_in : shape_.d_out;
    weights_.emplace_back(static_cast<std::size_t>(shape_.d_out * shape_.d_in));
    buffer<Weight>& weight = weights_.back();
    fill_uniform(weight.span(), seed);

    std::vector<sbora::region> regions;
    if (is_fa) {
      regions.push_back(sbora::sample_region(dim, shape_.rank, seed));
    } else {
      const std::vector<index_t> ranks(static_cast<std::size_t>(dim / shape_.rank), shape_.rank);
      regions = sbora::partition_regions(dim, ranks, seed);
    }

    double touched = 0;
    for (sbora::region& indices : regions) {
      const double lines =
          is_fa ? lines_of_columns(weight.data(), shape_, indices) : lines_of_rows(weight.data(), shape_, indices);
      // alpha = 2 rank: the scale is 2, so that a reference needn't know where the product is rounded.
      sbora::adapter_options options;
      options.alpha = 2.0 * static_cast<double>(shape_.rank);
      auto adapter = std::make_unique<Adapter>(shape_.d_out, shape_.d_in, std::move(indices), options);
      fill_uniform(adapter->parameters(), ~(seed + slots_.size()), 0.01F);
      const double half = static_cast<double>(adapter->parameter_count()) * sizeof(float);
      const double originals = static_cast<double>(adapter->parameter_count()) * sizeof(Weight);
      pass_bytes_ += 2 * line_bytes * lines + half + originals;
      unmerge_bytes_ += 2 * line_bytes * lines + originals;
      touched += line_bytes * lines + half + originals;
      sbora::weight_view<Weight> view(weight.data(), shape_.d_out, shape_.d_in);
      slots_.push_back({weights_.size() - 1, std::move(adapter), std::make_unique<sbora::merger<Weight>>(view)});
    }
    return touched;
  }

  void verify_merge(std::size_t index) {
    slot& item = slots_[index];
    buffer<Weight>& weight = weights_[item.weight];
    std::vector<Weight> expected(weight.begin(), weight.end());
    const auto indices = item.adapter->target().indices();
    const auto parameters = item.adapter->parameters();
    const auto scale = static_cast<float>(item.adapter->scale());
    for (index_t row = 0; row < (is_fa ? shape_.d_out : shape_.rank); ++row) {
      for (index_t col = 0; col < (is_fa ? shape_.rank : shape_.d_in); ++col) {
        const index_t position = is_fa ? row * shape_.d_in + indices[static_cast<std::size_t>(col)]
                                       : indices[static_cast<std::size_t>(row)] * shape_.d_in + col;
        const float trained = parameters[static_cast<std::size_t>(row * (is_fa ? shape_.rank : shape_.d_in) + col)];
        Weight& value = expected[static_cast<std::size_t>(position)];
        value = static_cast<Weight>(static_cast<float>(value) + scale * trained);
      }
    }
    item.merger->merge(*item.adapter);
    const std::vector<Weight> merged(weight.begin(), weight.end());
    item.merger->unmerge(*item.adapter);
    if (checksum(std::span<const Weight>(merged)) != checksum(std::span<const Weight>(expected))) {
      throw std::runtime_error("the merged weight isn't W + round(scale * trained half)");
    }
  }

  merge_shape shape_;
  std::vector<buffer<Weight>> weights_;
  std::vector<slot> slots_;
  double pass_bytes_ = 0;
  double unmerge_bytes_ = 0;
  double touched_bytes_ = 0;
};

}  // namespace bench
