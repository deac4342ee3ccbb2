#pragma once

#include <numeric>

#include <Eigen/Core>

#include "multi_task/subject.hpp"

namespace multi_task {

/// The rank at which a LoRA has as many parameters as an FA adapter of this one, to the nearest.
inline index_t lora_rank(const std::vector<layer>& layers, index_t rank) {
  index_t of_fa = 0, of_lora = 0;
  for (const layer& each : layers) {
    of_fa += each.weight.d_out();
    of_lora += each.weight.d_out() + each.weight.d_in();
  }
  return std::max<index_t>(1, (rank * of_fa + of_lora / 2) / of_lora);
}

/// A LoRA's ΔW as an adapter like any, to be merged and combined: FA on all columns. halves(i): a, rank × d_in, and b,
/// d_out × rank, of layer i.
template <class Halves>
adapter lora_update(const std::vector<layer>& layers, index_t rank, float scale, const Halves& halves) {
  using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  std::vector<sbora::adapter_part> parts;
  for (const layer& each : layers) {
    std::vector<index_t> all(static_cast<std::size_t>(each.weight.d_in()));
    std::iota(all.begin(), all.end(), index_t{0});
    parts.push_back({each.name, each.weight.d_out(), each.weight.d_in(), sbora::region(each.weight.d_in(), all),
                     static_cast<double>(each.weight.d_in())});
  }
  adapter update(sbora::adapter_kind::fa, {}, std::move(parts));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto [a, b] = halves(i);
    const Eigen::Map<const matrix> half_a(a, rank, layers[i].weight.d_in());
    const Eigen::Map<const matrix> half_b(b, layers[i].weight.d_out(), rank);
    update.fa(layers[i].name).matrix().noalias() = scale * half_b * half_a;
  }
  return update;
}

}  // namespace multi_task
