// Included once per level, inside its namespace. No include guard, no includes.
//
// One token against lines that run along the depth: the time is that of reading them.

/// Lines in turn. (Granite Rapids, of the time of six: four 1.04; eight 0.99, but of lines a power of two apart they
/// fill all ways of an L1 cache of 32 KiB. Zen 3: four 1.0, eight 1.05, sixteen 1.4.)
inline constexpr index_t stream_lines = 6;

/// Fetches what comes in a line, or in the one that is done next after it, stream_lines further: conversions fill the
/// schedulers before enough cache lines are on their way.
class line_fetcher {
 public:
  /// `ahead`: elements.
  SBORA_FORCE_INLINE line_fetcher(index_t depth, index_t ahead) noexcept
      : depth_(depth), lines_(depth > 0 ? ahead / depth * stream_lines : 0), elements_(depth > 0 ? ahead % depth : 0) {}
  struct place {
    index_t line, at;
  };
  SBORA_FORCE_INLINE index_t depth() const noexcept { return depth_; }
  /// What comes when element k is multiplied.
  SBORA_FORCE_INLINE place coming(index_t line, index_t k) const noexcept {
    const bool later = k + elements_ >= depth_;  // than the end of that line
    return {line + lines_ + (later ? stream_lines : 0), k + elements_ - (later ? depth_ : 0)};
  }
  /// Its cache line.
  template <class Reader>
  SBORA_FORCE_INLINE void operator()(const Reader& rhs, index_t line, index_t k) const noexcept {
    const place its = coming(line, k);
    rhs.fetch(its.line, its.at);
  }

 private:
  index_t depth_, lines_, elements_;
};

/// Four vectors for each line, since one would wait for itself.
template <class T>
using line_sums = array_of<vec<T>, 4>;

/// sums += left[k]·line[k] for a step of k, of four vectors.
template <class Reader, class T>
SBORA_FORCE_INLINE void add_step(const Reader& rhs, index_t line, index_t k, const T* left,
                                 line_sums<T>& sums) noexcept {
  using v = vec<T>;
  SBORA_UNROLL
  for (int part = 0; part < 4; ++part) {
    sums[part] = multiply_add(v::load(left + part * v::lanes), rhs.load(line, k + part * v::lanes), sums[part]);
  }
}

/// The same for k in [from, to): steps, and what fills none; the last may fill no vector.
template <class Reader, class T>
SBORA_FORCE_INLINE void add_line(const Reader& rhs, index_t line, index_t from, index_t to, const T* left,
                                 line_sums<T>& sums) noexcept {
  using v = vec<T>;
  constexpr index_t step = 4 * v::lanes;
  index_t k = from;
  for (; k + step <= to; k += step, left += step) add_step(rhs, line, k, left, sums);
  for (; k < to; k += v::lanes, left += v::lanes) {
    const index_t here = to - k;
    if (here < v::lanes) sums[0] = multiply_add(v::load_n(left, here), rhs.load_n(line, k, here), sums[0]);
    else sums[0] = multiply_add(v::load(left), rhs.load(line, k), sums[0]);
  }
}

/// How lines are multiplied with the token: a piece of each in turn, at most Pieces::most elements, since hardware
/// prefetchers know of one stream in each page, and of several pages at a time. The sums of a line stay in registers.
template <class Pieces, class Storage, class T>
struct lines_in_pieces {
  using v = vec<T>;
  using source_reader = reader<source_of<Storage>, T>;
  static constexpr index_t step = 4 * v::lanes;

  /// How far ahead is fetched, in elements, where Pieces doesn't say.
  static index_t ahead() noexcept { return 0; }
  static SBORA_FORCE_INLINE const T* arranged(const T* left, index_t, T*) noexcept { return left; }
  static SBORA_FORCE_INLINE v in_order(v sums) noexcept { return sums; }

  static SBORA_FORCE_INLINE void add(const source_reader& rhs, index_t lines, index_t from, index_t to, const T* left,
                                     const line_fetcher& fetch, line_sums<T> (&kept)[stream_lines]) noexcept {
    for (index_t line = 0; line < lines; ++line) {
      line_sums<T> sums;
      SBORA_UNROLL
      for (int part = 0; part < 4; ++part) sums[part] = kept[line][part];
      Pieces::add_piece(rhs, line, from, to, left, fetch, sums);
      SBORA_UNROLL
      for (int part = 0; part < 4; ++part) kept[line][part] = sums[part];
    }
  }
};

/// Where they lie. (Granite Rapids, of a pass that only reads, at AVX2: f32 0.99, bf16 0.96, f16 0.97, line by line
/// and 8 KiB ahead 0.67, 0.69, 0.71. At AVX-512, milliseconds: f32 4.6 and 5.3, bf16 2.6 and 3.3. Zen 5, line by line:
/// 0.93 in f32, 0.98 in bf16; in turn not measured.)
template <class Storage, class T>
struct pieces_in_place : lines_in_pieces<pieces_in_place<Storage, T>, Storage, T> {
  using base = lines_in_pieces<pieces_in_place<Storage, T>, Storage, T>;
  using base::step;
  using typename base::source_reader;
  static constexpr index_t most = 128, cache_line = source_reader::cache_line_elements;

  static index_t ahead() noexcept { return ahead_of(2048); }
  static SBORA_FORCE_INLINE void add_piece(const source_reader& rhs, index_t line, index_t from, index_t to,
                                           const T* left, const line_fetcher& fetch, line_sums<T>& sums) noexcept {
    for (; from + step <= to; from += step, left += step) add_steps<step>(rhs, line, from, left, fetch, sums);
    add_line(rhs, line, from, to, left, sums);
  }

 protected:
  static constexpr index_t ahead_of(index_t bytes) noexcept { return bytes * cache_line / cache_line_cursor::bytes; }

  /// Count elements, whole steps, whose cache lines are fetched.
  template <index_t Count>
  static SBORA_FORCE_INLINE void add_steps(const source_reader& rhs, index_t line, index_t k, const T* left,
                                           const line_fetcher& fetch, line_sums<T>& sums) noexcept {
    if constexpr (vec<T>::lanes > 1) {
      SBORA_UNROLL
      for (index_t i = 0; i < Count; i += cache_line) fetch(rhs, line, k + i);
    }
    SBORA_UNROLL
    for (index_t i = 0; i < Count; i += step) add_step(rhs, line, k + i, left + i, sums);
  }
};

/// The same, but two cache lines of each in turn, at least a step: one loop over all lines, whose sums stay in the L1
/// cache. (Zen 3 reads pairs; best of runs, bf16 and f16 by one 0.93 and 0.92, by two 0.96 and 0.97.)
template <class Storage, class T>
struct steps_in_place : pieces_in_place<Storage, T> {
  using base = pieces_in_place<Storage, T>;
  using typename base::source_reader;
  static constexpr index_t most = index_t{1} << 20;
  static constexpr index_t count = 2 * base::cache_line > base::step ? 2 * base::cache_line : base::step;
  static_assert(count % base::step == 0);

  static index_t ahead() noexcept { return base::ahead_of(tuning().stream_ahead_bytes); }
  static SBORA_FORCE_INLINE void add(const source_reader& rhs, index_t lines, index_t from, index_t to, const T* left,
                                     const line_fetcher& fetch, line_sums<T> (&sums)[stream_lines]) noexcept {
    index_t k = from;
    for (; k + count <= to; k += count, left += count) {
      if (lines == stream_lines) {
        SBORA_UNROLL
        for (index_t line = 0; line < stream_lines; ++line)
          base::template add_steps<count>(rhs, line, k, left, fetch, sums[line]);
      } else {
        for (index_t line = 0; line < lines; ++line)
          base::template add_steps<count>(rhs, line, k, left, fetch, sums[line]);
      }
    }
    for (index_t line = 0; line < lines; ++line) add_line(rhs, line, k, to, left, sums[line]);
  }
};

template <class Storage, class T>
using lines_in_place = std::conditional_t<streams_steps, steps_in_place<Storage, T>, pieces_in_place<Storage, T>>;

/// As floats that were decoded before: scales of blocks are looked at once for each.
template <class Storage, class T>
struct pieces_decoded : lines_in_pieces<pieces_decoded<Storage, T>, Storage, T> {
  static constexpr index_t most = 512;

  static SBORA_FORCE_INLINE void add_piece(const reader<source_of<Storage>, T>& rhs, index_t line, index_t from,
                                           index_t to, const T* left, const line_fetcher&,
                                           line_sums<T>& sums) noexcept {
    alignas(64) array_of<T, most> floats;
    rhs.decode(line, from, 1, to - from, floats, most);
    add_line(reader<dense_source<T>, T>({floats, most}, 0, 0), 0, 0, to - from, left, sums);
  }
};

/// Of 4-bit codes four vectors at a time, from registers, in the order in which that is least work: the token is put
/// into it, 16 KiB of it at a time. (512 elements: 0.9 of the speed. Zen 3, 4096 wide: again for each six lines 0.84.)
struct pieces_of_fours : lines_in_pieces<pieces_of_fours, four_bit, float> {
  static constexpr index_t most = 4096;

  static SBORA_FORCE_INLINE const float* arranged(const float* left, index_t count, float* room) noexcept {
    for (index_t k = 0; k < count; k += v::lanes) v::store(room + k, lanes_apart(v::load(left + k)));
    return room;
  }
  static SBORA_FORCE_INLINE v in_order(v sums) noexcept { return lanes_together(sums); }
  static SBORA_FORCE_INLINE void add_piece(const source_reader& rhs, index_t line, index_t from, index_t to,
                                           const float* left, const line_fetcher&, line_sums<float>& sums) noexcept {
    rhs.add_fours(line, from, to - from, left, sums);
  }
};

/// out[0, column + i] (+)= Σ_k left[0, k]·rhs[k, column + i] for the only token and `lines` columns, at most
/// stream_lines. One element's sum doesn't depend on the pieces. `arranged`: the whole token, where it is one piece.
template <class Lines, class Storage, class T>
SBORA_FORCE_INLINE void dot_lines(const stream_args<Storage, T>& a, index_t column, index_t lines,
                                  const line_fetcher& fetch, const T* arranged, T* room) noexcept {
  using v = vec<T>;
  const typename Lines::source_reader rhs(a.rhs, column, 0);
  line_sums<T> sums[stream_lines];
  for (line_sums<T>& of_line : sums) {
    for (v& part : of_line) part = v::zero();
  }
  for (index_t from = 0; from < a.depth; from += Lines::most) {
    const index_t to = a.depth - from < Lines::most ? a.depth : from + Lines::most;
    const T* const left = arranged != nullptr ? arranged : Lines::arranged(a.left + from, to - from, room);
    Lines::add(rhs, lines, from, to, left, fetch, sums);
  }
  for (index_t line = 0; line < lines; ++line) {
    const line_sums<T>& s = sums[line];
    T* const out = a.out + column + line;
    const T before = a.accumulate ? *out : (a.bias != nullptr ? a.bias[column + line] : T{0});
    *out = before + opaque(a.alpha * sum(Lines::in_order((s[0] + s[1]) + (s[2] + s[3]))));
  }
}

template <class Lines, class Storage, class T>
SBORA_NO_INLINE void dot_all_lines(const stream_args<Storage, T>& a) noexcept {
  const line_fetcher fetch(a.depth, Lines::ahead());
  alignas(64) array_of<T, pieces_of_fours::most> room;
  const T* const arranged = a.depth <= Lines::most ? Lines::arranged(a.left, a.depth, room) : nullptr;
  for (index_t column = a.column_begin; column < a.column_end; column += stream_lines) {
    const index_t left = a.column_end - column;
    dot_lines<Lines>(a, column, left < stream_lines ? left : index_t{stream_lines}, fetch, arranged, room);
  }
}
