// Included once per level, inside its namespace. No include guard, no includes.
//
// One token against lines that run along the depth: the time is that of reading them.

/// How one token goes through lines: so many in turn, so many elements of each, and how far ahead in each it fetches.
/// (Granite Rapids, 4096 wide, of a pass that only reads, at AVX2: f32 0.99, bf16 0.96, f16 0.97, line by line and 8
/// KiB ahead 0.67, 0.69, 0.71; four lines 0.95, 0.92, 0.92. At AVX-512, milliseconds: f32 4.6 and 5.3, bf16 2.6 and
/// 3.3. Eight lines gain 0.01 more, but of lines a power of two apart they fill all ways of an L1 cache of 32 KiB.
/// Zen 5, line by line: 0.93 in f32, 0.98 in bf16; in turn not measured.)
inline constexpr index_t stream_lines = 6, stream_piece = 128, stream_ahead_bytes = 2048;

/// sums += left[k]·line[k] for k in [from, to), the last of which may fill no vector: four vectors, since one would
/// wait for itself. Where it Fetches, what comes is fetched stream_ahead_bytes ahead in its own line, or in the one
/// that is done next after it, stream_lines further: conversions fill the schedulers before enough cache lines are on
/// their way.
template <bool Fetches, class Reader, class T>
SBORA_FORCE_INLINE void add_line(const Reader& rhs, index_t line, index_t depth, index_t from, index_t to,
                                 const T* left, vec<T> (&sums)[4]) noexcept {
  using v = vec<T>;
  constexpr index_t step = 4 * v::lanes;
  constexpr index_t ahead = stream_ahead_bytes * Reader::cache_line_elements / cache_line_cursor::bytes;
  const index_t coming_lines = ahead / depth * stream_lines, coming = ahead % depth;
  index_t k = from;
  for (; k + step <= to; k += step, left += step) {
    if constexpr (Fetches) {
      const bool later = k + coming >= depth;  // than the end of that line
      SBORA_UNROLL
      for (index_t i = 0; i < step; i += Reader::cache_line_elements) {
        rhs.fetch(line + coming_lines + (later ? stream_lines : 0), k + i + coming - (later ? depth : 0));
      }
    }
    SBORA_UNROLL
    for (int part = 0; part < 4; ++part) {
      sums[part] = multiply_add(v::load(left + part * v::lanes), rhs.load(line, k + part * v::lanes), sums[part]);
    }
  }
  for (; k < to; k += v::lanes, left += v::lanes) {
    const index_t here = to - k;
    if (here < v::lanes) sums[0] = multiply_add(v::load_n(left, here), rhs.load_n(line, k, here), sums[0]);
    else sums[0] = multiply_add(v::load(left), rhs.load(line, k), sums[0]);
  }
}

/// How a piece of a line is multiplied with the token's: where it lies.
template <class Storage, class T>
struct piece_in_place {
  using v = vec<T>;
  using source_reader = reader<source_of<Storage>, T>;
  static constexpr index_t elements = stream_piece;
  static_assert(elements % (4 * v::lanes) == 0);

  static SBORA_FORCE_INLINE const T* arranged(const T* left, index_t, T*) noexcept { return left; }
  static SBORA_FORCE_INLINE v in_order(v sums) noexcept { return sums; }
  static SBORA_FORCE_INLINE void add(const source_reader& rhs, index_t line, index_t depth, index_t from, index_t to,
                                     const T* left, v (&sums)[4]) noexcept {
    add_line<(v::lanes > 1)>(rhs, line, depth, from, to, left, sums);
  }
};

/// As floats that were decoded before: scales of blocks are looked at once for each.
template <class Storage, class T>
struct piece_decoded : piece_in_place<Storage, T> {
  using typename piece_in_place<Storage, T>::v;
  using typename piece_in_place<Storage, T>::source_reader;
  static constexpr index_t elements = 512;

  static SBORA_FORCE_INLINE void add(const source_reader& rhs, index_t line, index_t, index_t from, index_t to,
                                     const T* left, v (&sums)[4]) noexcept {
    alignas(64) array_of<T, elements> floats;
    rhs.decode(line, from, 1, to - from, floats, elements);
    add_line<false>(reader<dense_source<T>, T>({floats, elements}, 0, 0), 0, elements, 0, to - from, left, sums);
  }
};

/// Of 4-bit codes four vectors at a time, from registers, in the order in which that is least work: the token is put
/// into it, 16 KiB of it at a time. (512 elements: 0.9 of the speed.)
struct piece_of_fours {
  using v = vec<float>;
  using source_reader = reader<four_bit_source, float>;
  static constexpr index_t elements = 4096;

  static SBORA_FORCE_INLINE const float* arranged(const float* left, index_t count, float* room) noexcept {
    for (index_t k = 0; k < count; k += v::lanes) v::store(room + k, lanes_apart(v::load(left + k)));
    return room;
  }
  static SBORA_FORCE_INLINE v in_order(v sums) noexcept { return lanes_together(sums); }
  static SBORA_FORCE_INLINE void add(const source_reader& rhs, index_t line, index_t, index_t from, index_t to,
                                     const float* left, v (&sums)[4]) noexcept {
    rhs.add_fours(line, from, to - from, left, sums);
  }
};

/// out[0, column + i] (+)= Σ_k left[0, k]·rhs[k, column + i] for the only token and `lines` columns, at most
/// stream_lines: a piece of each line in turn, since hardware prefetchers know of one stream in each page, and of
/// several pages at a time. One element's sum doesn't depend on the pieces.
template <class Piece, class Storage, class T>
SBORA_FORCE_INLINE void dot_lines(const stream_args<Storage, T>& a, index_t column, index_t lines) noexcept {
  using v = vec<T>;
  constexpr index_t step = 4 * v::lanes;
  const typename Piece::source_reader rhs(a.rhs, column, 0);
  alignas(64) array_of<T, stream_lines * step> kept;
  alignas(64) array_of<T, piece_of_fours::elements> room;
  for (T& value : kept) value = T{0};
  for (index_t from = 0; from < a.depth; from += Piece::elements) {
    const index_t to = a.depth - from < Piece::elements ? a.depth : from + Piece::elements;
    const T* const left = Piece::arranged(a.left + from, to - from, room);
    for (index_t line = 0; line < lines; ++line) {
      T* const line_sums = kept + line * step;
      v sums[4];
      SBORA_UNROLL
      for (int part = 0; part < 4; ++part) sums[part] = v::load(line_sums + part * v::lanes);
      Piece::add(rhs, line, a.depth, from, to, left, sums);
      SBORA_UNROLL
      for (int part = 0; part < 4; ++part) v::store(line_sums + part * v::lanes, sums[part]);
    }
  }
  for (index_t line = 0; line < lines; ++line) {
    const T* const s = kept + line * step;
    T* const out = a.out + column + line;
    const T before = a.accumulate ? *out : (a.bias != nullptr ? a.bias[column + line] : T{0});
    const v total = (v::load(s) + v::load(s + v::lanes)) + (v::load(s + 2 * v::lanes) + v::load(s + 3 * v::lanes));
    *out = before + opaque(a.alpha * sum(Piece::in_order(total)));
  }
}

template <class Piece, class Storage, class T>
SBORA_NO_INLINE void dot_all_lines(const stream_args<Storage, T>& a) noexcept {
  for (index_t column = a.column_begin; column < a.column_end; column += stream_lines) {
    const index_t left = a.column_end - column;
    dot_lines<Piece>(a, column, left < stream_lines ? left : index_t{stream_lines});
  }
}
