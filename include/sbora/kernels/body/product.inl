// Included once per level, inside its namespace. No include guard, no includes.
//
// out = lhs·rhs with the weight as the packed right operand: vector lanes run over output columns, each
// step of k broadcasts tile_rows left elements against tile_vectors vectors of the panel. One element's
// sum runs over k in ascending order, cut at multiples of panel_depth and nowhere else, so it doesn't
// depend on how rows and columns were cut into tasks.

/// One strip's rows, `depth` of k from `k_begin` on.
template <class T, class Source>
SBORA_FORCE_INLINE void pack_strip(const pack_args<T, Source>& a, index_t first, index_t k_begin,
                                   index_t depth, T* SBORA_RESTRICT out) noexcept {
  const index_t valid = a.rows - first < tile_rows ? a.rows - first : index_t{tile_rows};
  const Source* const source_k = a.source + k_begin * a.depth_stride;
  if (a.row_stride == 1) {  // a transposed operand: what belongs to one k lies side by side
    for (index_t k = 0; k < depth; ++k) {
      const Source* SBORA_RESTRICT source = source_k + k * a.depth_stride;
      for (index_t i = 0; i < tile_rows; ++i) {
        if (i >= valid) out[k * tile_rows + i] = T{0};
        else if (a.row_index != nullptr) out[k * tile_rows + i] = widened<T>(source[a.row_index[first + i]]);
        else out[k * tile_rows + i] = widened<T>(source[first + i]);
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

template <class T, class Source>
void pack(const pack_args<T, Source>& a) noexcept {
  const index_t strips = (a.rows + tile_rows - 1) / tile_rows;
  for (index_t strip = a.strip_begin; strip < a.strip_end; ++strip) {
    for (index_t k = 0; k < a.depth; k += panel_depth) {
      const index_t depth = a.depth - k < panel_depth ? a.depth - k : panel_depth;
      pack_strip(a, strip * tile_rows, k, depth, a.packed + (strips * k + strip * depth) * tile_rows);
    }
  }
}

/// lanes × lanes elements, rows at a stride, transposed.
template <class Storage, class T, std::size_t Lanes>
SBORA_FORCE_INLINE void load_transposed(const Storage* from, index_t stride, vec<T> (&block)[Lanes]) noexcept {
  SBORA_UNROLL
  for (std::size_t i = 0; i < Lanes; ++i) block[i] = vec<T>::load(from + static_cast<index_t>(i) * stride);
  transpose(block);
}

/// panel[k·columns + n] = rhs[k, n] for one tile's columns, n_valid of them real and the rest zero.
template <class Storage, class T>
SBORA_FORCE_INLINE void pack_panel(const Storage* rhs, index_t depth_stride, index_t column_stride,
                                   index_t depth, index_t n_valid, T* SBORA_RESTRICT panel) noexcept {
  using v = vec<T>;
  constexpr index_t columns = tile_columns<T>;
  if (column_stride == 1) {
    for (index_t k = 0; k < depth; ++k) {
      const Storage* row = rhs + k * depth_stride;
      for (index_t n = 0; n < columns; n += v::lanes) {
        const index_t left = n_valid - n;
        const v value = left >= v::lanes ? v::load(row + n)
                                         : (left > 0 ? v::load_n(row + n, left) : v::zero());
        v::store(panel + k * columns + n, value);
      }
    }
    return;
  }
  for (index_t n = 0; n < columns; n += v::lanes) {
    const Storage* SBORA_RESTRICT column = rhs + n * column_stride;
    for (index_t k = 0; k < depth; k += v::lanes) {
      const index_t here = depth - k < v::lanes ? depth - k : index_t{v::lanes};
      const bool whole = here == v::lanes && n + v::lanes <= n_valid;
      v block[v::lanes];
      if (whole) {
        load_transposed(column + k, column_stride, block);
      } else {
        SBORA_UNROLL
        for (int i = 0; i < v::lanes; ++i) {
          block[i] = n + i < n_valid ? v::load_n(column + i * column_stride + k, here) : v::zero();
        }
        transpose(block);
      }
      T* SBORA_RESTRICT out = panel + k * columns + n;
      SBORA_UNROLL
      for (int i = 0; i < v::lanes; ++i) {
        if (i < here) v::store(out + i * columns, block[i]);
      }
    }
  }
}

/// sum[i][n] = Σ_k strip[k, i]·panel[k, n] for one tile.
template <class T>
SBORA_FORCE_INLINE void sum_tile(const T* SBORA_RESTRICT strip, const T* SBORA_RESTRICT panel,
                                 index_t depth, vec<T> (&sum)[tile_rows][tile_vectors]) noexcept {
  using v = vec<T>;
  SBORA_UNROLL
  for (int i = 0; i < tile_rows; ++i) {
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) sum[i][n] = v::zero();
  }
  SBORA_UNROLL_4  // counting costs 4 of 24 instructions a step, which a core shared with another thread feels
  for (index_t k = 0; k < depth; ++k) {
    v right[tile_vectors];
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) right[n] = v::load(panel + n * v::lanes);
    SBORA_UNROLL
    for (int i = 0; i < tile_rows; ++i) {
      const v left = v::set1(strip[i]);
      SBORA_UNROLL
      for (int n = 0; n < tile_vectors; ++n) sum[i][n] = multiply_add(left, right[n], sum[i][n]);
    }
    strip += tile_rows;
    panel += tile_columns<T>;
  }
}

/// What strips against a panel do to their part of out.
template <class T>
struct tile_result {
  T* out;
  index_t stride;
  index_t rows, columns;
  T alpha;
  const T* bias;
  bool accumulate;
};

/// out = before + alpha·sum, whole vectors where they fit.
template <class T>
SBORA_FORCE_INLINE void store_tile(const tile_result<T>& r,
                                   const vec<T> (&sum)[tile_rows][tile_vectors]) noexcept {
  using v = vec<T>;
  const v scale = v::set1(r.alpha);
  SBORA_UNROLL
  for (int i = 0; i < tile_rows; ++i) {
    if (i >= r.rows) break;
    T* row = r.out + i * r.stride;
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) {
      const index_t column = n * v::lanes;
      const index_t left = r.columns - column;
      if (left <= 0) break;
      const index_t here = left < v::lanes ? left : index_t{v::lanes};
      v before = v::zero();
      if (r.accumulate) {
        before = here == v::lanes ? v::load(row + column) : v::load_n(row + column, here);
      } else if (r.bias != nullptr) {
        before = v::load_n(r.bias + column, here);
      }
      const v result = multiply_add(scale, sum[i][n], before);
      if (here == v::lanes) v::store(row + column, result);
      else v::store_n(row + column, result, here);
    }
  }
}

/// Multiplies some strips with one panel.
template <class T, class Packed>
using multiply_function = void (*)(const Packed* strip, index_t strips, const T* panel, index_t depth,
                                   tile_result<T> result, line_prefetch& next, index_t next_lines) noexcept;

/// How a product goes through the depth: k by k. Products of bf16 go by pairs; see pair_steps.inl.
template <class T>
struct single_steps {
  using packed = T;

  static SBORA_FORCE_INLINE index_t count(index_t depth) noexcept { return depth; }
  static SBORA_FORCE_INLINE void prepare(T*, index_t) noexcept {}

  static void multiply(const T* strip, index_t strips, const T* panel, index_t depth, tile_result<T> result,
                       line_prefetch& next, index_t next_lines) noexcept {
    for (index_t done = 0; done < strips; ++done) {
      next.fetch(next_lines);
      vec<T> sum[tile_rows][tile_vectors];
      sum_tile<T>(strip, panel, depth, sum);
      store_tile<T>(result, sum);
      strip += tile_rows * depth;
      result.out += tile_rows * result.stride;
      result.rows -= tile_rows;
    }
  }
};

/// Panels packed together, 64 KiB on the stack, and strips that they are multiplied with in turn,
/// 192 KiB: both stay in a 512 KiB L2 cache while each panel stays in the L1 cache.
template <class T>
inline constexpr index_t group_panels =
    65536 / (panel_depth * tile_columns<T> * static_cast<index_t>(sizeof(T)));
template <class T>
inline constexpr index_t group_strips =
    196608 / (panel_depth * tile_rows * static_cast<index_t>(sizeof(T)));

template <class Steps, class Storage, class T>
SBORA_FORCE_INLINE void product_by(const product_args<Storage, T, typename Steps::packed>& a,
                                   multiply_function<T, typename Steps::packed> multiply) noexcept {
  constexpr index_t columns = tile_columns<T>;
  constexpr index_t group_columns = columns * group_panels<T>;
  alignas(64) T panels[group_panels<T>][panel_depth * columns];
  const index_t total_strips = (a.rows + tile_rows - 1) / tile_rows;
  for (index_t n0 = a.column_begin; n0 < a.column_end; n0 += group_columns) {
    const index_t n1 = a.column_end - n0 < group_columns ? a.column_end : n0 + group_columns;
    for (index_t k = 0; k == 0 || k < a.depth; k += panel_depth) {
      const index_t depth = a.depth - k < panel_depth ? a.depth - k : panel_depth;
      for (index_t n = n0; n < n1; n += columns) {
        const index_t n_valid = n1 - n < columns ? n1 - n : columns;
        T* panel = panels[(n - n0) / columns];
        pack_panel(a.rhs + k * a.rhs_depth_stride + n * a.rhs_column_stride, a.rhs_depth_stride,
                   a.rhs_column_stride, depth, n_valid, panel);
        for (index_t u = 0; u < a.update_count; ++u) {
          const panel_update<T>& update = a.updates[u];
          if (update.rounded) update_panel<Storage>(update, k, depth, n, n_valid, panel);
          else update_panel<T>(update, k, depth, n, n_valid, panel);
        }
        Steps::prepare(panel, depth);
      }
      const index_t next_depth = a.depth - k - depth < panel_depth ? a.depth - k - depth : panel_depth;
      const Storage* next_rhs = a.rhs + (k + depth) * a.rhs_depth_stride + n0 * a.rhs_column_stride;
      line_prefetch next = a.rhs_depth_stride == 1
                               ? line_prefetch(next_rhs, a.rhs_column_stride, n1 - n0, next_depth)
                               : line_prefetch(next_rhs, a.rhs_depth_stride, next_depth, n1 - n0);
      const index_t tiles = (a.strip_end - a.strip_begin) * ((n1 - n0 + columns - 1) / columns);
      const index_t next_lines = next.lines() / (tiles + 1) + 1;
      for (index_t from = a.strip_begin; from < a.strip_end; from += group_strips<T>) {
        const index_t strips = a.strip_end - from < group_strips<T> ? a.strip_end - from : group_strips<T>;
        const index_t row = from * tile_rows;
        for (index_t n = n0; n < n1; n += columns) {
          multiply(
              a.packed + (total_strips * Steps::count(k) + from * Steps::count(depth)) * tile_rows, strips,
              panels[(n - n0) / columns], depth,
              {a.out + row * a.out_stride + n, a.out_stride, a.rows - row,
               n1 - n < columns ? n1 - n : columns, a.alpha, a.bias != nullptr ? a.bias + n : nullptr,
               a.accumulate || k > 0},
              next, next_lines);
        }
      }
    }
  }
}

template <class Storage, class T>
void product(const product_args<Storage, T>& a) noexcept {
  product_by<single_steps<T>>(a, &single_steps<T>::multiply);
}
