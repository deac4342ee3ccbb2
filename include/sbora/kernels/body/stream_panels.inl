// Included once per level, inside its namespace. No include guard, no includes.
//
// Some tokens against lines that run across the depth, in tiles as those of product.inl: panels of a few lines come
// into the L1 cache one after the other, without being packed first, and the sums of all tokens stay near.

/// Whether the level has it.
inline constexpr bool has_stream_panels = vec<float>::lanes == 8;
/// From how many tokens on it is what stream does. (Zen 3, 4096 x 4096, token by token (stream_axpy.inl) and so,
/// milliseconds: f32 6 tokens 5.4, 6.5, 8 tokens 9.6, 7.0; bf16 4 tokens 3.0, 3.6, 6 tokens 4.4, 4.0; NF4 2 tokens 4.3,
/// 4.1, 4 tokens 5.2, 4.6; int8 6 tokens 7.2, 7.1.)
template <class Storage, class T>
inline constexpr index_t stream_panels_from =
    std::is_same_v<Storage, four_bit>                                                          ? 3
    : std::is_same_v<source_of<Storage>, dense_source<Storage>> && !std::is_same_v<Storage, T> ? 5
                                                                                               : 7;
/// Most lines of a panel, a multiple of which panel_depth is, and half of them up to so many tokens. (Zen 3, f32,
/// milliseconds: 16, 32 and 64 lines, 4096 x 4096, 16 tokens 8.9, 8.6, 12, 64 tokens 29, 27, 31; 32 and 64 lines, 3072
/// x 768, 256 tokens 16.1, 14.4.)
inline constexpr index_t panel_lines = 64, short_panel_tokens = 64;
/// How far ahead in each of these lines it is fetched.
inline constexpr index_t panel_ahead_bytes = 256;
/// Room for sums, of all tokens and so many columns: 128 KiB. (Zen 3: 256 KiB are no faster.)
template <class T>
inline constexpr index_t panel_sums_count = 128 * 1024 / static_cast<index_t>(sizeof(T));
inline constexpr index_t panel_most_columns = 1024;

/// A panel in the L1 cache.
template <class T>
struct near_panel {
  const T* data;
  index_t stride;

  SBORA_FORCE_INLINE void load(index_t k, vec<T> (&right)[tile_vectors]) const noexcept {
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) right[n] = vec<T>::load(data + k * stride + n * vec<T>::lanes);
  }
};

/// One that lies where rhs does, from its column `at` on. What is loaded is copied, and what lies lines_ahead and
/// columns_ahead further is fetched.
template <class Reader, class T>
struct far_panel {
  const Reader& rhs;
  index_t at, lines_ahead, columns_ahead;
  T* copy;

  SBORA_FORCE_INLINE void load(index_t k, vec<T> (&right)[tile_vectors]) const noexcept {
    rhs.fetch(k + lines_ahead, at + columns_ahead);
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) {
      right[n] = rhs.load(k, at + n * vec<T>::lanes);
      vec<T>::store(copy + k * tile_columns<T> + n * vec<T>::lanes, right[n]);
    }
  }
};

/// sums[i, n] += Σ_k left[i, k]·panel[k, n] for Tokens tokens, which have panel_lines of left and a tile's columns of
/// sums each. Those of the next tile are fetched.
template <int Tokens, class Panel, class T>
SBORA_NO_INLINE void add_panel(const Panel& panel, const T* SBORA_RESTRICT left, index_t depth,
                               T* SBORA_RESTRICT sums) noexcept {
  using v = vec<T>;
  constexpr index_t cache_line = cache_line_cursor::bytes / static_cast<index_t>(sizeof(T));
  const Panel right = panel;
  SBORA_UNROLL
  for (int i = 0; i < Tokens; ++i) {
    __builtin_prefetch(sums + (Tokens + i) * tile_columns<T>);
    for (index_t k = 0; k < depth; k += cache_line) __builtin_prefetch(left + (Tokens + i) * panel_lines + k);
  }
  tile_sums<T, Tokens> sum;
  SBORA_UNROLL
  for (int i = 0; i < Tokens; ++i) {
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) sum[i][n] = v::load(sums + i * tile_columns<T> + n * v::lanes);
  }
  SBORA_UNROLL_4
  for (index_t k = 0; k < depth; ++k) {
    v w[tile_vectors];
    right.load(k, w);
    SBORA_UNROLL
    for (int i = 0; i < Tokens; ++i) {
      const v x = v::set1(left[i * panel_lines + k]);
      SBORA_UNROLL
      for (int n = 0; n < tile_vectors; ++n) sum[i][n] = multiply_add(x, w[n], sum[i][n]);
    }
  }
  SBORA_UNROLL
  for (int i = 0; i < Tokens; ++i) {
    SBORA_UNROLL
    for (int n = 0; n < tile_vectors; ++n) v::store(sums + i * tile_columns<T> + n * v::lanes, sum[i][n]);
  }
}

template <int Most, class Panel, class T>
SBORA_FORCE_INLINE void add_panel_of(index_t tokens, const Panel& panel, const T* left, index_t depth,
                                     T* sums) noexcept {
  if constexpr (Most > 1) {
    if (tokens < Most) return add_panel_of<Most - 1>(tokens, panel, left, depth, sums);
  }
  add_panel<Most>(panel, left, depth, sums);
}

/// Tokens in tiles of nearly the same size, at most tile_rows.
struct token_tiles {
  index_t tokens, tiles = ceil_div(tokens, index_t{tile_rows});

  SBORA_FORCE_INLINE index_t first() const noexcept { return ceil_div(tokens, tiles); }
  /// Of those from `token` on, after `tile` tiles.
  SBORA_FORCE_INLINE index_t size(index_t token, index_t tile) const noexcept {
    return ceil_div(tokens - token, tiles - tile);
  }
};

/// All tokens from `token` on against a panel.
template <class T>
SBORA_FORCE_INLINE void add_near_panel(const token_tiles& all, index_t token, const near_panel<T>& panel, const T* left,
                                       index_t depth, T* sums) noexcept {
  for (index_t tile = token > 0 ? 1 : 0; token < all.tokens; ++tile) {
    const index_t size = all.size(token, tile);
    add_panel_of<tile_rows>(size, panel, left + token * panel_lines, depth, sums + token * tile_columns<T>);
    token += size;
  }
}

/// `depth` lines of a dense rhs and `columns` columns, from where `rhs` reads on; lines_ahead and columns_ahead: where
/// those lie that follow, from here.
template <class Storage, class T>
SBORA_FORCE_INLINE void add_dense_panels(const reader<dense_source<Storage>, T>& rhs, index_t columns,
                                         index_t lines_ahead, index_t columns_ahead, const token_tiles& all,
                                         const T* left, index_t depth, T* sums) noexcept {
  using far = far_panel<reader<dense_source<Storage>, T>, T>;
  constexpr index_t width = tile_columns<T>, ahead = panel_ahead_bytes / static_cast<index_t>(sizeof(Storage));
  alignas(64) array_of<T, panel_lines * width> copy;
  for (index_t n = 0; n < columns; n += width, sums += all.tokens * width) {
    index_t token = 0;
    if (columns - n < width) {
      pack_panel(reader<dense_source<Storage>, T>({rhs.data() + n, rhs.stride()}, 0, 0), false, depth, columns - n,
                 copy);
    } else {
      const bool later = n + ahead >= columns;  // than the end of these lines
      const far panel = {rhs, n, later ? lines_ahead : 0, later ? ahead - columns + columns_ahead : ahead, copy};
      token = all.first();
      add_panel_of<tile_rows>(token, panel, left, depth, sums);
    }
    add_near_panel<T>(all, token, {copy, width}, left, depth, sums);
  }
}

/// The same of codes, which become floats in pieces that stay in the L1 cache; the next piece is fetched meanwhile.
template <class Reader, class T>
SBORA_FORCE_INLINE void add_code_panels(const Reader& rhs, index_t columns, index_t lines_ahead, index_t columns_ahead,
                                        const token_tiles& all, const T* left, index_t depth, T* sums) noexcept {
  constexpr index_t width = tile_columns<T>, piece = 128, stride = piece + 16;
  alignas(64) array_of<T, panel_lines * stride> floats;
  for (index_t n = 0; n < columns; n += piece) {
    const index_t here = columns - n < piece ? columns - n : piece;
    const bool later = n + piece >= columns;
    for (index_t at = n + piece; at < n + 2 * piece; at += Reader::cache_line_elements) {
      for (index_t k = 0; k < depth; ++k) {
        rhs.fetch(k + (later ? lines_ahead : 0), later ? at - columns + columns_ahead : at);
      }
    }
    rhs.decode(0, n, depth, here, floats, stride);
    for (index_t i = 0; i < here; i += width, sums += all.tokens * width) {
      if (here - i < width) {
        for (index_t k = 0; k < depth; ++k) {
          for (index_t j = here; j < i + width; ++j) floats[k * stride + j] = T{0};
        }
      }
      add_near_panel<T>(all, 0, {floats + i, stride}, left, depth, sums);
    }
  }
}

/// left[t, k] = scale·a.left[t, k0 + k], a token's panel_lines apart.
template <class Storage, class T>
SBORA_FORCE_INLINE void scale_left(const stream_args<Storage, T>& a, T scale, index_t k0, index_t depth,
                                   T* left) noexcept {
  using v = vec<T>;
  for (index_t t = 0; t < a.tokens; ++t, left += panel_lines) {
    const T* const from = a.left + t * a.left_stride + k0;
    index_t k = 0;
    for (; k + v::lanes <= depth; k += v::lanes) v::store(left + k, v::set1(scale) * v::load(from + k));
    if (k < depth) v::store(left + k, v::set1(scale) * v::load_n(from + k, depth - k));
  }
}

/// Sums that begin with what they are added to, `width` columns of all tokens after the other.
template <class Storage, class T>
SBORA_NO_INLINE void begin_sums(const stream_args<Storage, T>& a, index_t column, index_t columns, T* sums) noexcept {
  using v = vec<T>;
  const T* const bias = a.bias != nullptr ? a.bias + column : nullptr;
  for (index_t n = 0; n < columns; n += tile_columns<T>) {
    for (index_t t = 0; t < a.tokens; ++t) {
      const T* const before = a.accumulate ? a.out + t * a.out_stride + column : bias;
      for (index_t i = n; i < n + tile_columns<T>; i += v::lanes, sums += v::lanes) {
        const index_t here = columns - i;
        const bool none = before == nullptr || here <= 0;
        v::store(sums, none ? v::zero() : (here < v::lanes ? v::load_n(before + i, here) : v::load(before + i)));
      }
    }
  }
}

/// Where rhs runs along the columns. Sums begin with what they are added to and go on in the order of the depth; where
/// a.cut, they begin with zero at each multiple of it and are then added to out, as those of packed products.
template <class Storage, class T>
SBORA_NO_INLINE void stream_panels(const stream_args<Storage, T>& a) noexcept {
  constexpr index_t width = tile_columns<T>;
  static_assert(panel_depth(false) % panel_lines == 0 && most_stream_tokens * width <= panel_sums_count<T>);
  alignas(64) array_of<T, panel_sums_count<T>> sums;
  alignas(64) array_of<T, most_stream_tokens * panel_lines> left;
  const token_tiles all = {a.tokens};
  const bool cuts = a.cut > 0;
  const index_t lines = a.tokens > short_panel_tokens ? panel_lines : panel_lines / 2;
  const index_t cut = cuts ? a.cut : a.depth + 1;
  index_t block = panel_sums_count<T> / (a.tokens * width) * width;
  if (block > panel_most_columns) block = panel_most_columns;
  for (index_t column = a.column_begin; column < a.column_end; column += block) {
    const index_t columns = a.column_end - column < block ? a.column_end - column : block;
    for (index_t k0 = 0; k0 == 0 || k0 < a.depth; k0 += cut) {
      if (cuts)
        for (index_t i = 0; i < a.tokens * ceil_div(columns, width) * width; ++i) sums[i] = T{0};
      else begin_sums(a, column, columns, sums);
      const index_t k1 = a.depth - k0 < cut ? a.depth : k0 + cut;
      for (index_t k = k0; k < k1; k += lines) {
        const index_t depth = k1 - k < lines ? k1 - k : lines;
        scale_left(a, cuts ? T{1} : a.alpha, k, depth, left);
        const reader<source_of<Storage>, T> rhs(a.rhs, k, column);
        // Deeper, or the next columns from the top.
        const bool deeper = k + depth < a.depth;
        const index_t lines_ahead = deeper ? depth : -k, columns_ahead = deeper ? 0 : columns;
        if constexpr (std::is_same_v<source_of<Storage>, dense_source<Storage>>) {
          add_dense_panels(rhs, columns, lines_ahead, columns_ahead, all, left, depth, sums);
        } else {
          add_code_panels(rhs, columns, lines_ahead, columns_ahead, all, left, depth, sums);
        }
      }
      for (index_t n = 0; n < columns; n += width) {
        T* const out = a.out + column + n;
        store_sums<T>({out, a.out_stride, a.tokens, columns - n < width ? columns - n : width, cuts ? a.alpha : T{1},
                       cuts && a.bias != nullptr ? a.bias + column + n : nullptr, cuts && (a.accumulate || k0 > 0)},
                      sums + n * a.tokens, a.tokens, width);
      }
    }
  }
}
