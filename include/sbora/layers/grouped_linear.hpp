#pragma once

#include <string>
#include <vector>

#include <sbora/layers/base_product.hpp>
#include <sbora/layers/call_arguments.hpp>
#include <sbora/layers/collected_tokens.hpp>
#include <sbora/layers/expert_tokens.hpp>
#include <sbora/layers/group_tasks.hpp>
#include <sbora/layers/shapes.hpp>
#include <sbora/layers/training_step.hpp>

namespace sbora::inline SBORA_ABI {

/// The weights of a stack of equal ones, in place: of a weight that has all their rows one after the other (three
/// dimensions expert × d_out × d_in as (experts·d_out) × d_in), or where it lies in_by_out their columns (expert × d_in
/// × d_out). Errors: shape_error, and those of rows_of for codes.
template <class Weight>
std::vector<Weight> experts_of(const Weight& stack, index_t experts) {
  const bool by_rows = stack.order() == storage::out_by_in;
  const index_t size = by_rows ? stack.d_out() : stack.d_in();
  if (experts < 1 || size % experts != 0) {
    throw shape_error(detail::message({"sbora::experts_of: ", experts, " equal weights in one of ",
                                       detail::shape_text(stack.d_out(), stack.d_in()), ", whose ",
                                       (by_rows ? "rows" : "columns"), " aren't a multiple"}));
  }
  const index_t each = size / experts;
  std::vector<Weight> weights;
  weights.reserve(static_cast<std::size_t>(experts));
  for (index_t e = 0; e < experts; ++e) {
    const index_range range = {e * each, (e + 1) * each};
    weights.push_back(by_rows ? rows_of(stack, range) : columns_of(stack, range));
  }
  return weights;
}

/// Frozen linear layers of equal shape, the experts of a mixture, in one call: y[p] = x[token of p]·W_eᵀ for the places
/// p of each expert e, with an adapter on some or all experts.
///
/// Shapes      x: groups.tokens × d_in, y: groups.places() × d_out, in the groups' order. Each of x, y, dy, dx may be
///             bfloat16 over weights that compute in float. deltas: one for each expert, enabled = false where it has
///             none; or an empty list.
/// Requires    these shapes; offsets that ascend from 0, one more than experts; rows in [0, tokens): SBORA_ASSERT, in
///             every build, before anything is written.
/// Aliasing    results must not overlap inputs, weights or the workspace. y and dx are overwritten, gradients are added
///             to.
/// Lifetime    keeps the views of the weights.
/// Cost        2·places·d_in·d_out flops a product: experts without tokens cost nothing. Tokens are read where they lie
///             by products that pack them; few tokens of an expert, and what dropout or FB's gradient need of them, are
///             copied. No allocation after warm-up.
/// Numerics    each expert's results have the bits of a linear over its weight on its tokens; equal for any executor.
/// Thread      as linear. Small groups go to a thread each, large ones are shared by all; so a training step's experts
///             have an adapter of their own each.
/// Errors      shape_error at construction; workspace_error before anything is written.
/// Source      grouped products: MegaBlocks, arXiv 2211.15841; torch._grouped_mm.
template <class Weight>
class grouped_linear {
  static_assert(frozen_weight<Weight>,
                "sbora::grouped_linear: its weights are views, as experts_of gives them; of an any_weight, include "
                "sbora/layers/any_grouped_linear.hpp");
  using product_type = detail::base_product<Weight>;

 public:
  using scalar = typename Weight::compute_scalar;
  using delta_type = weight_delta<scalar>;

  /// Of weights that are a stack's (experts_of) or lie apart. Errors: shape_error.
  explicit grouped_linear(const std::vector<Weight>& weights) {
    if (weights.empty()) throw shape_error("sbora::grouped_linear: no weights");
    for (const Weight& weight : weights) {
      if (weight.d_out() != weights.front().d_out() || weight.d_in() != weights.front().d_in()) {
        throw shape_error(detail::message({"sbora::grouped_linear: weight ", experts_.size(), " is ",
                                           detail::shape_text(weight.d_out(), weight.d_in()), ", the first is ",
                                           detail::shape_text(weights.front().d_out(), weights.front().d_in())}));
      }
      experts_.push_back({.weight = weight});
    }
  }

  index_t experts() const noexcept { return std::ssize(experts_); }
  index_t d_out() const noexcept { return experts_.front().weight.d_out(); }
  index_t d_in() const noexcept { return experts_.front().weight.d_in(); }
  Weight weight(index_t expert) const { return experts_.at(static_cast<std::size_t>(expert)).weight; }

  /// What an overlay merges beside an expert's weight: as linear::set_overlay. Errors: shape_error.
  void set_overlay(index_t expert, const delta_list<scalar>* list) {
    if (expert < 0 || expert >= experts()) {
      throw shape_error(detail::message({"sbora::grouped_linear: no expert ", expert, ", there are ", experts()}));
    }
    if (list != nullptr) {
      for (const delta_type& delta : *list) detail::check_overlay("sbora::grouped_linear", delta, d_out(), d_in());
    }
    experts_[static_cast<std::size_t>(expert)].merged_beside = list;
  }
  void set_delta_path(delta_path path) noexcept {
    for (product_type& expert : experts_) expert.path = path;
  }
  /// As linear's: a token's results then don't depend on which others its expert has.
  void set_batch_invariant(bool invariant) noexcept {
    for (product_type& expert : experts_) expert.batch_invariant = invariant;
  }

  /// What y is computed in. Of weights that aren't codes of 4 bits or int8, always in full.
  void set_compute(compute computed_in) noexcept {
    for (product_type& expert : experts_) expert.computed_in = computed_in;
  }

  /// Eval mode.
  template <class X, class Y, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::forward, scalar, X, Y, workspace&, Executor>
  void forward(X&& x, Y&& y, const expert_groups& groups, std::span<const delta_type> deltas, workspace& memory,
               Executor&& pool = Executor{}) const {
    run_forward(detail::as_stored_activation<const scalar>(x), detail::as_stored_activation<scalar>(y), groups, deltas,
                nullptr, memory, pool);
  }

  /// Training mode: with the adapters' dropout of `step`, whose masks count an expert's tokens from 0.
  template <class X, class Y, class Executor = serial_executor>
    requires detail::fits_call<detail::layer_call::forward, scalar, X, Y, workspace&, Executor>
  void forward(X&& x, Y&& y, const expert_groups& groups, std::span<const delta_type> deltas, training_step step,
               workspace& memory, Executor&& pool = Executor{}) const {
    run_forward(detail::as_stored_activation<const scalar>(x), detail::as_stored_activation<scalar>(y), groups, deltas,
                &step.dropout_step, memory, pool);
  }

  /// dx[t] = Σ dy[p]·(W_e + ΔW_e) over t's places p, in their order; and each adapter's gradient. With sbora::no_dx, the
  /// gradients alone; without gradients (frozen adapters, or an empty list), dx alone, and x isn't read.
  template <class Dy, class X, class Dx, class Executor = serial_executor>
    requires(detail::fits_call<
                 detail::layer_call::backward, scalar, Dy,
                 std::conditional_t<std::is_same_v<std::remove_cvref_t<Dx>, no_dx_t>, activation_view<scalar>, Dx>,
                 workspace&, Executor> &&
             detail::fits_call<detail::layer_call::forward, scalar, X, activation_view<scalar>, workspace&, Executor>)
  void backward(Dy&& dy, X&& x, Dx&& dx, const expert_groups& groups, std::span<const delta_type> deltas,
                training_step step, workspace& memory, Executor&& pool = Executor{}) const {
    const auto out = detail::as_stored_activation<const scalar>(dy);
    const auto in = detail::as_stored_activation<const scalar>(x);
    check(groups, deltas, {"dy", out}, {"x", in});
    if constexpr (std::is_same_v<std::remove_cvref_t<Dx>, no_dx_t>) {
      const activation_view<scalar>* const none = nullptr;
      start(
          [&](detail::workspace_frame f, any_executor p) { all_gradients(out, in, none, groups, deltas, step, f, p); },
          memory, pool);
    } else {
      const auto result = detail::as_stored_activation<scalar>(dx);
      detail::check_shapes({"x", in}, "d_in", d_in(), {"dx", result}, "d_in", d_in());
      start([&](detail::workspace_frame f,
                any_executor p) { all_gradients(out, in, &result, groups, deltas, step, f, p); },
            memory, pool);
    }
  }

 private:
  void check(const expert_groups& groups, std::span<const delta_type> deltas, const detail::named_extent& places,
             const detail::named_extent& tokens) const {
    SBORA_ASSERT(
        groups.experts() == experts(),
        detail::wrong_saved("the groups are of another number of experts", groups.experts(), experts()).c_str());
    SBORA_ASSERT(groups.offsets.front() == 0 && std::is_sorted(groups.offsets.begin(), groups.offsets.end()),
                 "the groups' offsets don't ascend from 0");
    SBORA_ASSERT(groups.in_order() || std::ssize(groups.rows) == groups.places(),
                 detail::wrong_saved("the groups have another number of rows than their offsets say",
                                     std::ssize(groups.rows), groups.places())
                     .c_str());
    SBORA_ASSERT(std::all_of(groups.rows.begin(), groups.rows.end(),
                             [&](index_t row) { return row >= 0 && row < groups.tokens; }),
                 "a row of the groups is no token of theirs");
    detail::check_features(places, "d_out", d_out());
    detail::check_features(tokens, "d_in", d_in());
    SBORA_ASSERT(
        places.tokens == groups.places(),
        detail::wrong_saved(
            detail::message({places.name, " has another number of tokens than the groups have places"}).c_str(),
            places.tokens, groups.places())
            .c_str());
    SBORA_ASSERT(
        tokens.tokens == groups.tokens,
        detail::wrong_saved("x has another number of tokens than the groups are of", tokens.tokens, groups.tokens)
            .c_str());
    SBORA_ASSERT(deltas.empty() || std::ssize(deltas) == experts(),
                 detail::wrong_saved("not one delta for each expert", std::ssize(deltas), experts()).c_str());
    for (const delta_type& delta : deltas) {
      if (delta.enabled) detail::check_delta(delta, d_out(), d_in());
    }
    for (const product_type& expert : experts_) {
      for (const delta_type& delta : expert.overlay()) detail::check_delta(delta, d_out(), d_in());
    }
  }

  template <class Work, class Executor>
  static void start(const Work& work, workspace& memory, Executor& pool) {
    work(detail::workspace_frame(memory, detail::scratch_of(work)), any_executor(pool));
  }

  /// work(expert, its deltas, its places, frame, executor) of those that have tokens.
  template <class Work>
  void for_each_expert(const expert_groups& groups, std::span<const delta_type> deltas, detail::workspace_frame frame,
                       any_executor pool, const Work& work) const {
    const auto places_of = [&](index_t e) {
      const auto at = static_cast<std::size_t>(e);
      return index_range{groups.offsets[at], groups.offsets[at + 1]};
    };
    detail::for_each_group(
        experts(), [&](index_t e) { return places_of(e).size() * d_out() * d_in(); }, frame, pool,
        [&](index_t e, detail::workspace_frame its, any_executor tasks) {
          const auto at = static_cast<std::size_t>(e);
          const bool adapted = !deltas.empty() && deltas[at].enabled;
          work(experts_[at], adapted ? deltas.subspan(at, 1) : std::span<const delta_type>(), places_of(e), its, tasks);
        });
  }

  template <class X, class Y, class Executor>
  void run_forward(activation_view<const X> x, activation_view<Y> y, const expert_groups& groups,
                   std::span<const delta_type> deltas, const std::uint64_t* step, workspace& memory,
                   Executor& pool) const {
    check(groups, deltas, {"y", y}, {"x", x});
    detail::check_result({"y", y});
    start(
        [&](detail::workspace_frame frame, any_executor tasks) {
          for_each_expert(groups, deltas, frame, tasks,
                          [&](const product_type& expert, std::span<const delta_type> its, index_range places,
                              detail::workspace_frame f, any_executor p) {
                            expert_forward(expert, its, x, detail::tokens_of(y, places.begin, places.size()), groups,
                                           places, step, f, p);
                          });
        },
        memory, pool);
  }

  template <class X, class Y>
  static void expert_forward(const product_type& expert, std::span<const delta_type> deltas, activation_view<const X> x,
                             activation_view<Y> y, const expert_groups& groups, index_range places,
                             const std::uint64_t* step, detail::workspace_frame frame, any_executor pool) {
    const bool drops = step != nullptr && !deltas.empty() && deltas[0].dropout > 0;
    const activation_view<const X> whole = {x.data, places.size(), x.features, x.stride};
    if (!groups.rows.empty() && !drops && expert.takes_rows(whole, deltas)) {
      return expert.apply(true, whole, y, deltas, expert.packs_deltas(whole, true), frame, pool,
                          groups.rows.data() + places.begin);
    }
    const activation_view<const X> in = tokens_in(x, groups, places, frame, pool);
    if (!drops) return expert.apply(true, in, y, deltas, expert.packs_deltas(in, true), frame, pool);
    const delta_type a = expert.as_computed(deltas[0]);
    scalar* gathered = nullptr;
    if (a.geometry().is_of_input(true)) {
      gathered = frame.take<scalar>(in.tokens * a.rank());
      detail::keep_input(a, in, *step, gathered, pool);
    }
    expert.training_forward(a, in, *step, static_cast<const scalar*>(gathered), y, frame, pool);
  }

  /// The tokens of these places: where they lie, or a copy.
  template <class X>
  static activation_view<X> tokens_in(activation_view<X> x, const expert_groups& groups, index_range places,
                                      detail::workspace_frame& frame, any_executor pool) {
    if (groups.rows.empty()) return detail::tokens_of(x, places.begin, places.size());
    return detail::collected(
        x, groups.rows.subspan(static_cast<std::size_t>(places.begin), static_cast<std::size_t>(places.size())), frame,
        pool);
  }

  template <class Y, class X, class Dx>
  void all_gradients(activation_view<const Y> dy, activation_view<const X> x, const activation_view<Dx>* dx,
                     const expert_groups& groups, std::span<const delta_type> deltas, training_step step,
                     detail::workspace_frame frame, any_executor pool) const {
    // Of places: dx itself where those are its tokens.
    const bool sorted = groups.in_order();
    activation_view<scalar> of_places(nullptr, groups.places(), d_in());
    if (dx != nullptr && !sorted) of_places.data = frame.take<scalar>(groups.places() * d_in());
    for_each_expert(groups, deltas, frame, pool,
                    [&](const product_type& expert, std::span<const delta_type> its, index_range places,
                        detail::workspace_frame f, any_executor p) {
                      const auto from = detail::tokens_of(dy, places.begin, places.size());
                      if (!its.empty() && its[0].gradient != nullptr) {
                        detail::workspace_frame rest = f;
                        const auto in = tokens_in(x, groups, places, rest, p);
                        detail::add_gradient_again(its[0], from, in, step.dropout_step, rest, p);
                      }
                      if (dx == nullptr) return;
                      const auto put = [&](auto to) {
                        if (its.empty())
                          return expert.apply(false, from, to, its, expert.packs_deltas(from, false), f, p);
                        expert.input_gradient(expert.as_computed(its[0]), from, step.dropout_step, to, f, p);
                      };
                      if (sorted) put(detail::tokens_of(*dx, places.begin, places.size()));
                      else put(detail::tokens_of(of_places, places.begin, places.size()));
                    });
    if (dx != nullptr && !sorted) sum_places(of_places, groups, *dx, frame, pool);
  }

  /// dx[t] = Σ of_places[p] over t's places, in their order: the same for any executor, since each task has features of
  /// its own.
  template <class Dx>
  static void sum_places(activation_view<scalar> of_places, const expert_groups& groups, activation_view<Dx> dx,
                         detail::workspace_frame frame, any_executor pool) {
    const activation_view<scalar> sum = product_type::sum_of(dx, frame);
    detail::for_ranges(sum.features, summed_features, pool, [&](index_t begin, index_t end) {
      for (index_t t = 0; t < sum.tokens; ++t)
        std::fill(sum.data + t * sum.stride + begin, sum.data + t * sum.stride + end, scalar{0});
      for (index_t place = 0; place < of_places.tokens; ++place) {
        const scalar* const from = of_places.data + place * of_places.stride;
        scalar* const to = sum.data + groups.rows[static_cast<std::size_t>(place)] * sum.stride;
        for (index_t k = begin; k < end; ++k) to[k] += from[k];
      }
    });
    product_type::finish(sum, dx, pool);
  }

  static constexpr index_t summed_features = 512;

  std::vector<product_type> experts_;
};

template <class Weight>
grouped_linear(std::vector<Weight>) -> grouped_linear<Weight>;

}  // namespace sbora::inline SBORA_ABI
