// Included once per level, inside its namespace, before product.inl. No include guard, no includes.
//
// Lines, transposed, and the left operand in strips.

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
