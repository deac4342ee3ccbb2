// Included once per level, inside its namespace. No include guard, no includes.
//
// out = lhs·rhs with the weight as the packed right operand: vector lanes run over output columns, each
// step of k broadcasts tile_rows left elements against tile_vectors vectors of the panel. One element's
// sum runs over k in ascending order, cut at multiples of panel_depth and nowhere else, so it doesn't
// depend on how rows and columns were cut into tasks.

/// panel[k·columns + n] = rhs[k, n], n_valid of the columns real and the rest zero; rhs from where `from` reads on.
template <class Source, class T>
SBORA_NO_INLINE void pack_panel(const reader<Source, T>& from, bool depth_along_lines, index_t depth, index_t n_valid,
                                T* panel) noexcept {
  constexpr index_t columns = tile_columns<T>;
  if (depth_along_lines) {
    pack_lines(from, n_valid, depth, panel, columns);
    return;
  }
  if (n_valid < columns) {
    for (index_t i = 0; i < depth * columns; ++i) panel[i] = T{0};
  }
  from.decode(0, 0, depth, n_valid, panel, columns);
}

/// Where elements of the right operand are read: where it lies, or in a copy that begins with rhs[k0, n0].
template <class Storage, class T>
struct right_place {
  source_of<Storage> source;
  bool depth_along_lines;
  index_t k0 = 0, n0 = 0;

  SBORA_FORCE_INLINE reader<source_of<Storage>, T> at(index_t k, index_t n) const noexcept {
    return depth_along_lines ? reader<source_of<Storage>, T>(source, n - n0, k - k0)
                             : reader<source_of<Storage>, T>(source, k - k0, n - n0);
  }
};

/// Rows [k, k + depth) and a tile's columns from n on of rhs with the updates.
template <class Storage, class T, class Packed>
SBORA_FORCE_INLINE void pack_updated(const product_args<Storage, T, Packed>& a, const right_place<Storage, T>& from,
                                     index_t k, index_t depth, index_t n, index_t n_valid, T* panel) noexcept {
  pack_panel(from.at(k, n), from.depth_along_lines, depth, n_valid, panel);
  for (index_t u = 0; u < a.update_count; ++u) {
    const panel_update<T>& update = a.updates[u];
    if (update.rounded) update_panel<rounding_of<Storage>>(update, k, depth, n, n_valid, panel);
    else update_panel<T>(update, k, depth, n, n_valid, panel);
  }
}

/// Strips come from a distant cache, in runs too short for hardware prefetchers.
template <class Packed>
SBORA_FORCE_INLINE void fetch_strip(const Packed* strip) noexcept {
  if constexpr (strip_fetch_bytes > 0) __builtin_prefetch(reinterpret_cast<const char*>(strip) + strip_fetch_bytes);
}

template <class T, int Rows>
using tile_sums = array_of<vec<T>[tile_vectors], Rows>;

/// Steps of a tile after which it fetches its share of what comes next, which so arrives while multiplications go on.
inline constexpr index_t slice_steps = 16;

/// What a tile fetches: `lines` of next with every slice.
struct tile_fetch {
  coming_cache_lines& next;
  index_t lines;
};

/// sum[i][n] += strip[i]·panel[n] of one k for Rows rows of one tile; moves strip and panel on.
template <class T, int Rows>
SBORA_FORCE_INLINE void sum_step(const T* SBORA_RESTRICT& strip, const T* SBORA_RESTRICT& panel,
                                 tile_sums<T, Rows>& sum) noexcept {
  using v = vec<T>;
  v right[tile_vectors];
  SBORA_UNROLL
  for (int n = 0; n < tile_vectors; ++n) right[n] = v::load(panel + n * v::lanes);
  SBORA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    const v left = v::set1(strip[i]);
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) sum[i][n] = multiply_add(left, right[n], sum[i][n]);
  }
  fetch_strip(strip);
  strip += tile_rows;
  panel += tile_columns<T>;
}

/// The same over the depth. Whole slices are unrolled: counting costs 4 of 24 instructions a step, which a core shared
/// with another thread feels.
template <class T, int Rows>
SBORA_FORCE_INLINE void sum_tile(const T* SBORA_RESTRICT strip, const T* SBORA_RESTRICT panel, index_t depth,
                                 const tile_fetch& fetch, tile_sums<T, Rows>& sum) noexcept {
  index_t k = 0;
  for (; k + slice_steps <= depth; k += slice_steps) {
    fetch.next.fetch(fetch.lines);
    SBORA_UNROLL_4
    for (index_t step = 0; step < slice_steps; ++step) sum_step<T, Rows>(strip, panel, sum);
  }
  for (; k < depth; ++k) sum_step<T, Rows>(strip, panel, sum);
}

/// What a strip against a panel does to its part of out.
template <class T>
struct tile_result {
  T* out;
  index_t stride;
  index_t rows, columns;
  T alpha;
  const T* bias;
  bool accumulate;
};

/// out = before + alpha·sums for at most `rows` rows of sums, `width` from row to row.
template <class T>
SBORA_NO_INLINE void store_sums(const tile_result<T>& r, const T* sums, index_t rows, index_t width) noexcept {
  using v = vec<T>;
  const v scale = v::set1(r.alpha);
  if (rows > r.rows) rows = r.rows;
  for (index_t i = 0; i < rows; ++i, sums += width) {
    T* const row = r.out + i * r.stride;
    index_t n = 0;
    for (; n + v::lanes <= r.columns; n += v::lanes) {
      const v before = r.accumulate ? v::load(row + n) : (r.bias != nullptr ? v::load(r.bias + n) : v::zero());
      v::store(row + n, multiply_add(scale, v::load(sums + n), before));
    }
    if (const index_t here = r.columns - n; here > 0) {
      const v before =
          r.accumulate ? v::load_n(row + n, here) : (r.bias != nullptr ? v::load_n(r.bias + n, here) : v::zero());
      v::store_n(row + n, multiply_add(scale, v::load(sums + n), before), here);
    }
  }
}

template <class T, int Rows>
SBORA_FORCE_INLINE void clear_tile(tile_sums<T, Rows>& sum) noexcept {
  SBORA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) sum[i][n] = vec<T>::zero();
  }
}

template <class T, int Rows>
SBORA_FORCE_INLINE void store_tile(const tile_result<T>& r, const tile_sums<T, Rows>& sum) noexcept {
  alignas(64) array_of<T, Rows * tile_columns<T>> sums;
  SBORA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) {
      vec<T>::store(sums + i * tile_columns<T> + n * vec<T>::lanes, sum[i][n]);
    }
  }
  store_sums<T>(r, sums, Rows, tile_columns<T>);
}

/// A strip of Rows rows against a panel. One for all storages: panels are T.
template <class T>
struct tile_product {
  using product = tile_product;
  static constexpr int rows = tile_rows;
  static constexpr index_t panels = 2;  ///< most that are packed together: a strip comes near once for all of them

  template <int Rows>
  static void multiply(const T* strip, const T* panel, index_t depth, const tile_fetch& fetch,
                       const tile_result<T>& result) noexcept {
    tile_sums<T, Rows> sum;
    clear_tile<T, Rows>(sum);
    sum_tile<T, Rows>(strip, panel, depth, fetch, sum);
    store_tile<T, Rows>(result, sum);
  }
};

/// How a product goes through the depth: k by k. Products of bf16 go by pairs; see pair_panels.inl.
template <class Storage, class T>
struct single_steps : tile_product<T> {
  using packed = T;

  static constexpr index_t block_depth(bool depth_along_lines) noexcept { return panel_depth(depth_along_lines); }
  static constexpr index_t count(index_t depth) noexcept { return depth; }
  static constexpr index_t room = panel_depth(true) * tile_columns<T>;  ///< for panels: 256 KiB at AVX-512

  static SBORA_FORCE_INLINE void fill(const product_args<Storage, T>& a, const right_place<Storage, T>& from, index_t k,
                                      index_t depth, index_t n, index_t n_valid, T* panel) noexcept {
    pack_updated(a, from, k, depth, n, n_valid, panel);
  }
};

/// Strips, and the panels that they are multiplied with for some depth.
template <class Packed, class T>
struct panel_group {
  const Packed* strips;  ///< of that depth
  const Packed* panels;
  index_t strip_size, panel_size, depth;
  index_t strip_begin, strip_end;
  tile_result<T> result;  ///< of all strips and panels
};

/// Every strip against every panel. One for all storages.
template <class Product, class Packed, class T>
SBORA_NO_INLINE void multiply_group(const panel_group<Packed, T>& g, const tile_fetch& fetch) noexcept {
  constexpr index_t columns = tile_columns<T>;
  // Fewer rows where the last strip has no more, for small batches: a third, two thirds.
  constexpr int few_rows = (Product::rows + 2) / 3, most_rows = (2 * Product::rows + 2) / 3;
  for (index_t from = g.strip_begin; from < g.strip_end; from += group_strips) {
    const index_t to = g.strip_end - from < group_strips ? g.strip_end : from + group_strips;
    const auto* panel = g.panels;
    for (index_t n = 0; n < g.result.columns; n += columns, panel += g.panel_size) {
      for (index_t s = from; s < to; ++s) {
        const index_t row = s * Product::rows;
        const auto* strip = g.strips + s * g.strip_size;
        const tile_result<T> result = {g.result.out + row * g.result.stride + n,
                                       g.result.stride,
                                       g.result.rows - row,
                                       g.result.columns - n < columns ? g.result.columns - n : columns,
                                       g.result.alpha,
                                       g.result.bias != nullptr ? g.result.bias + n : nullptr,
                                       g.result.accumulate};
        if constexpr (fetches_results) {
          for (index_t i = 0; i < Product::rows && i < result.rows; ++i) {
            __builtin_prefetch(result.out + i * result.stride, 1);
          }
        }
        if (result.rows > most_rows) Product::template multiply<Product::rows>(strip, panel, g.depth, fetch, result);
        else if (result.rows > few_rows) Product::template multiply<most_rows>(strip, panel, g.depth, fetch, result);
        else Product::template multiply<few_rows>(strip, panel, g.depth, fetch, result);
      }
    }
  }
}

/// Dense storages are copied ahead where their lines cross the depth, if each slice needs at most most_copied cache
/// lines. With few tokens it would be more, and they would arrive too late. (Zen 5, 4096 x 4096, f32: three with 128
/// tokens, as fast as fetching alone; six with 64, 17.2 ms instead of 13.2.)
template <class Storage>
inline constexpr bool copies_lines = std::is_same_v<source_of<Storage>, dense_source<Storage>>;
inline constexpr index_t most_copied = 3;

template <class Steps, class Storage, class T>
SBORA_FORCE_INLINE void product_by(const product_args<Storage, T, typename Steps::packed>& a) noexcept {
  constexpr index_t columns = tile_columns<T>;
  const index_t block_depth = Steps::block_depth(a.depth_along_lines);
  const index_t panel_size = Steps::count(a.depth < block_depth ? a.depth : block_depth) * columns;
  const index_t panels_fit = Steps::panels * panel_size <= Steps::room ? Steps::panels : 1;
  const index_t group_columns = columns * panels_fit;
  // Behind the panels of lines that cross the depth, the lines that are copied.
  using packed = typename Steps::packed;
  constexpr index_t across = Steps::panels * Steps::count(Steps::block_depth(false)) * columns;
  static_assert((Steps::room - across) * static_cast<index_t>(sizeof(packed)) >=
                    Steps::block_depth(false) * Steps::panels * columns * static_cast<index_t>(sizeof(Storage)) ||
                !copies_lines<Storage>);
  alignas(64) array_of<packed, Steps::room> panels;
  void* const copied = panels + across;
  const right_place<Storage, T> whole = {a.rhs, a.depth_along_lines};
  right_place<Storage, T> place = whole;
  const index_t total_strips = ceil_div(a.rows, index_t{Steps::rows});
  for (index_t n0 = a.column_begin; n0 < a.column_end; n0 += group_columns) {
    const index_t n1 = a.column_end - n0 < group_columns ? a.column_end : n0 + group_columns;
    for (index_t k = 0; k == 0 || k < a.depth; k += block_depth) {
      const index_t depth = a.depth - k < block_depth ? a.depth - k : block_depth;
      for (index_t n = n0; n < n1; n += columns) {
        Steps::fill(a, place, k, depth, n, n1 - n < columns ? n1 - n : columns,
                    panels + (n - n0) / columns * panel_size);
      }
      // Deeper, or the task's next columns from the top.
      const index_t next_k = k + depth < a.depth ? k + depth : 0, next_n = next_k > 0 ? n0 : n1;
      const index_t deep = a.depth - next_k < block_depth ? a.depth - next_k : block_depth;
      const index_t wide = a.column_end - next_n < group_columns ? a.column_end - next_n : group_columns;
      const cache_line_cursor lines = a.depth_along_lines ? whole.at(next_k, next_n).memory(wide, deep)
                                                          : whole.at(next_k, next_n).memory(deep, wide);
      const index_t tiles = (a.strip_end - a.strip_begin) * ((n1 - n0 + columns - 1) / columns);
      const index_t share = lines.lines() / (tiles * ceil_div(Steps::count(depth), slice_steps) + 1) + 1;
      char* copy_to = nullptr;
      place = whole;
      if constexpr (copies_lines<Storage>) {
        if (!a.depth_along_lines && share <= most_copied) {
          copy_to = static_cast<char*>(copied);
          place = {{static_cast<const Storage*>(copied), wide}, false, next_k, next_n};
        }
      }
      coming_cache_lines next(lines, copy_to);
      const tile_fetch fetch = {next, share};
      const panel_group<packed, T> group = {a.packed + total_strips * Steps::count(k) * Steps::rows,
                                            panels,
                                            Steps::count(depth) * Steps::rows,
                                            panel_size,
                                            depth,
                                            a.strip_begin,
                                            a.strip_end,
                                            {a.out + n0, a.out_stride, a.rows, n1 - n0, a.alpha,
                                             a.bias != nullptr ? a.bias + n0 : nullptr, a.accumulate || k > 0}};
      multiply_group<typename Steps::product>(group, fetch);
      next.finish();
    }
  }
}

template <class Storage, class T>
void product(const product_args<Storage, T>& a) noexcept {
  product_by<single_steps<Storage, T>>(a);
}
