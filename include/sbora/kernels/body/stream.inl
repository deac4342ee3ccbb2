// Included once per level, inside its namespace. No include guard, no includes.
//
// Products of few tokens: the right operand is read once, straight from where it lies, and the time is
// that of reading it. Nothing is packed.

/// Cache lines between what is multiplied and what is fetched: 8 KiB. (4 or 16 KiB: 0.96 of the speed.)
inline constexpr index_t stream_ahead_lines = 128;

/// out[0, column] (+)= Σ_k left[0, k]·rhs[k, column] for the only token: lines one after the other, as they lie in
/// memory. Four vectors of sums, since one would wait for itself. What has to be converted is fetched some way ahead: its
/// operations fill the schedulers before enough lines are on their way. (Zen 5, of the bandwidth of a pass that only
/// reads: f32 0.93, fetched 0.88; bf16 0.98, not fetched 0.90; four columns at a time 0.82 and 0.70.)
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

/// out[t, c] (+)= Σ_k left[t, k]·rhs[k, c] for Columns columns and Tokens tokens, over the whole depth. Fetches the four
/// columns after these: the hardware's prefetchers start anew with each. (Zen 5, eight tokens: bf16 2.5 to 1.85 ms.)
template <int Columns, int Tokens, class Storage, class T>
SBORA_FORCE_INLINE void dot_tile(const stream_args<Storage, T>& a, index_t column, index_t token) noexcept {
  using v = vec<T>;
  const reader<source_of<Storage>, T> rhs(a.rhs, column, 0);
  const T* const left = a.left + token * a.left_stride;
  array_of<array_of<v, Tokens>, Columns> total;
  SBORA_UNROLL
  for (int c = 0; c < Columns; ++c) {
    SBORA_UNROLL
    for (int t = 0; t < Tokens; ++t) total[c][t] = v::zero();
  }
  index_t k = 0;
  for (; k + v::lanes <= a.depth; k += v::lanes) {
    array_of<v, Tokens> x;
    SBORA_UNROLL
    for (int t = 0; t < Tokens; ++t) x[t] = v::load(left + t * a.left_stride + k);
    SBORA_UNROLL
    for (int c = 0; c < Columns; ++c) {
      const v w = rhs.load(c, k);
      rhs.fetch(c + 4, k);
      SBORA_UNROLL
      for (int t = 0; t < Tokens; ++t) total[c][t] = multiply_add(x[t], w, total[c][t]);
    }
  }
  if (const index_t rest = a.depth - k; rest > 0) {
    SBORA_UNROLL
    for (int c = 0; c < Columns; ++c) {
      const v w = rhs.load_n(c, k, rest);
      SBORA_UNROLL
      for (int t = 0; t < Tokens; ++t) {
        total[c][t] = multiply_add(v::load_n(left + t * a.left_stride + k, rest), w, total[c][t]);
      }
    }
  }
  SBORA_UNROLL
  for (int t = 0; t < Tokens; ++t) {
    T* const out = a.out + (token + t) * a.out_stride + column;
    SBORA_UNROLL
    for (int c = 0; c < Columns; ++c) {
      const T before = a.accumulate ? out[c] : (a.bias != nullptr ? a.bias[column + c] : T{0});
      out[c] = before + opaque(a.alpha * sum(total[c][t]));
    }
  }
}

/// The tokens from `token` on, Tokens at a time, and what is left with fewer.
template <int Columns, int Tokens, class Storage, class T>
SBORA_FORCE_INLINE void dot_tokens(const stream_args<Storage, T>& a, index_t column, index_t token) noexcept {
  for (; token + Tokens <= a.tokens; token += Tokens) dot_tile<Columns, Tokens>(a, column, token);
  if constexpr (Tokens > 1) dot_tokens<Columns, Tokens - 1>(a, column, token);
}

/// Where rhs runs along the depth: dot products, of several tokens four columns at a time. They come from memory for the
/// first tokens and from the L2 cache for the others. (Shorter pieces, for the L1 cache, are slower: the
/// hardware's prefetchers start anew with each.)
template <class Storage, class T>
void stream_dot(const stream_args<Storage, T>& a) noexcept {
  index_t column = a.column_begin;
  if (a.tokens == 1) {
    for (; column < a.column_end; ++column) dot_line(a, column);
    return;
  }
  for (; column + 4 <= a.column_end; column += 4) dot_tokens<4, stream_tile_tokens>(a, column, 0);
  for (; column < a.column_end; ++column) dot_tokens<1, 1>(a, column, 0);
}

/// Rows of rhs and tokens that are done together.
inline constexpr int axpy_depth = 8, axpy_most_tokens = 4;

/// Some rows of rhs and some columns, from where `rhs` reads on, and what is fetched meanwhile: so many lines and elements
/// further, if any.
template <class Reader>
struct axpy_rows {
  const Reader& rhs;
  index_t k, column, columns;
  index_t fetched_lines, fetched_elements;
};

/// out[t, n] (+)= Σ_i left[t, k + i]·rhs[k + i, n] for Tokens tokens and Depth values of k. All sums of a vector of columns
/// are loaded before any is stored: rows a power of two apart would wait for each other. (Zen 5, 16 tokens: 1.4 times.)
template <int Depth, int Tokens, class Reader, class Storage, class T>
SBORA_FORCE_INLINE void axpy_tile(const stream_args<Storage, T>& a, const axpy_rows<Reader>& rows, index_t t) noexcept {
  using v = vec<T>;
  array_of<array_of<T, Depth>, Tokens> x;
  for (int i = 0; i < Tokens; ++i) {
    for (int d = 0; d < Depth; ++d) x[i][d] = a.alpha * a.left[(t + i) * a.left_stride + rows.k + d];
  }
  const bool fetches = v::lanes > 1 && t == 0 && rows.fetched_lines + rows.fetched_elements > 0;
  T* const out = a.out + t * a.out_stride + rows.column;
  const T* const bias = a.bias != nullptr ? a.bias + rows.column : nullptr;
  for (index_t n = 0; n < rows.columns; n += v::lanes) {
    const index_t left = rows.columns - n;
    const bool whole = left >= v::lanes;
    array_of<v, Depth> w;
    SBORA_UNROLL
    for (int d = 0; d < Depth; ++d) {
      w[d] = whole ? rows.rhs.load(d, n) : rows.rhs.load_n(d, n, left);
      if (fetches) rows.rhs.fetch(d + rows.fetched_lines, n + rows.fetched_elements);
    }
    array_of<v, Tokens> sum;
    SBORA_UNROLL
    for (int i = 0; i < Tokens; ++i) {
      const T* const from = out + i * a.out_stride + n;
      if (rows.k > 0 || a.accumulate) sum[i] = whole ? v::load(from) : v::load_n(from, left);
      else if (bias != nullptr) sum[i] = whole ? v::load(bias + n) : v::load_n(bias + n, left);
      else sum[i] = v::zero();
    }
    SBORA_UNROLL
    for (int d = 0; d < Depth; ++d) {
      SBORA_UNROLL
      for (int i = 0; i < Tokens; ++i) sum[i] = multiply_add(v::set1(x[i][d]), w[d], sum[i]);
    }
    SBORA_UNROLL
    for (int i = 0; i < Tokens; ++i) {
      if (whole) v::store(out + i * a.out_stride + n, sum[i]);
      else v::store_n(out + i * a.out_stride + n, sum[i], left);
    }
  }
}

/// The tokens from `token` on, Tokens at a time, and what is left with fewer.
template <int Depth, int Tokens, class Reader, class Storage, class T>
SBORA_FORCE_INLINE void axpy_tokens(const stream_args<Storage, T>& a, const axpy_rows<Reader>& rows,
                                    index_t token) noexcept {
  for (; token + Tokens <= a.tokens; token += Tokens) axpy_tile<Depth, Tokens>(a, rows, token);
  if constexpr (Tokens > 1) axpy_tokens<Depth, Tokens / 2>(a, rows, token);
}

/// Rows [k, k + Depth) of rhs, all columns of the call.
template <int Depth, class Storage, class T>
SBORA_FORCE_INLINE void axpy_add(const stream_args<Storage, T>& a, index_t k, index_t fetched_lines,
                                 index_t fetched_elements) noexcept {
  using source_reader = reader<source_of<Storage>, T>;
  if constexpr (std::is_same_v<source_of<Storage>, dense_source<Storage>>) {
    const source_reader rhs(a.rhs, k, a.column_begin);
    const axpy_rows<source_reader> rows = {
        rhs, k, a.column_begin, a.column_end - a.column_begin, fetched_lines, fetched_elements};
    axpy_tokens<Depth, axpy_most_tokens>(a, rows, 0);
  } else {  // codes become floats once for all tokens
    constexpr index_t piece = 512;
    alignas(64) array_of<T, Depth * piece> decoded;
    const reader<dense_source<T>, T> rhs(dense_source<T>{decoded, piece}, 0, 0);
    for (index_t begin = a.column_begin; begin < a.column_end; begin += piece) {
      const index_t columns = a.column_end - begin < piece ? a.column_end - begin : piece;
      const source_reader from(a.rhs, k, begin);
      for (index_t d = 0; d < Depth; ++d) from.decode(d, 0, columns, decoded + d * piece);
      const axpy_rows<reader<dense_source<T>, T>> rows = {rhs, k, begin, columns, 0, 0};
      axpy_tokens<Depth, axpy_most_tokens>(a, rows, 0);
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

/// Where rhs runs along the columns: some rows of it at a time are added up into out, in the order of the depth. The next
/// rows are fetched: the hardware's prefetchers start anew with each. One row at a time, where all of them are one run,
/// is what memory likes best, until adding to out takes longer. (Zen 5, 4096 x 4096, reading 40 GB/s: f32 41 GB/s for one
/// token, 27 by eight rows; bf16 38, 30 by eight rows, 25 and 33 for two tokens; by eight rows for eight tokens 19 in both.)
template <class Storage, class T>
void stream_axpy(const stream_args<Storage, T>& a) noexcept {
  index_t k = 0;
  if (a.tokens <= (std::is_same_v<Storage, T> ? 2 : 1) && is_one_run(a)) {
    constexpr index_t ahead = 8192 / static_cast<index_t>(sizeof(Storage));
    for (; k < a.depth; ++k) axpy_add<1>(a, k, 0, ahead);
    return;
  }
  for (; k + axpy_depth <= a.depth; k += axpy_depth) axpy_add<axpy_depth>(a, k, axpy_depth, 0);
  for (; k < a.depth; ++k) axpy_add<1>(a, k, 1, 0);
}

template <class Storage, class T>
void stream(const stream_args<Storage, T>& a) noexcept {
  if (a.depth_along_lines) stream_dot(a);
  else stream_axpy(a);
}
