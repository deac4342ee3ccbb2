// Included once per level, inside its namespace, after product.inl. No include guard, no includes.
//
// Products of up to few_tokens tokens with a right operand whose depth runs along its lines. Transposing it into
// panels takes as long as the multiplications of 64 tokens, so the roles change: tokens are the vectors, packed
// once, and the lines' elements are broadcast, where they need it from a copy in the L1 cache, in which they become
// floats and updates are added. One element's sum runs over k in ascending order without a cut. (Zen 5, 4096 x 4096, of
// the multiply-add peak: 0.67 for 16 tokens and 0.91 for 64; 0.42 and 0.75 with panels. Copying between the
// multiplications instead of before them loses 0.06 and 0.02.)

/// Elements of a line copied at a time, and of the copy's lines: rows a power of two apart would share cache sets.
/// (256: 0.49 for 16 tokens.)
inline constexpr index_t few_depth = 512, few_stride = few_depth + 16;

/// Lines multiplied at once, and the prefetch distance for lines that are read in place. Eight: twelve lines a power of
/// two apart fill every way of their set in the L1 cache. (Zen 5, 16 tokens: 175 GFLOP/s; 141 with
/// twelve and the next piece of all of them fetched.)
inline constexpr int few_lines_at_once = tile_rows < 8 ? tile_rows : 8;
inline constexpr index_t few_ahead_bytes = 1024;

/// The tokens of one block of tile_columns, k by k: packed[depth·block·tile_columns + k·width + token]; a last block of
/// no more tokens than lanes is as wide as those. strip_begin and strip_end are blocks.
template <class T, class Source>
void pack_few(const pack_args<T, Source>& a) noexcept {
  constexpr index_t columns = tile_columns<T>;
  for (index_t block = a.strip_begin; block < a.strip_end; ++block) {
    const index_t left = a.rows - block * columns;
    const reader<dense_source<Source>, T> from({a.source, a.row_stride}, block * columns, 0);
    pack_lines(from, left, a.depth, a.packed + a.depth * block * columns,
               left <= vec<T>::lanes ? index_t{vec<T>::lanes} : columns);
  }
}

/// Elements [k, k + depth) of `count` lines from `line` on with the updates: rows[i·few_stride].
template <class Storage, class T>
SBORA_FORCE_INLINE void copy_lines(const product_args<Storage, T>& a, index_t line, index_t count, index_t k,
                                   index_t depth, T* SBORA_RESTRICT rows) noexcept {
  const reader<source_of<Storage>, T> from(a.rhs, line, k);
  from.decode(0, 0, count, depth, rows, few_stride);
  for (index_t j = count * few_stride; j < few_lines_at_once * few_stride; ++j) rows[j] = T{0};
  for (index_t u = 0; u < a.update_count; ++u) {
    const panel_update<T>& update = a.updates[u];
    if (update.rounded) update_lines<rounding_of<Storage>>(update, line, count, k, depth, rows, few_stride);
    else update_lines<T>(update, line, count, k, depth, rows, few_stride);
  }
}

/// Where the elements of few_lines_at_once lines are read: in the copy, or where they lie.
template <class T>
struct few_lines {
  const T* data;
  index_t stride;
  bool fetched;  ///< some way ahead

  SBORA_FORCE_INLINE void fetch(index_t k) const noexcept {
    if (!fetched) return;
    constexpr auto elements = cache_line_cursor::bytes / static_cast<index_t>(sizeof(T));
    SBORA_UNROLL
    for (int i = 0; i < few_lines_at_once; ++i) {
      SBORA_UNROLL
      for (index_t j = 0; j < slice_steps; j += elements) {
        __builtin_prefetch(reinterpret_cast<const char*>(data + i * stride + k + j) + few_ahead_bytes);
      }
    }
  }
};

template <class T, int Vectors>
using few_sums = array_of<vec<T>, Vectors>[few_lines_at_once];

/// sum[i][n] += rows[i, k]·panel[k, n] for one block of tokens and one k.
template <class T, int Vectors>
SBORA_FORCE_INLINE void sum_few_step(few_lines<T> rows, const T* SBORA_RESTRICT panel, index_t k,
                                     few_sums<T, Vectors>& sum) noexcept {
  using v = vec<T>;
  array_of<v, Vectors> right;
  SBORA_UNROLL
  for (int n = 0; n < Vectors; ++n) right[n] = v::load(panel + (k * Vectors + n) * v::lanes);
  SBORA_UNROLL
  for (int i = 0; i < few_lines_at_once; ++i) {
    const v left = v::set1(rows.data[i * rows.stride + k]);
    SBORA_UNROLL
    for (int n = 0; n < Vectors; ++n) sum[i][n] = multiply_add(left, right[n], sum[i][n]);
  }
}

/// The same for the whole depth.
template <class T, int Vectors>
SBORA_FORCE_INLINE void sum_few(few_lines<T> rows, const T* SBORA_RESTRICT panel, index_t depth,
                                const tile_fetch& fetch, few_sums<T, Vectors>& sum) noexcept {
  index_t k = 0;
  for (; k + slice_steps <= depth; k += slice_steps) {
    rows.fetch(k);
    fetch.next.fetch(fetch.lines);
    SBORA_UNROLL_4
    for (index_t step = 0; step < slice_steps; ++step) sum_few_step<T, Vectors>(rows, panel, k + step, sum);
  }
  for (; k < depth; ++k) sum_few_step<T, Vectors>(rows, panel, k, sum);
}

/// The same from and to `sums`, lines of tile_columns values for each row of the right operand.
template <class T, int Vectors>
SBORA_NO_INLINE void multiply_few(few_lines<T> rows, const T* panel, index_t depth, const tile_fetch& fetch,
                                  T* sums) noexcept {
  using v = vec<T>;
  few_sums<T, Vectors> sum;
  SBORA_UNROLL
  for (int i = 0; i < few_lines_at_once; ++i) {
    SBORA_UNROLL
    for (int n = 0; n < Vectors; ++n) sum[i][n] = v::load(sums + i * tile_columns<T> + n * v::lanes);
  }
  sum_few<T, Vectors>(rows, panel, depth, fetch, sum);
  SBORA_UNROLL
  for (int i = 0; i < few_lines_at_once; ++i) {
    SBORA_UNROLL
    for (int n = 0; n < Vectors; ++n) v::store(sums + i * tile_columns<T> + n * v::lanes, sum[i][n]);
  }
}

/// Sums of one block of tokens, as multiply_few leaves them, to its part of out.
template <class T>
SBORA_NO_INLINE void store_few(tile_result<T> r, const T* sums) noexcept {
  using v = vec<T>;
  alignas(64) array_of<T, tile_columns<T> * v::lanes> rows;
  const index_t tokens = r.rows < tile_columns<T> ? r.rows : tile_columns<T>, columns = r.columns;
  for (index_t c = 0; c < columns; c += v::lanes) {
    pack_transposed(sums + c * tile_columns<T>, tile_columns<T>, v::lanes, tokens, rows, v::lanes);
    r.columns = columns - c < v::lanes ? columns - c : index_t{v::lanes};
    store_sums<T>(r, rows, tokens, v::lanes);
    r.out += v::lanes;
    if (r.bias != nullptr) r.bias += v::lanes;
  }
}

/// Whether `count` lines are read where they lie: all of a tile's, of the computed type, with nothing to be added.
/// (Zen 5, 16 tokens: 1.05 times; copies keep lines a power of two apart from sharing cache sets, but take as long.)
template <class Storage, class T>
SBORA_FORCE_INLINE bool in_place(const product_args<Storage, T>& a, index_t count) noexcept {
  return std::is_same_v<Storage, T> && a.update_count == 0 && count == few_lines_at_once;
}

/// Size of the packed tokens up to which lines are gone through as a whole, as hardware prefetchers foresee; larger
/// ones would come from beyond the L2 cache for every tile, so all lines share a piece of them first. (Zen 5, 16
/// tokens: 1.05 times.)
inline constexpr index_t few_packed_bytes = 512 * 1024;

/// As product, of rows <= few_tokens packed by pack_few and at most few_columns columns of depth along lines.
template <class Storage, class T>
void product_few(const product_args<Storage, T>& a) noexcept {
  using source_reader = reader<source_of<Storage>, T>;
  constexpr index_t columns = tile_columns<T>;
  constexpr index_t most_blocks = (few_tokens + columns - 1) / columns;
  constexpr index_t rounded_columns =
      few_columns + few_lines_at_once + vec<T>::lanes;  // past the end, but not past this
  alignas(64) array_of<array_of<T, rounded_columns * columns>, most_blocks> sums;
  alignas(64) T copied[few_lines_at_once * few_stride];
  const index_t blocks = ceil_div(a.rows, columns);
  for (index_t block = 0; block < blocks; ++block) {
    for (T& value : sums[block]) value = T{0};
  }
  const index_t pieces = a.depth > 0 ? ceil_div(a.depth, few_depth) : 1;  // of a line
  const index_t tiles = ceil_div(a.column_end - a.column_begin, index_t{few_lines_at_once});
  const bool whole_lines = blocks * columns * a.depth * static_cast<index_t>(sizeof(T)) <= few_packed_bytes;
  index_t k = 0, c = a.column_begin;
  for (index_t step = 1; step <= pieces * tiles; ++step) {
    const index_t depth = a.depth - k < few_depth ? a.depth - k : few_depth;
    const index_t count = a.column_end - c < few_lines_at_once ? a.column_end - c : index_t{few_lines_at_once};
    few_lines<T> rows = {copied, few_stride, false};
    if (!in_place<Storage, T>(a, count)) copy_lines(a, c, count, k, depth, copied);
    else if constexpr (std::is_same_v<Storage, T>)
      rows = {a.rhs.data + c * a.rhs.stride + k, a.rhs.stride, whole_lines};
    const bool more = step < pieces * tiles;
    const index_t next_k = more ? (whole_lines ? step % pieces : step / tiles) * few_depth : 0;
    const index_t next_c =
        more ? a.column_begin + (whole_lines ? step / pieces : step % tiles) * few_lines_at_once : a.column_end;
    coming_cache_lines next(
        source_reader(a.rhs, next_c, next_k)
            .memory(a.column_end - next_c < few_lines_at_once ? a.column_end - next_c : index_t{few_lines_at_once},
                    a.depth - next_k < few_depth ? a.depth - next_k : few_depth));
    const tile_fetch fetch = {next, rows.fetched ? 0 : next.lines() / (blocks * ceil_div(few_depth, slice_steps)) + 1};
    for (index_t block = 0; block < blocks; ++block) {
      const T* const panel = a.packed + a.depth * block * columns;
      T* const sum = sums[block] + (c - a.column_begin) * columns;
      if (a.rows - block * columns <= vec<T>::lanes) {
        multiply_few<T, 1>(rows, panel + k * vec<T>::lanes, depth, fetch, sum);
      } else {
        multiply_few<T, tile_vectors>(rows, panel + k * columns, depth, fetch, sum);
      }
      rows.fetched = false;  // now they are near
    }
    k = next_k;
    c = next_c;
  }
  for (index_t block = 0; block < blocks; ++block) {
    const index_t token = block * columns;
    store_few<T>(
        {a.out + token * a.out_stride + a.column_begin, a.out_stride, a.rows - token, a.column_end - a.column_begin,
         a.alpha, a.bias != nullptr ? a.bias + a.column_begin : nullptr, a.accumulate},
        sums[block]);
  }
}
