#pragma once

#include <array>
#include <span>

#include <sbora/core/misuse.hpp>
#include <sbora/layers/shapes.hpp>
#include <sbora/layers/trainable_tokens.hpp>
#include <sbora/simd/opaque.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI::detail {

SBORA_COLD inline std::string wrong_token_id(index_t at, const std::string& id, index_t vocabulary) {
  return message({"token id ", id, " at position ", at, " is outside [0, ", vocabulary, ")"});
}

/// Ids that are rows of the table, before anything is written.
template <class Id>
void check_token_ids(std::span<const Id> ids, index_t vocabulary) {
  for (std::size_t t = 0; t < ids.size(); ++t) {
    SBORA_ASSERT(std::in_range<index_t>(ids[t]) && ids[t] >= 0 && static_cast<index_t>(ids[t]) < vocabulary,
                 wrong_token_id(static_cast<index_t>(t), std::to_string(ids[t]), vocabulary).c_str());
  }
}

/// y += row `id` of ΔW, element by element as a merge adds it.
inline void add_row_of_delta(const weight_delta<float>& a, index_t id, float* y) {
  const region_geometry g = a.geometry();
  if (!g.is_of_input(true)) {
    const index_t position = a.target->position_of(id);
    if (position < 0) return;
    const float* const half = a.parameters + position * g.index_stride();
    for (index_t k = 0; k < g.lines; ++k) y[k] += opaque(a.scale * half[k * g.line_stride()]);
    return;
  }
  const std::span<const index_t> indices = a.target->indices();
  const float* const half = a.parameters + id * g.line_stride();
  for (index_t j = 0; j < g.rank; ++j) {
    y[indices[static_cast<std::size_t>(j)]] += opaque(a.scale * half[j * g.index_stride()]);
  }
}

/// Features of a task of a backward, and rank of one.
inline constexpr index_t embedding_task = 64;

/// gradient += s·(what dy is to the rows of ΔW), tokens in their order: the same for any executor, since each task has
/// elements of its own.
template <class Id>
void add_embedding_gradient(const weight_delta<float>& a, std::span<const Id> ids, activation_view<const float> dy,
                            any_executor pool) {
  const region_geometry g = a.geometry();
  const bool of_rows = !g.is_of_input(true);
  const std::span<const index_t> indices = a.target->indices();
  for_ranges(of_rows ? g.lines : g.rank, embedding_task, pool, [&](index_t begin, index_t end) {
    for (index_t t = 0; t < dy.tokens; ++t) {
      const auto id = static_cast<index_t>(ids[static_cast<std::size_t>(t)]);
      const float* const from = dy.data + t * dy.stride;
      if (of_rows) {
        const index_t position = a.target->position_of(id);
        if (position < 0) continue;
        float* const to = a.gradient + position * g.index_stride();
        for (index_t k = begin; k < end; ++k) to[k * g.line_stride()] += opaque(a.scale * from[k]);
      } else {
        float* const to = a.gradient + id * g.line_stride();
        for (index_t j = begin; j < end; ++j) {
          to[j * g.index_stride()] += opaque(a.scale * from[indices[static_cast<std::size_t>(j)]]);
        }
      }
    }
  });
}

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// A frozen embedding table, y[t] = W[ids[t]], with adapters on it where they are passed. W is vocabulary × features,
/// as is the weight of the head that it may be tied to: one adapter, of d_out = vocabulary and d_in = features, serves
/// both.
///
/// Effect      FB trains rows: `rank` tokens, new or changed. FA trains columns: `rank` features of all tokens.
///             trainable_tokens are rows, too, but put in the table's place instead of added to it; backward takes them
///             as an adapter.
/// Shapes      ids: one integer a token; y, dy: tokens × features.
/// Requires    ids in [0, vocabulary), shapes that fit: SBORA_ASSERT, always, before anything is written. A weight that
///             can be read row by row as floats: at compile time. Adapters without dropout: SBORA_ASSERT.
/// Aliasing    y must not overlap the table.
/// Lifetime    keeps the view of the table.
/// Cost        forward: reads and writes the tokens' rows; backward: the rows of dy that a region has (FB), or rank of
///             each (FA). No allocation and no workspace. Of a table in_by_out, elements are read one by one.
/// Numerics    a row is W + round(s·b₁) + … in float, summed in the adapters' order: over a float table the bits of one
///             that they are merged into. Gradients are added to in the tokens' order: equal bits for any executor.
/// Thread      const; one adapter takes one backward at a time.
/// Source      torch.nn.Embedding.
template <float_weight Weight>
class embedding {
 public:
  using delta_type = weight_delta<float>;

  explicit embedding(Weight table) : table_(table) {}

  index_t vocabulary() const noexcept { return table_.d_out(); }
  index_t features() const noexcept { return table_.d_in(); }
  Weight weight() const noexcept { return table_; }

  /// y[t] = (W + ΔW₁ + ΔW₂ + …)[ids[t]].
  template <class Ids, class Y, detail::executor_argument Executor = serial_executor>
  void forward(const Ids& ids, Y&& y, std::span<const delta_type> deltas = {}, Executor&& pool = Executor{}) const {
    gather(std::span(ids), detail::as_activation<float>(y), deltas, pool);
  }
  /// The same with one adapter.
  template <class Ids, class Y, class Adapter, detail::executor_argument Executor = serial_executor>
    requires requires(const Adapter& a) { a.delta(); }
  void forward(const Ids& ids, Y&& y, const Adapter& adapter, Executor&& pool = Executor{}) const {
    const delta_type delta = adapter.delta();
    gather(std::span(ids), detail::as_activation<float>(y), {&delta, 1}, pool);
  }
  /// The same with rows that are replaced: y[t] = the row of a trained token, or W[ids[t]].
  template <class Ids, class Y, detail::executor_argument Executor = serial_executor>
  void forward(const Ids& ids, Y&& y, const trainable_tokens& tokens, Executor&& pool = Executor{}) const {
    const delta_type rows = tokens.delta();
    gather(std::span(ids), detail::as_activation<float>(y), {&rows, 1}, pool, true);
  }

  /// gradient += the adapter's gradient: FB row j's is s·Σ dy[t] over the tokens t of vocabulary row target()[j]; FA's
  /// of column j and vocabulary row v is s·Σ dy[t, target()[j]] over the tokens t of v.
  template <class Ids, class Dy, class Adapter, detail::executor_argument Executor = serial_executor>
  void backward(const Ids& ids, Dy&& dy, Adapter& adapter, Executor&& pool = Executor{}) const {
    const std::span tokens(ids);
    const auto in = detail::as_activation<const float>(dy);
    const delta_type a = adapter.delta();
    check(tokens, {"dy", in}, {&a, 1});
    if (!a.enabled) return;
    SBORA_ASSERT(a.gradient != nullptr, "the adapter has no gradient: it was made for inference");
    detail::add_embedding_gradient(a, std::span<const typename decltype(tokens)::value_type>(tokens), in, pool);
  }

 private:
  static constexpr index_t task_tokens = 16;

  template <class Span>
  void check(Span ids, const detail::named_extent& a, std::span<const delta_type> deltas) const {
    using id = typename Span::value_type;
    static_assert(detail::integer<id>, "sbora::embedding: token ids are integers");
    detail::check_features(a, "the table's features", features());
    SBORA_ASSERT(
        a.tokens == static_cast<index_t>(ids.size()),
        detail::wrong_saved("another number of token ids", static_cast<index_t>(ids.size()), a.tokens).c_str());
    detail::check_token_ids(std::span<const id>(ids), vocabulary());
    for (const delta_type& delta : deltas) {
      if (!delta.enabled) continue;
      detail::check_delta(delta, vocabulary(), features());
      SBORA_ASSERT(delta.dropout == 0, "an embedding's adapter has no dropout");
    }
  }

  template <class Span>
  void gather(Span ids, activation_view<float> y, std::span<const delta_type> deltas, any_executor pool,
              bool replaced = false) const {
    check(ids, {"y", y}, deltas);
    detail::check_result({"y", y});
    const detail::row_reader<Weight> reader(table_);
    detail::for_ranges(y.tokens, task_tokens, pool, [&](index_t begin, index_t end) {
      std::array<index_t, task_tokens> task;
      const std::span rows(task.data(), static_cast<std::size_t>(end - begin));
      for (std::size_t t = 0; t < rows.size(); ++t) {
        rows[t] = static_cast<index_t>(ids[static_cast<std::size_t>(begin) + t]);
      }
      reader.read_rows(rows, y.data + begin * y.stride, y.stride);
      for (index_t t = begin; t < end; ++t) {
        const index_t id = task[static_cast<std::size_t>(t - begin)];
        float* const row = y.data + t * y.stride;
        if (const index_t place = replaced ? deltas[0].target->position_of(id) : -1; place >= 0) {
          std::copy_n(deltas[0].parameters + place * features(), features(), row);
          continue;
        }
        for (const delta_type& delta : deltas) {
          if (delta.enabled) detail::add_row_of_delta(delta, id, row);
        }
      }
    });
  }

  Weight table_;
};

template <class Weight>
embedding(Weight) -> embedding<Weight>;

}  // namespace sbora::inline SBORA_ABI
