// Included once per level, inside its namespace. No include guard, no includes.
//
// Few tokens against lines that run across the depth: rows of the right operand are added up into out.

/// Tokens that are done together.
inline constexpr int axpy_most_tokens = 4;
/// How far ahead in each of the rows it is fetched. (Granite Rapids, 4096 x 4096, one token, milliseconds: f32 4.3 at
/// both levels, bf16 2.3; the next eight rows instead 4.5 and 2.4; one row at a time 6.3 and 3.4. Zen 5 was fastest by
/// one row, 41 GB/s where reading is 40, with the next eight 27; this not measured.)
inline constexpr index_t axpy_ahead_bytes = 1024;

/// A block of rhs that begins where `rhs` reads, and what it is added to. `fetched`: its rows are prefetched,
/// axpy_ahead_bytes ahead; at the end of a row, the beginnings of the next rows.
template <class Reader, class T>
struct axpy_rows {
  const Reader& rhs;
  const T* left;  ///< of the first row
  index_t left_stride;
  T alpha;
  T* out;
  index_t out_stride;
  index_t tokens, columns;
  bool fetched;
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
  const bool fetches = v::lanes > 1 && t == 0 && rows.fetched;
  constexpr index_t ahead = axpy_ahead_bytes * Reader::cache_line_elements / cache_line_cursor::bytes;
  T* const out = rows.out + t * rows.out_stride;
  constexpr index_t line = Reader::cache_line_elements > v::lanes ? Reader::cache_line_elements : index_t{v::lanes};
  for (index_t n = 0; n + v::lanes <= rows.columns;) {
    if (fetches) {
      const bool later = n + ahead >= rows.columns;  // than the end of these rows
      SBORA_UNROLL
      for (int d = 0; d < axpy_depth; ++d) {
        rows.rhs.fetch(d + (later ? axpy_depth : 0), n + ahead - (later ? rows.columns : 0));
      }
    }
    const index_t end = rows.columns - n < line ? rows.columns : n + line;
    for (; n + v::lanes <= end; n += v::lanes) {
      array_of<v, axpy_depth> w;
      SBORA_UNROLL
      for (int d = 0; d < axpy_depth; ++d) w[d] = rows.rhs.load(d, n);
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
}

/// The tokens from `token` on, Tokens at a time, and what is left with fewer.
template <int Tokens, class Reader, class T>
SBORA_FORCE_INLINE void axpy_tiles(const axpy_rows<Reader, T>& rows, index_t token) noexcept {
  for (; token + Tokens <= rows.tokens; token += Tokens) axpy_tile<Tokens>(rows, token);
  if constexpr (Tokens > 1) axpy_tiles<Tokens - 1>(rows, token);
}

/// The same of one row for all tokens.
template <class Reader, class T>
SBORA_FORCE_INLINE void axpy_row(const axpy_rows<Reader, T>& rows) noexcept {
  using v = vec<T>;
  for (index_t t = 0; t < rows.tokens; ++t) {
    const v x = v::set1(rows.alpha * rows.left[t * rows.left_stride]);
    T* const out = rows.out + t * rows.out_stride;
    for (index_t n = 0; n + v::lanes <= rows.columns; n += v::lanes) {
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
SBORA_FORCE_INLINE void axpy_add(const stream_args<Storage, T>& a, index_t k, index_t depth) noexcept {
  const reader<source_of<Storage>, T> rhs(a.rhs, k, a.column_begin);
  const index_t columns = a.column_end - a.column_begin;
  T* const out = a.out + a.column_begin;
  if constexpr (streams_in_place<Storage, T>) {
    axpy<reader<dense_source<Storage>, T>, T>(
        {rhs, a.left + k, a.left_stride, a.alpha, out, a.out_stride, a.tokens, columns, true}, depth);
  } else {  // becomes T once for all tokens
    constexpr index_t piece = 512;
    alignas(64) array_of<T, axpy_depth * piece> decoded;
    const reader<dense_source<T>, T> floats(dense_source<T>{decoded, piece}, 0, 0);
    for (index_t n = 0; n < columns; n += piece) {
      const index_t here = columns - n < piece ? columns - n : piece;
      rhs.decode(0, n, depth, here, decoded, piece);
      axpy<reader<dense_source<T>, T>, T>(
          {floats, a.left + k, a.left_stride, a.alpha, out + n, a.out_stride, a.tokens, here, false}, depth);
    }
  }
}

/// Where rhs runs along the columns: some rows of it at a time are added up into out, in the order of the depth.
/// (Blocks of columns whose out stays in the L1 cache, Granite Rapids at AVX2, 6 to 16 tokens: of 512 columns 0.8 to
/// 0.9 of the speed, of 2048 0.93 to 1.)
template <class Storage, class T>
void stream_axpy(const stream_args<Storage, T>& a) noexcept {
  if constexpr (has_stream_panels) {
    if (a.tokens >= stream_panels_from<Storage, T> || a.cut > 0) return stream_panels(a);
  }
  clear_out(a);
  index_t k = 0;
  for (; k + axpy_depth <= a.depth; k += axpy_depth) axpy_add(a, k, axpy_depth);
  for (; k < a.depth; ++k) axpy_add(a, k, 1);
}
