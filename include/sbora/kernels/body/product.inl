// Included once per level, inside its namespace. No include guard, no includes.
//
// out = lhs·rhs with the weight as the packed right operand: vector lanes run over output columns, each
// step of k broadcasts tile_rows left elements against tile_vectors vectors of the panel. One element's
// sum runs over k in ascending order, cut at multiples of panel_depth and nowhere else, so it doesn't
// depend on how rows and columns were cut into tasks.

/// Output columns of one tile.
template <class T>
inline constexpr index_t tile_columns = index_t{tile_vectors} * vec<T>::lanes;

template <class T>
void pack(const pack_args<T>& a) noexcept {
  for (index_t strip = a.strip_begin; strip < a.strip_end; ++strip) {
    T* SBORA_RESTRICT out = a.packed + strip * tile_rows * a.depth;
    const index_t first = strip * tile_rows;
    if (a.row_stride == 1) {  // a transposed operand: its rows lie side by side
      const index_t valid = a.rows - first < tile_rows ? a.rows - first : index_t{tile_rows};
      for (index_t k = 0; k < a.depth; ++k) {
        const T* SBORA_RESTRICT source = a.source + first + k * a.depth_stride;
        for (index_t i = 0; i < tile_rows; ++i) out[k * tile_rows + i] = i < valid ? source[i] : T{0};
      }
      continue;
    }
    for (index_t i = 0; i < tile_rows; ++i) {
      if (first + i < a.rows) {
        const T* SBORA_RESTRICT source = a.source + (first + i) * a.row_stride;
        for (index_t k = 0; k < a.depth; ++k) out[k * tile_rows + i] = source[k * a.depth_stride];
      } else {
        for (index_t k = 0; k < a.depth; ++k) out[k * tile_rows + i] = T{0};
      }
    }
  }
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
      SBORA_UNROLL
      for (int i = 0; i < v::lanes; ++i) {
        const Storage* from = column + i * column_stride + k;
        if (whole) block[i] = v::load(from);
        else block[i] = n + i < n_valid ? v::load_n(from, here) : v::zero();
      }
      transpose(block);
      T* SBORA_RESTRICT out = panel + k * columns + n;
      SBORA_UNROLL
      for (int i = 0; i < v::lanes; ++i) {
        if (i < here) v::store(out + i * columns, block[i]);
      }
    }
  }
}

/// One tile: rows × columns of out from a strip and a panel of `depth`.
template <class T>
SBORA_FORCE_INLINE void multiply_tile(const T* SBORA_RESTRICT strip, const T* SBORA_RESTRICT panel,
                                      index_t depth, T* out, index_t out_stride, index_t rows,
                                      index_t columns, T alpha, const T* bias,
                                      bool accumulate) noexcept {
  using v = vec<T>;
  v sum[tile_rows][tile_vectors];
  SBORA_UNROLL
  for (int i = 0; i < tile_rows; ++i) {
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) sum[i][n] = v::zero();
  }
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
  const v scale = v::set1(alpha);
  SBORA_UNROLL
  for (int i = 0; i < tile_rows; ++i) {
    if (i >= rows) break;
    T* row = out + i * out_stride;
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) {
      const index_t column = n * v::lanes;
      const index_t left = columns - column;
      if (left <= 0) break;
      const index_t here = left < v::lanes ? left : index_t{v::lanes};
      v before = v::zero();
      if (accumulate) {
        before = here == v::lanes ? v::load(row + column) : v::load_n(row + column, here);
      } else if (bias != nullptr) {
        before = v::load_n(bias + column, here);
      }
      const v result = multiply_add(scale, sum[i][n], before);
      if (here == v::lanes) v::store(row + column, result);
      else v::store_n(row + column, result, here);
    }
  }
}

/// All strips of a block against one panel. Its own function, so that it is compiled once for all storages.
template <class T>
void multiply_panel(const T* packed, index_t strip_depth, index_t strips, const T* panel, index_t depth,
                    T* out, index_t out_stride, index_t rows, index_t columns, T alpha, const T* bias,
                    bool accumulate) noexcept {
  for (index_t strip = 0; strip < strips; ++strip) {
    multiply_tile<T>(packed, panel, depth, out, out_stride, rows, columns, alpha, bias, accumulate);
    packed += tile_rows * strip_depth;
    out += tile_rows * out_stride;
    rows -= tile_rows;
  }
}

template <class Storage, class T>
void product(const product_args<Storage, T>& a) noexcept {
  constexpr index_t columns = tile_columns<T>;
  const index_t first_row = a.strip_begin * tile_rows;
  for (index_t k = 0; k == 0 || k < a.depth; k += panel_depth) {
    const index_t depth = a.depth - k < panel_depth ? a.depth - k : panel_depth;
    const T* packed = a.packed + a.strip_begin * tile_rows * a.depth + k * tile_rows;
    for (index_t n = a.column_begin; n < a.column_end; n += columns) {
      const index_t n_valid = a.column_end - n < columns ? a.column_end - n : columns;
      pack_panel(a.rhs + k * a.rhs_depth_stride + n * a.rhs_column_stride, a.rhs_depth_stride,
                 a.rhs_column_stride, depth, n_valid, a.panel);
      multiply_panel<T>(packed, a.depth, a.strip_end - a.strip_begin, a.panel, depth,
                        a.out + first_row * a.out_stride + n, a.out_stride, a.rows - first_row, n_valid,
                        a.alpha, a.bias != nullptr ? a.bias + n : nullptr, a.accumulate || k > 0);
    }
  }
}
