#pragma once

#include <sbora/merge/merge_rules.hpp>
#include <sbora/merge/region_layout.hpp>

namespace sbora::inline SBORA_ABI {

/// Merges adapters into one writable weight and takes them out again, to the last bit.
///
/// Effect      merge: W += round(s·B) on the adapter's region, rounded to the weight's type (to nearest
///             even), and nothing else touched. The originals of the region are kept; unmerge writes
///             them back. What is merged is known by kind and region, not by the adapter object.
/// Shapes      an FA or FB adapter for a d_out × d_in weight.
/// Requires    merged regions are disjoint: two FAs or FBs that share no index. FA columns and FB rows
///             always cross, so only one kind at a time.
/// Aliasing    the weight's memory is written by merges only; nobody may write the merged regions
///             meanwhile.
/// Lifetime    keeps the view of the weight. Destroying a merger leaves the weight as it is, merged.
/// Cost        O(rank·d): reads and writes the region once, keeps rank·d originals. What an unmerge
///             frees is kept for the next merge, so merging and swapping in turns doesn't allocate.
/// Numerics    s·b is rounded to float (double), then added in it and rounded to the weight's type: the
///             same bits for any executor and instruction set, and as torch's weight[:, idx] += s * b
///             for float.
/// Thread      one call at a time for each merger; nobody may use the weight meanwhile.
/// Errors      merge_error, shape_error; not_finite_error with row and column of the first element that
///             would not be finite. The weight is as it was, to the last bit: merge finds such an element
///             in its one pass (looking at everything first would take twice the time) and puts the
///             region back before it throws, also where the executor throws; swap looks first, and after a
///             failure of the executor writes what was merged before.
/// Source      keeping originals: what users of merge/unmerge ask for, e.g. huggingface/trl#6688.
template <class Scalar>
class merger {
  static_assert(!std::is_const_v<Scalar>, "sbora::merger: merging writes the weight, and this view is read-only");
  using storage_scalar = typename weight_view<Scalar>::storage_scalar;
  using compute = typename weight_view<Scalar>::compute_scalar;
  using arguments = detail::region_args<storage_scalar, compute>;
  using kernels = detail::region_kernels<storage_scalar, compute>;

 public:
  explicit merger(weight_view<Scalar> weight) : weight_(weight) {}

  weight_view<Scalar> weight() const noexcept { return weight_; }

  /// Merges with the adapter's scale(), enabled or not.
  template <adapter_kind Kind, detail::executor_argument Executor = serial_executor>
  void merge(const basic_adapter<Kind, compute>& adapter, Executor&& pool = Executor{}) {
    check_adapter(adapter);
    detail::check_region_free<entry>(name, entries_, nullptr, Kind, adapter.target());
    entry added = make_entry(Kind, adapter.target());
    entries_.reserve(entries_.size() + 1);
    const detail::region_layout layout = layout_of(added);
    const arguments args = arguments_for(added, adapter);
    const kernels& kernel = kernels_for(layout.form);
    faults_.clear();  // tells the handler that nothing is to be undone yet
    try {
      find_faults(layout, args, pool, kernel.take);
      throw_first_fault(added);
    } catch (...) {  // a value that isn't finite, or the executor's own failure
      for (index_t task = 0; task < layout.tasks(); ++task) {
        if (was_run(task)) kernel.restore(layout.task(args, task));
      }
      throw;
    }
    entries_.push_back(std::move(added));
  }

  /// Writes the originals back. Errors: merge_error where this region isn't merged.
  template <adapter_kind Kind, detail::executor_argument Executor = serial_executor>
  void unmerge(const basic_adapter<Kind, compute>& adapter, Executor&& pool = Executor{}) {
    check_adapter(adapter);
    const auto merged = detail::require_merged(name, entries_, Kind, adapter.target());
    restore(*merged, pool);
    keep_spare(std::move(*merged));
    entries_.erase(merged);
  }

  /// unmerge(out) and merge(in) in one pass; regions of the two may overlap. Where they are the same,
  /// only the region is written.
  template <adapter_kind KindOut, adapter_kind KindIn, detail::executor_argument Executor = serial_executor>
  void swap(const basic_adapter<KindOut, compute>& out, const basic_adapter<KindIn, compute>& in,
            Executor&& pool = Executor{}) {
    check_adapter(out);
    check_adapter(in);
    const auto merged = detail::require_merged(name, entries_, KindOut, out.target());
    detail::check_region_free<entry>(name, entries_, &*merged, KindIn, in.target());
    if (KindOut == KindIn && out.target() == in.target()) {
      const detail::region_layout layout = layout_of(*merged);
      const arguments args = arguments_for(*merged, in);
      const kernels& kernel = kernels_for(layout.form);
      find_faults(layout, args, pool, kernel.check);
      throw_first_fault(*merged);
      try {
        pool.parallel_for(layout.tasks(), [&](index_t task) { kernel.merge(layout.task(args, task)); });
      } catch (...) {  // the executor's own failure
        merge_again(*merged, out);
        throw;
      }
      return;
    }
    entry added = make_entry(KindIn, in.target());
    const detail::region_layout layout = layout_of(added);
    const arguments args = arguments_for(added, in);
    const kernels& kernel = kernels_for(layout.form);
    pool.parallel_for(layout.tasks(), [&](index_t task) { kernel.save(layout.task(args, task)); });
    copy_shared_originals(*merged, added);
    find_faults(layout, args, pool, kernel.check);
    throw_first_fault(added);
    try {
      if (KindOut == KindIn && layout.form == detail::region_form::columns) {
        // Same lines: while a line is in cache, its old columns go back and its new ones come in.
        const arguments old = arguments_for(*merged, out);
        const detail::region_layout old_layout = layout_of(*merged);
        pool.parallel_for(layout.tasks(), [&](index_t task) {
          kernel.restore(old_layout.task(old, task));
          kernel.merge(layout.task(args, task));
        });
      } else {
        restore(*merged, pool);
        pool.parallel_for(layout.tasks(), [&](index_t task) { kernel.merge(layout.task(args, task)); });
      }
    } catch (...) {  // the executor's own failure
      serial_executor alone;
      restore(added, alone);
      merge_again(*merged, out);
      throw;
    }
    std::swap(*merged, added);
    keep_spare(std::move(added));
  }

  /// Writes a merged adapter's region anew, from its trained half as before(begin, end) leaves it, which is
  /// called once for every range of the flat parameters right before their part of the weight is written.
  ///
  /// Effect      W = originals + round(s·B) on the region. What overflows is written as infinity, and
  ///             unmerge restores it like anything else.
  /// Errors      merge_error where this region isn't merged, before anything is called.
  template <adapter_kind Kind, class Before, detail::executor_argument Executor = serial_executor>
    requires std::is_invocable_v<Before&, index_t, index_t>
  void rewrite(const basic_adapter<Kind, compute>& adapter, Before&& before, Executor&& pool = Executor{}) {
    check_adapter(adapter);
    const auto merged = detail::require_merged(name, entries_, Kind, adapter.target());
    const detail::region_layout layout = layout_of(*merged);
    const arguments args = arguments_for(*merged, adapter);
    const kernels& kernel = kernels_for(layout.form);
    pool.parallel_for(layout.tasks(), [&](index_t number) {
      const arguments task = layout.task(args, number);
      layout.for_each_range(task, before);
      kernel.merge(task);
    });
  }

  /// Everything back to the originals. Cost: as many unmerges.
  template <class Executor = serial_executor>
  void unmerge_all(Executor&& pool = Executor{}) {
    constexpr auto found = detail::misuse_of_rest<Executor>(detail::misuse::merge_call);
#include <sbora/core/misuse.inl>
    if constexpr (found == misuse::none) {
      for (; !entries_.empty(); entries_.pop_back()) {
        restore(entries_.back(), pool);
        keep_spare(std::move(entries_.back()));
      }
    }
  }

  /// Any other arguments don't compile, and these say why.
  template <class... Arguments>
    requires(detail::misuse_of_merge<compute, Arguments...> != detail::misuse::none)
  void merge(Arguments&&...) {
    constexpr auto found = detail::misuse_of_merge<compute, Arguments...>;
#include <sbora/core/misuse.inl>
  }
  template <class... Arguments>
    requires(detail::misuse_of_merge<compute, Arguments...> != detail::misuse::none)
  void unmerge(Arguments&&...) {
    constexpr auto found = detail::misuse_of_merge<compute, Arguments...>;
#include <sbora/core/misuse.inl>
  }
  template <class... Arguments>
    requires(detail::misuse_of_swap<compute, Arguments...> != detail::misuse::none)
  void swap(Arguments&&...) {
    constexpr auto found = detail::misuse_of_swap<compute, Arguments...>;
#include <sbora/core/misuse.inl>
  }
  template <class... Arguments>
    requires(detail::misuse_of_rewrite<compute, Arguments...> != detail::misuse::none)
  void rewrite(Arguments&&...) {
    constexpr auto found = detail::misuse_of_rewrite<compute, Arguments...>;
#include <sbora/core/misuse.inl>
  }

  template <adapter_kind Kind, class T>
  bool is_merged(const basic_adapter<Kind, T>& adapter) const {
    return std::any_of(entries_.begin(), entries_.end(), [&](const entry& e) { return e.is(Kind, adapter.target()); });
  }

  index_t merged_count() const noexcept { return static_cast<index_t>(entries_.size()); }

 private:
  static constexpr const char* name = "sbora::merger";

  struct entry {
    adapter_kind kind;
    region target;
    detail::aligned_array<storage_scalar> originals;
    index_t capacity;

    const region& where() const { return target; }
    bool is(adapter_kind other_kind, const region& other) const { return kind == other_kind && target == other; }
  };

  template <adapter_kind Kind>
  void check_adapter(const basic_adapter<Kind, compute>& adapter) const {
    detail::check_merge_shape(name, adapter, weight_.d_out(), weight_.d_in());
  }

  detail::region_layout layout_of(const entry& e) const { return {geometry_of(e.kind, e.target), weight_.order()}; }
  detail::region_geometry geometry_of(adapter_kind kind, const region& target) const {
    return {kind, weight_.d_out(), weight_.d_in(), target.rank()};
  }

  entry make_entry(adapter_kind kind, const region& target) {
    const index_t size = target.rank() * geometry_of(kind, target).lines;
    const auto spare =
        std::find_if(spares_.begin(), spares_.end(), [size](const entry& e) { return e.capacity >= size; });
    if (spare == spares_.end()) {
      if (!spares_.empty()) spares_.pop_back();               // all are too small; don't let them pile up
      spares_.reserve(entries_.size() + spares_.size() + 1);  // for keep_spare
      return {kind, target, detail::make_aligned_array<storage_scalar>(size), size};
    }
    spare->kind = kind;
    spare->target = target;
    entry made = std::move(*spare);
    spares_.erase(spare);
    return made;
  }

  void keep_spare(entry&& e) noexcept { spares_.push_back(std::move(e)); }

  template <adapter_kind Kind>
  arguments arguments_for(const entry& e, const basic_adapter<Kind, compute>& adapter) const {
    const weight_delta<compute> delta = adapter.delta();
    const detail::region_geometry geometry = delta.geometry();
    return {.weight = weight_.storage_data(),
            .stride = weight_.stride(),
            .index = e.target.indices().data(),
            .rank = geometry.rank,
            .lines = geometry.lines,
            .originals = e.originals.get(),
            .trained = delta.parameters,
            .trained_line_stride = geometry.line_stride(),
            .trained_index_stride = geometry.index_stride(),
            .scale = delta.scale};
  }

  /// Writes what was merged before a failed swap.
  template <adapter_kind Kind>
  void merge_again(const entry& e, const basic_adapter<Kind, compute>& adapter) {
    const detail::region_layout layout = layout_of(e);
    const arguments args = arguments_for(e, adapter);
    for (index_t task = 0; task < layout.tasks(); ++task) kernels_for(layout.form).merge(layout.task(args, task));
  }

  static const kernels& kernels_for(detail::region_form form) {
    const auto& table = detail::get_kernels<detail::merge_kernels<storage_scalar>>();
    return form == detail::region_form::columns ? table.columns : table.rows;
  }

  /// Runs `check` over all tasks and keeps what each found.
  template <class Executor, class Check>
  void find_faults(const detail::region_layout& layout, const arguments& args, Executor& pool, Check&& check) {
    faults_.assign(static_cast<std::size_t>(layout.tasks()), not_run);
    pool.parallel_for(layout.tasks(),
                      [&](index_t task) { faults_[static_cast<std::size_t>(task)] = check(layout.task(args, task)); });
  }

  bool was_run(index_t task) const {
    const auto at = static_cast<std::size_t>(task);
    return at < faults_.size() && faults_[at].line != not_run.line;
  }

  /// By task order, so the same one for any executor.
  void throw_first_fault(const entry& e) const {
    for (const detail::region_fault& fault : faults_) {
      if (fault.line < 0) continue;
      const index_t index = e.target.indices()[static_cast<std::size_t>(fault.position)];
      const detail::region_geometry geometry = geometry_of(e.kind, e.target);
      detail::throw_merge_not_finite(name, geometry.weight_row(fault.line, index),
                                     geometry.weight_col(fault.line, index));
    }
  }

  template <class Executor>
  void restore(const entry& e, Executor& pool) {
    const detail::region_layout layout = layout_of(e);
    const kernels& kernel = kernels_for(layout.form);
    const arguments args = {weight_.storage_data(),
                            weight_.stride(),
                            e.target.indices().data(),
                            e.target.rank(),
                            layout.lines,
                            e.originals.get(),
                            nullptr,
                            0,
                            0,
                            compute{0},
                            0,
                            0,
                            0,
                            0};
    pool.parallel_for(layout.tasks(), [&](index_t task) { kernel.restore(layout.task(args, task)); });
  }

  /// Where `from` is merged over elements of `to`, the weight doesn't hold their originals; `from` does.
  void copy_shared_originals(const entry& from, entry& to) const {
    const detail::region_layout a = layout_of(from);
    const detail::region_layout b = layout_of(to);
    const auto from_indices = from.target.indices();
    const auto to_indices = to.target.indices();
    for (index_t i = 0; i < a.rank; ++i) {
      for (index_t j = 0; j < b.rank; ++j) {
        const index_t index_a = from_indices[static_cast<std::size_t>(i)];
        const index_t index_b = to_indices[static_cast<std::size_t>(j)];
        if (from.kind != to.kind) {  // one element: a's line is b's index, and the other way round
          to.originals[static_cast<std::size_t>(b.original(index_a, j))] =
              from.originals[static_cast<std::size_t>(a.original(index_b, i))];
        } else if (index_a == index_b) {
          for (index_t line = 0; line < a.lines; ++line) {
            to.originals[static_cast<std::size_t>(b.original(line, j))] =
                from.originals[static_cast<std::size_t>(a.original(line, i))];
          }
        }
      }
    }
  }

  static constexpr detail::region_fault not_run = {-2, -2};

  weight_view<Scalar> weight_;
  std::vector<entry> entries_;
  std::vector<entry> spares_;
  std::vector<detail::region_fault> faults_;
};

template <class Scalar>
merger(weight_view<Scalar>) -> merger<Scalar>;

/// Of a matrix instead of a view of it, or of codes: doesn't compile, and this says why.
template <class Weight>
  requires detail::cannot_be_merged_into<Weight>
class merger<Weight> {
  static_assert(sizeof(Weight) == 0,
                "sbora::merger: the weight is a view: sbora::merger{sbora::weight_view{w}}; codes can't hold a sum: "
                "sbora::overlay merges beside them, sbora::merge_requantized into 4-bit ones");

 public:
  template <class... Arguments>
  explicit merger(Arguments&&...);
  template <class... Arguments>
  void merge(Arguments&&...);
  template <class... Arguments>
  void unmerge(Arguments&&...);
};
template <class Weight>
  requires detail::cannot_be_merged_into<Weight>
merger(Weight&&) -> merger<std::remove_cvref_t<Weight>>;

/// Merges in its constructor and unmerges in its destructor, if still merged, on the calling thread.
///
/// Lifetime    merger and adapter have to outlive it and stay where they are.
/// Errors      of merger::merge.
template <class Scalar, class Adapter>
class [[nodiscard]] scoped_merge {
 public:
  scoped_merge(merger<Scalar>& into, const Adapter& adapter) : merger_(&into), adapter_(&adapter) {
    into.merge(adapter);
  }
  scoped_merge(merger<Scalar>& into, const Adapter&& adapter) = delete;  // a temporary: it has to outlive the guard
  scoped_merge(const scoped_merge&) = delete;
  scoped_merge& operator=(const scoped_merge&) = delete;
  ~scoped_merge() {
    if (merger_->is_merged(*adapter_)) merger_->unmerge(*adapter_);
  }

 private:
  merger<Scalar>* merger_;
  const Adapter* adapter_;
};

template <class Scalar, class Adapter>
scoped_merge(merger<Scalar>&, const Adapter&) -> scoped_merge<Scalar, Adapter>;

}  // namespace sbora::inline SBORA_ABI
