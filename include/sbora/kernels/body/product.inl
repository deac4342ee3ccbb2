// Included once per level, inside its namespace. No include guard, no includes.
//
// out = lhs·rhs with the weight as the packed right operand: vector lanes run over output columns, each
// step of k broadcasts tile_rows left elements against tile_vectors vectors of the panel. One element's
// sum runs over k in ascending order, cut at multiples of panel_depth and nowhere else, so it doesn't
// depend on how rows and columns were cut into tasks.

/// out[k·width + i] = element k of line i, `depth` elements of each of `count` lines, and zeros for lines from there to
/// width. Vectors may be longer than a k of out: what they write beyond it is written again by the next, and the last k
/// of all is cut. Blocks at the edges are padded in a copy, so that there is one transposition. (Zen 5, 512 x 4096: 0.5
/// ms, 1.4 one by one.)
template <class T>
SBORA_NO_INLINE void pack_transposed(const T* lines, index_t stride, index_t count, index_t depth,
                                     T* SBORA_RESTRICT out, index_t width) noexcept {
  using v = vec<T>;
  alignas(64) array_of<T, v::lanes * v::lanes> copy;
  for (index_t n = 0; n < width; n += v::lanes) {
    for (index_t k = 0; k < depth; k += v::lanes) {
      const index_t here = depth - k < v::lanes ? depth - k : index_t{v::lanes};
      const T* from = lines + n * stride + k;
      index_t from_stride = stride;
      if (here < v::lanes || n + v::lanes > count) {
        for (index_t i = 0; i < v::lanes; ++i) {
          v::store(copy + i * v::lanes, n + i < count ? v::load_n(from + i * stride, here) : v::zero());
        }
        from = copy;
        from_stride = v::lanes;
      }
      v block[v::lanes];
      load_transposed(from, from_stride, block);
      T* const to = out + k * width + n;
      if (here == v::lanes && (n + v::lanes <= width || (n == 0 && k + v::lanes < depth))) {
        SBORA_UNROLL
        for (int i = 0; i < v::lanes; ++i) v::store(to + i * width, block[i]);
        continue;
      }
      SBORA_UNROLL
      for (int i = 0; i < v::lanes; ++i) v::store(copy + i * v::lanes, block[i]);
      const index_t wanted = width - n < v::lanes ? width - n : index_t{v::lanes};
      for (index_t i = 0; i < here; ++i) v::store_n(to + i * width, v::load(copy + i * v::lanes), wanted);
    }
  }
}

/// The same from where `from` reads on: elements of another type become T in pieces that stay in the L1 cache.
template <class Source, class T>
SBORA_FORCE_INLINE void pack_lines(const reader<Source, T>& from, index_t count, index_t depth, T* out,
                                   index_t width) noexcept {
  if constexpr (std::is_same_v<Source, dense_source<T>>) {
    pack_transposed(from.data(), from.stride(), count, depth, out, width);
  } else {
    constexpr index_t piece = 128, stride = piece + 16;  // lines a power of two apart would share cache sets
    constexpr index_t most = tile_columns<T> > tile_rows ? tile_columns<T> : index_t{tile_rows};
    alignas(64) array_of<T, most * stride> lines;
    if (count > width) count = width;
    for (index_t k = 0; k < depth; k += piece) {
      const index_t here = depth - k < piece ? depth - k : piece;
      from.decode(0, k, count, here, lines, stride);
      pack_transposed(lines, stride, count, here, out + k * width, width);
    }
  }
}

/// One strip's rows, `depth` of k from `k_begin` on.
template <class T, class Source>
SBORA_FORCE_INLINE void pack_strip(const pack_args<T, Source>& a, index_t first, index_t k_begin, index_t depth,
                                   T* SBORA_RESTRICT out) noexcept {
  const Source* const source_k = a.source + k_begin * a.depth_stride;
  if (a.depth_stride == 1 && a.row_index == nullptr) {
    const reader<dense_source<Source>, T> from({source_k, a.row_stride}, first, 0);
    pack_lines(from, a.rows - first, depth, out, tile_rows);
    return;
  }
  const index_t valid = a.rows - first < tile_rows ? a.rows - first : index_t{tile_rows};
  if (a.row_stride == 1) {  // gathered columns, k by k as pack_columns
    for (index_t k = 0; k < depth; ++k) {
      const Source* SBORA_RESTRICT source = source_k + k * a.depth_stride;
      for (index_t i = 0; i < tile_rows; ++i) {
        const index_t row = i >= valid ? 0 : (a.row_index != nullptr ? a.row_index[first + i] : first + i);
        out[k * tile_rows + i] = i < valid ? widened<T>(source[row]) : T{0};
      }
    }
    return;
  }
  for (index_t i = 0; i < tile_rows; ++i) {
    if (i < valid) {
      const index_t row = a.row_index != nullptr ? a.row_index[first + i] : first + i;
      const Source* SBORA_RESTRICT source = source_k + row * a.row_stride;
      for (index_t k = 0; k < depth; ++k) out[k * tile_rows + i] = widened<T>(source[k * a.depth_stride]);
    } else {
      for (index_t k = 0; k < depth; ++k) out[k * tile_rows + i] = T{0};
    }
  }
}

/// A transposed operand, whose strips' rows of one k lie side by side: all strips of the call k by k, since k's are far
/// apart. (Zen 5, backward of 512 tokens in bf16 with FA: 40 ms; 43 strip by strip and one by one.)
template <class T, class Source>
SBORA_FORCE_INLINE void pack_columns(const pack_args<T, Source>& a, index_t strips, index_t k_begin,
                                     index_t depth) noexcept {
  using v = vec<T>;
  T* const block = a.packed + strips * k_begin * tile_rows;
  for (index_t k = 0; k < depth; ++k) {
    const Source* const from = a.source + (k_begin + k) * a.depth_stride;
    for (index_t strip = a.strip_begin; strip < a.strip_end; ++strip) {
      T* const out = block + (strip * depth + k) * tile_rows;
      const index_t first = strip * tile_rows;
      for (index_t i = 0; i < tile_rows; i += v::lanes) {
        const index_t wanted = tile_rows - i < v::lanes ? tile_rows - i : index_t{v::lanes}, left = a.rows - first - i;
        const v value =
            left >= v::lanes ? v::load(from + first + i) : (left > 0 ? v::load_n(from + first + i, left) : v::zero());
        if (wanted == v::lanes) v::store(out + i, value);
        else v::store_n(out + i, value, wanted);
      }
    }
  }
}

template <class T, class Source>
void pack(const pack_args<T, Source>& a) noexcept {
  const index_t strips = ceil_div(a.rows, tile_rows), block_depth = panel_depth(a.depth_along_lines);
  for (index_t k = 0; k < a.depth; k += block_depth) {
    const index_t depth = a.depth - k < block_depth ? a.depth - k : block_depth;
    if (a.row_stride == 1 && a.row_index == nullptr) {
      pack_columns(a, strips, k, depth);
      continue;
    }
    for (index_t strip = a.strip_begin; strip < a.strip_end; ++strip) {
      pack_strip(a, strip * tile_rows, k, depth, a.packed + (strips * k + strip * depth) * tile_rows);
    }
  }
}

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
  // Fewer rows where the last strip has no more, for small batches: a third, two thirds.
  constexpr int few_rows = (Steps::rows + 2) / 3, most_rows = (2 * Steps::rows + 2) / 3;
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
      for (index_t from = a.strip_begin; from < a.strip_end; from += group_strips) {
        const index_t to = a.strip_end - from < group_strips ? a.strip_end : from + group_strips;
        for (index_t n = n0; n < n1; n += columns) {
          const auto* panel = panels + (n - n0) / columns * panel_size;
          for (index_t s = from; s < to; ++s) {
            const index_t row = s * Steps::rows;
            const auto* strip = a.packed + (total_strips * Steps::count(k) + s * Steps::count(depth)) * Steps::rows;
            const tile_result<T> result = {a.out + row * a.out_stride + n,
                                           a.out_stride,
                                           a.rows - row,
                                           n1 - n < columns ? n1 - n : columns,
                                           a.alpha,
                                           a.bias != nullptr ? a.bias + n : nullptr,
                                           a.accumulate || k > 0};
            if constexpr (fetches_results) {
              for (index_t i = 0; i < Steps::rows && i < result.rows; ++i) {
                __builtin_prefetch(result.out + i * result.stride, 1);
              }
            }
            if (result.rows > most_rows) Steps::template multiply<Steps::rows>(strip, panel, depth, fetch, result);
            else if (result.rows > few_rows) Steps::template multiply<most_rows>(strip, panel, depth, fetch, result);
            else Steps::template multiply<few_rows>(strip, panel, depth, fetch, result);
          }
        }
      }
      next.finish();
    }
  }
}

template <class Storage, class T>
void product(const product_args<Storage, T>& a) noexcept {
  product_by<single_steps<Storage, T>>(a);
}
