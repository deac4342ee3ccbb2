// Included once per level, inside its namespace. No include guard, no includes.
//
// Products of few tokens: the right operand is read once, straight from where it lies, and the time is
// that of reading it. Nothing is packed.

/// Cache lines between what is multiplied and what is fetched: 8 KiB. (4 or 16 KiB: 0.96 of the speed.)
inline constexpr index_t stream_ahead_lines = 128;

/// out[0, column] (+)= Σ_k left[0, k]·rhs[k, column] for the only token: lines one after the other, as they lie in
/// memory. Four vectors of sums, since one would wait for itself. What has to be converted is fetched some way ahead:
/// its operations fill the schedulers before enough lines are on their way. (Zen 5, of the bandwidth of a pass that
/// only reads: f32 0.93, fetched 0.88; bf16 0.98, not fetched 0.90; four columns at a time 0.82 and 0.70.)
template <class Storage, class T>
SBORA_FORCE_INLINE void dot_line(const stream_args<Storage, T>& a, index_t column) noexcept {
  using v = vec<T>;
  using source_reader = reader<source_of<Storage>, T>;
  constexpr index_t parts = 4, step = parts * v::lanes;
  const source_reader rhs(a.rhs, column, 0);
  const index_t ahead = stream_ahead_lines * source_reader::line_elements;
  const index_t coming_line = ahead / a.depth, coming = ahead % a.depth;
  v total[parts];
  SBORA_UNROLL
  for (v& part : total) part = v::zero();
  index_t k = 0;
  for (; k + step <= a.depth; k += step) {
    if constexpr (!std::is_same_v<Storage, T>) {
      const bool later = k + coming >= a.depth;  // than the end of that line
      SBORA_UNROLL
      for (index_t i = 0; i < step; i += source_reader::line_elements) {
        rhs.fetch(coming_line + (later ? 1 : 0), k + i + coming - (later ? a.depth : 0));
      }
    }
    SBORA_UNROLL
    for (int part = 0; part < parts; ++part) {
      const index_t at = k + part * v::lanes;
      total[part] = multiply_add(v::load(a.left + at), rhs.load(0, at), total[part]);
    }
  }
  for (; k < a.depth; k += v::lanes) {
    const index_t here = a.depth - k;
    const v x = here < v::lanes ? v::load_n(a.left + k, here) : v::load(a.left + k);
    total[0] = multiply_add(x, here < v::lanes ? rhs.load_n(0, k, here) : rhs.load(0, k), total[0]);
  }
  T* const out = a.out + column;
  const T before = a.accumulate ? *out : (a.bias != nullptr ? a.bias[column] : T{0});
  *out = before + opaque(a.alpha * sum((total[0] + total[1]) + (total[2] + total[3])));
}

/// Tokens whose sums are kept beside each other, and columns.
inline constexpr index_t dot_tokens = 8;
inline constexpr int dot_columns = 4;

/// Some lines and some tokens against each other: sums[c][t], vectors, (+)= Σ_k left[t, k]·lines[c, k] for whole
/// vectors of k. `sums` has `tokens` vectors for each line.
template <class Reader, class T>
struct dot_block {
  const Reader& lines;
  const T* left;
  index_t left_stride;
  index_t tokens, depth;
  T* sums;
};

/// Columns lines from `column` on and Tokens tokens from `token` on. Fetches the four lines after these: the hardware's
/// prefetchers start anew with each. (Zen 5, eight tokens: bf16 2.5 to 1.85 ms.)
template <int Columns, int Tokens, class Reader, class T>
SBORA_FORCE_INLINE void dot_tile(const dot_block<Reader, T>& b, index_t column, index_t token) noexcept {
  using v = vec<T>;
  const T* const left = b.left + token * b.left_stride;
  T* const sums = b.sums + (column * b.tokens + token) * v::lanes;
  const index_t sums_stride = b.tokens * v::lanes;
  array_of<array_of<v, Tokens>, Columns> total;
  SBORA_UNROLL
  for (int c = 0; c < Columns; ++c) {
    SBORA_UNROLL
    for (int t = 0; t < Tokens; ++t) total[c][t] = v::load(sums + c * sums_stride + t * v::lanes);
  }
  for (index_t k = 0; k + v::lanes <= b.depth; k += v::lanes) {
    array_of<v, Tokens> x;
    SBORA_UNROLL
    for (int t = 0; t < Tokens; ++t) x[t] = v::load(left + t * b.left_stride + k);
    SBORA_UNROLL
    for (int c = 0; c < Columns; ++c) {
      const v w = b.lines.load(column + c, k);
      b.lines.fetch(column + c + dot_columns, k);
      SBORA_UNROLL
      for (int t = 0; t < Tokens; ++t) total[c][t] = multiply_add(x[t], w, total[c][t]);
    }
  }
  SBORA_UNROLL
  for (int c = 0; c < Columns; ++c) {
    SBORA_UNROLL
    for (int t = 0; t < Tokens; ++t) v::store(sums + c * sums_stride + t * v::lanes, total[c][t]);
  }
}

/// The tokens from `token` on, Tokens at a time, and what is left with fewer.
template <int Tokens, class Reader, class T>
SBORA_FORCE_INLINE void dot_tiles(const dot_block<Reader, T>& b, index_t token) noexcept {
  for (; token + Tokens <= b.tokens; token += Tokens) dot_tile<dot_columns, Tokens>(b, 0, token);
  if constexpr (Tokens > 1) dot_tiles<Tokens - 1>(b, token);
}

template <class Reader, class T>
SBORA_NO_INLINE void add_dots(const dot_block<Reader, T>& b, index_t columns) noexcept {
  if (columns == dot_columns) {
    dot_tiles<stream_tile_tokens>(b, 0);
    return;
  }
  for (index_t c = 0; c < columns; ++c) {
    for (index_t t = 0; t < b.tokens; ++t) dot_tile<1, 1>(b, c, t);
  }
}

/// What is left to be done: the last k that fill no vector, then the sums to out.
template <class Storage, class T>
SBORA_NO_INLINE void finish_dots(const stream_args<Storage, T>& a, index_t column, index_t columns, index_t token,
                                 index_t tokens, const T* sums) noexcept {
  using v = vec<T>;
  const reader<source_of<Storage>, T> rhs(a.rhs, column, 0);
  const index_t rest = a.depth % v::lanes, k = a.depth - rest;
  for (index_t c = 0; c < columns; ++c) {
    const v w = rest > 0 ? rhs.load_n(c, k, rest) : v::zero();
    for (index_t t = 0; t < tokens; ++t, sums += v::lanes) {
      v value = v::load(sums);
      if (rest > 0) value = multiply_add(v::load_n(a.left + (token + t) * a.left_stride + k, rest), w, value);
      T* const out = a.out + (token + t) * a.out_stride + column + c;
      const T before = a.accumulate ? *out : (a.bias != nullptr ? a.bias[column + c] : T{0});
      *out = before + opaque(a.alpha * sum(value));
    }
  }
}

/// Where rhs runs along the depth: dot products, of several tokens four columns at a time. They come from memory for
/// the first tokens and from the L2 cache for the others. (Shorter pieces, for the L1 cache, are slower: the
/// hardware's prefetchers start anew with each.) Codes become floats in such pieces, once for all tokens.
template <class Storage, class T>
void stream_dot(const stream_args<Storage, T>& a) noexcept {
  using v = vec<T>;
  if (a.tokens == 1) {
    for (index_t column = a.column_begin; column < a.column_end; ++column) dot_line(a, column);
    return;
  }
  alignas(64) array_of<T, dot_columns * dot_tokens * v::lanes> sums;
  for (index_t column = a.column_begin; column < a.column_end; column += dot_columns) {
    const index_t columns = a.column_end - column < dot_columns ? a.column_end - column : index_t{dot_columns};
    const reader<source_of<Storage>, T> lines(a.rhs, column, 0);
    for (index_t token = 0; token < a.tokens; token += dot_tokens) {
      const index_t tokens = a.tokens - token < dot_tokens ? a.tokens - token : dot_tokens;
      const T* const left = a.left + token * a.left_stride;
      for (T& value : sums) value = T{0};
      if constexpr (std::is_same_v<source_of<Storage>, dense_source<Storage>>) {
        add_dots<reader<dense_source<Storage>, T>, T>({lines, left, a.left_stride, tokens, a.depth, sums}, columns);
      } else {
        constexpr index_t piece = 512, stride = piece + 16;
        alignas(64) array_of<T, dot_columns * stride> decoded;
        const reader<dense_source<T>, T> floats({decoded, stride}, 0, 0);
        for (index_t k = 0; k + v::lanes <= a.depth; k += piece) {
          const index_t depth = a.depth - k < piece ? (a.depth - k) / v::lanes * v::lanes : piece;
          lines.decode(0, k, columns, depth, decoded, stride);
          for (index_t at = 0; at < depth; at += lines.line_elements) {
            for (index_t c = 0; c < columns; ++c) lines.fetch(c + dot_columns, k + at);
          }
          add_dots<reader<dense_source<T>, T>, T>({floats, left + k, a.left_stride, tokens, depth, sums}, columns);
        }
      }
      finish_dots(a, column, columns, token, tokens, sums);
    }
  }
}

/// Rows of rhs and tokens that are done together.
inline constexpr int axpy_depth = 8, axpy_most_tokens = 4;

/// Some rows of rhs and some columns, from where `rhs` reads on, what they are added to, and what is fetched meanwhile:
/// so many lines and elements further, if any.
template <class Reader, class T>
struct axpy_rows {
  const Reader& rhs;
  const T* left;  ///< of the first row
  index_t left_stride;
  T alpha;
  T* out;
  index_t out_stride;
  index_t tokens, columns;
  index_t fetched_lines, fetched_elements;
};

/// out[t, n] = bias or 0, where it is not added to.
template <class Storage, class T>
SBORA_FORCE_INLINE void clear_out(const stream_args<Storage, T>& a) noexcept {
  if (a.accumulate) return;
  for (index_t t = 0; t < a.tokens; ++t) {
    T* const out = a.out + t * a.out_stride;
    for (index_t n = a.column_begin; n < a.column_end; ++n) out[n] = a.bias != nullptr ? a.bias[n] : T{0};
  }
}

/// out[t, n] += Σ_i left[t, i]·rhs[i, n] for Tokens tokens and axpy_depth values of i, in whole vectors. All sums of a
/// vector of columns are loaded before any is stored: rows a power of two apart would wait for each other. (Zen 5, 16
/// tokens: 1.4 times.)
template <int Tokens, class Reader, class T>
SBORA_FORCE_INLINE void axpy_tile(const axpy_rows<Reader, T>& rows, index_t t) noexcept {
  using v = vec<T>;
  array_of<array_of<T, axpy_depth>, Tokens> x;
  for (int i = 0; i < Tokens; ++i) {
    for (int d = 0; d < axpy_depth; ++d) x[i][d] = rows.alpha * rows.left[(t + i) * rows.left_stride + d];
  }
  const bool fetches = v::lanes > 1 && t == 0 && rows.fetched_lines > 0;
  T* const out = rows.out + t * rows.out_stride;
  for (index_t n = 0; n + v::lanes <= rows.columns; n += v::lanes) {
    array_of<v, axpy_depth> w;
    SBORA_UNROLL
    for (int d = 0; d < axpy_depth; ++d) w[d] = rows.rhs.load(d, n);
    if (fetches) {
      SBORA_UNROLL
      for (int d = 0; d < axpy_depth; ++d) rows.rhs.fetch(d + rows.fetched_lines, n);
    }
    array_of<v, Tokens> sum;
    SBORA_UNROLL
    for (int i = 0; i < Tokens; ++i) sum[i] = v::load(out + i * rows.out_stride + n);
    SBORA_UNROLL
    for (int d = 0; d < axpy_depth; ++d) {
      SBORA_UNROLL
      for (int i = 0; i < Tokens; ++i) sum[i] = multiply_add(v::set1(x[i][d]), w[d], sum[i]);
    }
    SBORA_UNROLL
    for (int i = 0; i < Tokens; ++i) v::store(out + i * rows.out_stride + n, sum[i]);
  }
}

/// The tokens from `token` on, Tokens at a time, and what is left with fewer.
template <int Tokens, class Reader, class T>
SBORA_FORCE_INLINE void axpy_tiles(const axpy_rows<Reader, T>& rows, index_t token) noexcept {
  for (; token + Tokens <= rows.tokens; token += Tokens) axpy_tile<Tokens>(rows, token);
  if constexpr (Tokens > 1) axpy_tiles<Tokens / 2>(rows, token);
}

/// The same of one row for all tokens.
template <class Reader, class T>
SBORA_FORCE_INLINE void axpy_row(const axpy_rows<Reader, T>& rows) noexcept {
  using v = vec<T>;
  for (index_t t = 0; t < rows.tokens; ++t) {
    const v x = v::set1(rows.alpha * rows.left[t * rows.left_stride]);
    const bool fetches = v::lanes > 1 && t == 0 && rows.fetched_lines + rows.fetched_elements > 0;
    T* const out = rows.out + t * rows.out_stride;
    for (index_t n = 0; n + v::lanes <= rows.columns; n += v::lanes) {
      if (fetches) rows.rhs.fetch(rows.fetched_lines, n + rows.fetched_elements);
      v::store(out + n, multiply_add(x, rows.rhs.load(0, n), v::load(out + n)));
    }
  }
}

/// The same of `depth` rows for the last columns, which fill no vector.
template <class Reader, class T>
SBORA_NO_INLINE void axpy_rest(const axpy_rows<Reader, T>& rows, index_t depth) noexcept {
  using v = vec<T>;
  const index_t rest = rows.columns % v::lanes, n = rows.columns - rest;
  for (index_t t = 0; t < rows.tokens; ++t) {
    T* const out = rows.out + t * rows.out_stride + n;
    v sum = v::load_n(out, rest);
    for (index_t d = 0; d < depth; ++d) {
      const v x = v::set1(rows.alpha * rows.left[t * rows.left_stride + d]);
      sum = multiply_add(x, rows.rhs.load_n(d, n, rest), sum);
    }
    v::store_n(out, sum, rest);
  }
}

/// `depth` rows, axpy_depth or one.
template <class Reader, class T>
SBORA_NO_INLINE void axpy(const axpy_rows<Reader, T>& rows, index_t depth) noexcept {
  if (depth == axpy_depth) axpy_tiles<axpy_most_tokens>(rows, 0);
  else axpy_row(rows);
  if (rows.columns % vec<T>::lanes != 0) axpy_rest(rows, depth);
}

/// `depth` rows of rhs from k on, axpy_depth or one, all columns of the call.
template <class Storage, class T>
SBORA_FORCE_INLINE void axpy_add(const stream_args<Storage, T>& a, index_t k, index_t depth, index_t fetched_lines,
                                 index_t fetched_elements) noexcept {
  const reader<source_of<Storage>, T> rhs(a.rhs, k, a.column_begin);
  const index_t columns = a.column_end - a.column_begin;
  T* const out = a.out + a.column_begin;
  if constexpr (std::is_same_v<source_of<Storage>, dense_source<Storage>>) {
    axpy<reader<dense_source<Storage>, T>, T>({rhs, a.left + k, a.left_stride, a.alpha, out, a.out_stride, a.tokens,
                                               columns, fetched_lines, fetched_elements},
                                              depth);
  } else {  // codes become floats once for all tokens
    constexpr index_t piece = 512;
    alignas(64) array_of<T, axpy_depth * piece> decoded;
    const reader<dense_source<T>, T> floats(dense_source<T>{decoded, piece}, 0, 0);
    for (index_t n = 0; n < columns; n += piece) {
      const index_t here = columns - n < piece ? columns - n : piece;
      rhs.decode(0, n, depth, here, decoded, piece);
      axpy<reader<dense_source<T>, T>, T>(
          {floats, a.left + k, a.left_stride, a.alpha, out + n, a.out_stride, a.tokens, here, 0, 0}, depth);
    }
  }
}

/// Whether lines follow each other without gaps within the call's columns.
template <class Storage, class T>
SBORA_FORCE_INLINE bool is_one_run(const stream_args<Storage, T>& a) noexcept {
  if constexpr (std::is_same_v<source_of<Storage>, dense_source<Storage>>) {
    return a.column_end - a.column_begin == a.rhs.stride;
  } else {
    return false;
  }
}

/// Where rhs runs along the columns: some rows of it at a time are added up into out, in the order of the depth. The
/// next rows are fetched: the hardware's prefetchers start anew with each. One row at a time, where all of them are one
/// run, is what memory likes best, until adding to out takes longer. (Zen 5, 4096 x 4096, reading 40 GB/s: f32 41 GB/s
/// for one token, 27 by eight rows; bf16 38, 30 by eight rows, 25 and 33 for two tokens; by eight rows for eight tokens
/// 19 in both.)
template <class Storage, class T>
void stream_axpy(const stream_args<Storage, T>& a) noexcept {
  clear_out(a);
  index_t k = 0;
  if (a.tokens <= (std::is_same_v<Storage, T> ? 2 : 1) && is_one_run(a)) {
    constexpr index_t ahead = 8192 / static_cast<index_t>(sizeof(Storage));
    for (; k < a.depth; ++k) axpy_add(a, k, 1, 0, ahead);
    return;
  }
  for (; k + axpy_depth <= a.depth; k += axpy_depth) axpy_add(a, k, axpy_depth, axpy_depth, 0);
  for (; k < a.depth; ++k) axpy_add(a, k, 1, 1, 0);
}

template <class Storage, class T>
void stream(const stream_args<Storage, T>& a) noexcept {
  if (a.depth_along_lines) stream_dot(a);
  else stream_axpy(a);
}
