#pragma once

#include <sbora/merge/merge_rules.hpp>
#include <sbora/core/finite.hpp>
#include <sbora/adapters/weight_delta.hpp>

namespace sbora::inline SBORA_ABI {

/// Merges adapters beside a weight instead of into it, for weights that cannot hold the sum (4-bit, 8-bit) or may
/// not be written (mapped checkpoints). Layers and export_merged honour it.
///
/// Effect      a layer with set_overlay(&deltas()) computes with W + round(s·B) in the compute type, for every
///             merged adapter: W is never written and nothing is rounded to its codes, so taking an adapter out
///             again leaves what was there, bit for bit.
/// Shapes      FA and FB adapters for a d_out × d_in weight.
/// Requires    merged regions are disjoint and of one kind, as for a merger: checked.
/// Lifetime    keeps copies of what is merged; the adapter may train on or go. Layers point to it, so it doesn't
///             move.
/// Cost        merge: a copy of the trained half, rank·d; unmerge: none. Layers: as for an adapter (delta_path).
/// Numerics    a layer's results with a merged adapter have the bits that the enabled adapter gave.
/// Thread      one call at a time, and none while a layer that uses it runs.
/// Errors      merge_error, shape_error; not_finite_error with the place of the first s·b that isn't finite.
///             Nothing is merged then.
template <class T = float>
class overlay {
 public:
  /// Errors: shape_error.
  overlay(index_t d_out, index_t d_in) : d_out_(d_out), d_in_(d_in) {
    if (d_out < 1 || d_in < 1) {
      throw shape_error("sbora::overlay: a weight of " + detail::shape_text(d_out, d_in) + ", both must be at least 1");
    }
  }
  overlay(const overlay&) = delete;
  overlay& operator=(const overlay&) = delete;

  index_t d_out() const noexcept { return d_out_; }
  index_t d_in() const noexcept { return d_in_; }

  /// Of a weight instead of its sizes: doesn't compile, and this says why.
  template <class Weight>
  explicit overlay(const Weight&) {
    static_assert(sizeof(Weight) == 0, "sbora::overlay: it is made of a weight's sizes: overlay(w.d_out(), w.d_in())");
  }

  /// Merges with the adapter's scale(), enabled or not.
  template <adapter_kind Kind>
  void merge(const basic_adapter<Kind, T>& adapter) {
    detail::check_merge_shape(name, adapter, d_out_, d_in_);
    detail::check_region_free<entry>(name, entries_, nullptr, Kind, adapter.target());
    check_finite(adapter);
    const auto source = adapter.parameters();
    entry added = {Kind, adapter.target(), std::vector<T>(source.begin(), source.end())};
    weight_delta<T> delta = adapter.delta();
    delta.parameters = added.parameters.data();
    delta.enabled = true;
    entries_.reserve(entries_.size() + 1);
    deltas_.push_back(delta);
    entries_.push_back(std::move(added));
    refer_to_entries();
  }

  /// Errors: merge_error where this region isn't merged.
  template <adapter_kind Kind>
  void unmerge(const basic_adapter<Kind, T>& adapter) {
    detail::check_merge_shape(name, adapter, d_out_, d_in_);
    const auto found = detail::require_merged(name, entries_, Kind, adapter.target());
    deltas_.erase(deltas_.begin() + (found - entries_.begin()));
    entries_.erase(found);
    refer_to_entries();
  }

  /// Any other arguments don't compile, and these say why.
  template <class... Arguments>
    requires(detail::misuse_of_overlay<T, Arguments...> != detail::misuse::none)
  void merge(Arguments&&...) {
    constexpr auto found = detail::misuse_of_overlay<T, Arguments...>;
#include <sbora/core/misuse.inl>
  }
  template <class... Arguments>
    requires(detail::misuse_of_overlay<T, Arguments...> != detail::misuse::none)
  void unmerge(Arguments&&...) {
    constexpr auto found = detail::misuse_of_overlay<T, Arguments...>;
#include <sbora/core/misuse.inl>
  }

  void unmerge_all() noexcept {
    deltas_.clear();
    entries_.clear();
  }

  template <adapter_kind Kind>
  bool is_merged(const basic_adapter<Kind, T>& adapter) const {
    return std::any_of(entries_.begin(), entries_.end(), [&](const entry& e) { return e.is(Kind, adapter.target()); });
  }
  index_t merged_count() const noexcept { return static_cast<index_t>(entries_.size()); }

  /// What is merged, for linear::set_overlay and export_merged.
  const delta_list<T>& deltas() const& noexcept { return deltas_; }
  const delta_list<T>& deltas() const&& = delete;  // would dangle: name the overlay

 private:
  static constexpr const char* name = "sbora::overlay";

  struct entry {
    adapter_kind kind;
    region target;
    std::vector<T> parameters;

    const region& where() const { return target; }
    bool is(adapter_kind other_kind, const region& other) const { return kind == other_kind && target == other; }
  };

  /// Delta i is entry i's; entries move when one comes or goes.
  void refer_to_entries() noexcept {
    for (std::size_t i = 0; i < entries_.size(); ++i) deltas_[i].target = &entries_[i].target;
  }

  template <adapter_kind Kind>
  void check_finite(const basic_adapter<Kind, T>& adapter) const {
    const weight_delta<T> delta = adapter.delta();
    const detail::region_geometry geometry = delta.geometry();
    for (index_t at = 0; at < adapter.parameter_count(); ++at) {
      if (detail::is_finite(delta.scale * delta.parameters[at])) continue;
      const index_t width = geometry.cols();
      const index_t line = geometry.rows_along_region ? at / width : at % width;
      const index_t position = geometry.rows_along_region ? at % width : at / width;
      const index_t index = delta.target->indices()[static_cast<std::size_t>(position)];
      detail::throw_merge_not_finite(name, geometry.weight_row(line, index), geometry.weight_col(line, index));
    }
  }

  index_t d_out_;
  index_t d_in_;
  std::vector<entry> entries_;
  delta_list<T> deltas_;
};

}  // namespace sbora::inline SBORA_ABI
