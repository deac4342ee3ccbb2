#pragma once

#include <cstring>
#include <stdexcept>

#include <Eigen/Core>
#include <sbora/merge/merger.hpp>

#include "multi_task/subject.hpp"

namespace multi_task {

/// A subject's weights, with adapters merged for a while.
class merged_weights {
 public:
  using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  merged_weights(const std::vector<layer>& layers, sbora::thread_pool& pool) : layers_(layers), pool_(pool) {
    for (const layer& each : layers_) mergers_.emplace_back(each.weight);
  }

  /// f() with the adapters merged, which share no column or row.
  template <class Function>
  void with(const std::vector<const adapter*>& adapters, const Function& f) {
    struct undo {
      merged_weights& of;
      ~undo() {
        for (auto& merger : of.mergers_) merger.unmerge_all(of.pool_);
      }
    } undone{*this};
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      for (const adapter* each : adapters) merge(i, *each);
    }
    f();
  }

  /// f() when the adapters have been merged and the last one taken out again.
  template <class Function>
  void without_the_last(const std::vector<const adapter*>& adapters, const Function& f) {
    with(adapters, [&] {
      for (std::size_t i = 0; i < layers_.size(); ++i) unmerge(i, *adapters.back());
      f();
    });
  }

  std::vector<matrix> copy() const {
    std::vector<matrix> all;
    for (std::size_t i = 0; i < layers_.size(); ++i) all.push_back(values(i));
    return all;
  }

  /// Elements that aren't these, to the last bit.
  index_t different(const std::vector<matrix>& from) const {
    index_t count = 0;
    for (std::size_t i = 0; i < layers_.size(); ++i) count += different(values(i), from[i]);
    return count;
  }

  struct interference {
    index_t disturbed = 0;  ///< elements that aren't what the base and their owner alone make of them
    index_t left = 0;       ///< that are other ones than before when all tasks have been taken out again
    index_t elements = 0;
  };

  /// Of adapters on regions of their own: all merged, against each merged alone; and taken out in another order.
  interference measure(const std::vector<const adapter*>& adapters) {
    interference found;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const matrix base = values(i);
      matrix expected = base;
      for (const adapter* each : adapters) {
        merge(i, *each);
        const matrix alone = values(i);
        unmerge(i, *each);
        each->visit(layers_[i].name, [&](const auto& part) {
          for (const index_t index : part.target().indices()) {
            if (part.kind == sbora::adapter_kind::fa) expected.col(index) = alone.col(index);
            else expected.row(index) = alone.row(index);
          }
        });
      }
      for (const adapter* each : adapters) merge(i, *each);
      found.disturbed += different(values(i), expected);
      for (std::size_t k = 0; k < adapters.size(); k += 2) unmerge(i, *adapters[k]);  // every other one, then the rest
      for (std::size_t k = 1; k < adapters.size(); k += 2) unmerge(i, *adapters[k]);
      found.left += different(values(i), base);
      found.elements += base.size();
    }
    return found;
  }

 private:
  Eigen::Map<const matrix> values(std::size_t i) const {
    const sbora::weight_view<float>& weight = layers_[i].weight;
    return {weight.data(), weight.d_out(), weight.d_in()};
  }

  template <class A, class B>
  static index_t different(const A& a, const B& b) {
    index_t count = 0;
    for (index_t i = 0; i < a.size(); ++i) count += std::memcmp(a.data() + i, b.data() + i, sizeof(float)) != 0;
    return count;
  }

  void merge(std::size_t i, const adapter& of) {
    of.visit(layers_[i].name, [&](const auto& part) { mergers_[i].merge(part, pool_); });
  }
  void unmerge(std::size_t i, const adapter& of) {
    of.visit(layers_[i].name, [&](const auto& part) { mergers_[i].unmerge(part, pool_); });
  }

  std::vector<layer> layers_;
  std::vector<sbora::merger<float>> mergers_;
  sbora::thread_pool& pool_;
};

/// Elements of the layers that more than one of the adapters changes.
inline index_t shared_elements(const std::vector<layer>& layers, const std::vector<const adapter*>& adapters) {
  index_t count = 0;
  for (const layer& each : layers) {
    std::vector<index_t> owners(static_cast<std::size_t>(each.weight.d_in()), 0);
    for (const adapter* of : adapters) {
      for (const index_t column : of->fa(each.name).target().indices()) ++owners[static_cast<std::size_t>(column)];
    }
    for (const index_t own : owners) count += own > 1 ? each.weight.d_out() : 0;
  }
  return count;
}

}  // namespace multi_task
