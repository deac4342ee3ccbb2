// Included once per level, inside its namespace. No include guard, no includes.
//
// Products of few tokens: the right operand is read once, straight from where it lies, and the time is
// that of reading it. Nothing is packed.

/// Tokens whose sums are kept beside each other, and columns.
inline constexpr index_t dot_tokens = 16;
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
  index_t coming_lines, coming_elements;  ///< how much further that lies which is multiplied next
};

/// Columns lines from `column` on and Tokens tokens from `token` on. What comes next is fetched.
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
      b.lines.fetch(column + c + b.coming_lines, k + b.coming_elements);
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

/// Where rhs runs along the depth: dot products, of several tokens four columns at a time, in pieces that stay in the
/// L1 cache for all tokens; codes become floats in them. The next piece of these lines is fetched meanwhile. (Granite
/// Rapids, 4096 x 4096, milliseconds for 4 and 8 tokens, at AVX2: f32 4.4 and 5.3, bf16 2.7 and 3.8; whole lines, the
/// next four fetched, 5.7 and 7.1, 3.2 and 4.7. At AVX-512 f32 4.8 and 5.5; 5.1 and 7.)
template <class Storage, class T>
void stream_dot(const stream_args<Storage, T>& a) noexcept {
  using v = vec<T>;
  if (a.tokens == 1) {
    if constexpr (std::is_same_v<Storage, T>) {
      if (a.depth <= stream_short_depth) return stream_short(a);
    }
    return stream_one(a);
  }
  constexpr index_t piece = 512;
  alignas(64) array_of<T, dot_columns * dot_tokens * v::lanes> sums;
  for (index_t column = a.column_begin; column < a.column_end; column += dot_columns) {
    const index_t columns = a.column_end - column < dot_columns ? a.column_end - column : index_t{dot_columns};
    for (index_t token = 0; token < a.tokens; token += dot_tokens) {
      const index_t tokens = a.tokens - token < dot_tokens ? a.tokens - token : dot_tokens;
      const T* const left = a.left + token * a.left_stride;
      for (T& value : sums) value = T{0};
      for (index_t k = 0; k + v::lanes <= a.depth; k += piece) {
        const index_t depth = a.depth - k < piece ? (a.depth - k) / v::lanes * v::lanes : piece;
        const reader<source_of<Storage>, T> lines(a.rhs, column, k);
        const bool last = k + piece >= a.depth;
        const index_t coming_lines = last ? dot_columns : 0, coming_elements = last ? -k : piece;
        if constexpr (streams_in_place<Storage, T>) {
          add_dots<reader<dense_source<Storage>, T>, T>(
              {lines, left + k, a.left_stride, tokens, depth, sums, coming_lines, coming_elements}, columns);
        } else {
          constexpr index_t stride = piece + 16;
          alignas(64) array_of<T, dot_columns * stride> decoded;
          const reader<dense_source<T>, T> floats({decoded, stride}, 0, 0);
          lines.decode(0, 0, columns, depth, decoded, stride);
          for (index_t at = 0; at < piece; at += lines.cache_line_elements) {
            for (index_t c = 0; c < columns; ++c) lines.fetch(c + coming_lines, at + coming_elements);
          }
          add_dots<reader<dense_source<T>, T>, T>({floats, left + k, a.left_stride, tokens, depth, sums, 0, 0},
                                                  columns);
        }
      }
      finish_dots(a, column, columns, token, tokens, sums);
    }
  }
}

template <class Storage, class T>
void stream(const stream_args<Storage, T>& a) noexcept {
  if (a.depth_along_lines) stream_dot(a);
  else stream_axpy(a);
}
