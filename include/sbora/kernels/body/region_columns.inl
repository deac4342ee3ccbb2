// Included once per level, inside its namespace, after region.inl. No include guard, no includes.
//
// Columns of a row-major weight: r elements of every line, each in a cache line of its own that no
// hardware prefetcher foresees. Reading those lines is all the time. Of memcpy's bandwidth (Zen 3, f32,
// 64 of 4096 columns, nothing in cache), for saving and writing in one pass:
//   line by line 0.43; four lines together, column by column, 0.65; and fetching 12 columns ahead on
//   that path, 0.73. Two lines 0.48, eight 0.60; reading first and writing in a second sweep 0.68.
// Merely touching the lines reaches 0.74. (On another of these machines 0.59 and 0.53; only reading them takes 0.80 of
// the merge's time, so that writing for nothing would give 0.69: a line alone costs 2.1 to 2.4 times one beside others.
// Eight or six lines, 6 to 20 columns ahead, prefetchw and nta are no better.)

inline constexpr index_t region_lines = 4;
inline constexpr index_t region_prefetch = 12;

/// What is done to one element; returns false where it wrote something that isn't finite.
struct save_element {
  template <class Storage, class Other>
  static SBORA_FORCE_INLINE bool apply(Storage& element, Storage& saved, const Other*) noexcept {
    saved = element;
    return true;
  }
};
struct restore_element {
  template <class Storage, class Other>
  static SBORA_FORCE_INLINE bool apply(Storage& element, Storage& saved, const Other*) noexcept {
    element = saved;
    return true;
  }
};
struct write_element {
  template <class Storage>
  static SBORA_FORCE_INLINE bool apply(Storage& element, Storage&, const Storage* other) noexcept {
    element = *other;
    return true;
  }
};
struct save_and_add_element {
  template <class T>
  static SBORA_FORCE_INLINE bool apply(T& element, T& saved, const T* other) noexcept {
    const T old = element;
    const T sum = old + *other;
    saved = old;
    element = sum;
    return is_finite(sum);  // here: vector loads of what was just saved wait for 8 stores, 1.07 times
  }
};

/// Action::apply(element, its original, its place in `other`) for n columns from `begin` on of `Lines`
/// lines; did all return true? other: [Lines][region_chunk], or null.
template <class Action, index_t Lines, class Storage, class T, class Other>
SBORA_NO_INLINE bool sweep_columns(const region_args<Storage, T>& a, index_t line, index_t begin, index_t n,
                                   const Other* other) noexcept {
  bool finite = true;
  Storage* const row = a.weight + line * a.stride;
  Storage* const saved = a.originals + line * a.rank + begin;
  const index_t next_rows = line + 2 * Lines <= a.lines ? Lines * a.stride : 0;
  for (index_t i = 0; i < n; ++i) {
    index_t ahead = begin + i + region_prefetch;
    const Storage* rows = row;
    if (ahead >= a.rank) {
      ahead = ahead - a.rank < a.rank ? ahead - a.rank : 0;
      rows += next_rows;
    }
    for (index_t q = 0; q < Lines; ++q) __builtin_prefetch(rows + q * a.stride + a.index[ahead]);
    Storage* const element = row + a.index[begin + i];
    for (index_t q = 0; q < Lines; ++q) {
      finite &= Action::apply(element[q * a.stride], saved[q * a.rank + i],
                              other == nullptr ? nullptr : other + q * region_chunk + i);
    }
  }
  return finite;
}

/// round(scale·trained) of `lines` lines and n columns from `begin` on. out: [lines][region_chunk].
template <class Storage, class T>
SBORA_NO_INLINE void delta_block(const region_args<Storage, T>& a, index_t line, index_t lines, index_t begin,
                                 index_t n, T* out) noexcept {
  T buffer[region_chunk];
  for (index_t q = 0; q < lines; ++q) {
    const T* from = a.trained + (line + q) * a.trained_line_stride + begin * a.trained_index_stride;
    delta_run(trained_run(from, a.trained_index_stride, n, buffer), a.scale, n, out + q * region_chunk);
  }
}

/// originals + delta of the same block, in the weight's storage; is all of it finite?
template <class Storage, class T>
SBORA_NO_INLINE bool add_block(const region_args<Storage, T>& a, index_t line, index_t lines, index_t begin, index_t n,
                               const T* delta, Storage* out) noexcept {
  bool finite = true;
  for (index_t q = 0; q < lines; ++q) {
    finite &= add_run(a.originals + (line + q) * a.rank + begin, delta + q * region_chunk, n, out + q * region_chunk);
  }
  return finite;
}

struct save_block {
  template <index_t Lines, class Storage, class T>
  static SBORA_FORCE_INLINE bool apply(const region_args<Storage, T>& a, index_t line, index_t begin,
                                       index_t n) noexcept {
    return sweep_columns<save_element, Lines>(a, line, begin, n, static_cast<const T*>(nullptr));
  }
};
struct restore_block {
  template <index_t Lines, class Storage, class T>
  static SBORA_FORCE_INLINE bool apply(const region_args<Storage, T>& a, index_t line, index_t begin,
                                       index_t n) noexcept {
    return sweep_columns<restore_element, Lines>(a, line, begin, n, static_cast<const T*>(nullptr));
  }
};
struct merge_block {
  template <index_t Lines, class Storage, class T>
  static SBORA_FORCE_INLINE bool apply(const region_args<Storage, T>& a, index_t line, index_t begin,
                                       index_t n) noexcept {
    array_of<T, Lines * region_chunk> delta;
    array_of<Storage, Lines * region_chunk> merged;
    delta_block(a, line, Lines, begin, n, delta);
    const bool finite = add_block(a, line, Lines, begin, n, delta, merged);
    sweep_columns<write_element, Lines>(a, line, begin, n, merged);
    return finite;
  }
};
struct take_block {
  template <index_t Lines, class Storage, class T>
  static SBORA_FORCE_INLINE bool apply(const region_args<Storage, T>& a, index_t line, index_t begin,
                                       index_t n) noexcept {
    array_of<T, Lines * region_chunk> delta;
    delta_block(a, line, Lines, begin, n, delta);
    if constexpr (std::is_same_v<Storage, T>) {
      return sweep_columns<save_and_add_element, Lines>(a, line, begin, n, delta);
    } else {
      array_of<Storage, Lines * region_chunk> merged;
      sweep_columns<save_element, Lines>(a, line, begin, n, delta);
      const bool finite = add_block(a, line, Lines, begin, n, delta, merged);
      sweep_columns<write_element, Lines>(a, line, begin, n, merged);
      return finite;
    }
  }
};

/// Block::apply over the lines of the call; is all of what they merged finite?
template <class Block, class Storage, class T>
SBORA_FORCE_INLINE bool for_column_blocks(const region_args<Storage, T>& a) noexcept {
  bool finite = true;
  for (index_t line = a.line_begin; line < a.line_end;) {
    const bool whole = line + region_lines <= a.line_end;
    for (index_t begin = 0; begin < a.rank; begin += region_chunk) {
      const index_t n = a.rank - begin < region_chunk ? a.rank - begin : region_chunk;
      finite &=
          whole ? Block::template apply<region_lines>(a, line, begin, n) : Block::template apply<1>(a, line, begin, n);
    }
    line += whole ? region_lines : 1;
  }
  return finite;
}

template <class Storage, class T>
void save_columns(const region_args<Storage, T>& a) noexcept {
  for_column_blocks<save_block>(a);
}

template <class Storage, class T>
void restore_columns(const region_args<Storage, T>& a) noexcept {
  for_column_blocks<restore_block>(a);
}

template <class Storage, class T>
void merge_columns(const region_args<Storage, T>& a) noexcept {
  for_column_blocks<merge_block>(a);
}

template <class Storage, class T>
region_fault check_columns(const region_args<Storage, T>& a) noexcept {
  T delta[region_chunk];
  Storage merged[region_chunk];
  for (index_t line = a.line_begin; line < a.line_end; ++line) {
    for (index_t begin = 0; begin < a.rank; begin += region_chunk) {
      const index_t n = a.rank - begin < region_chunk ? a.rank - begin : region_chunk;
      delta_block(a, line, 1, begin, n, delta);
      if (!add_block(a, line, 1, begin, n, delta, merged)) {
        return {line, begin + first_fault<T>(merged, n)};
      }
    }
  }
  return {-1, -1};
}

template <class Storage, class T>
region_fault take_columns(const region_args<Storage, T>& a) noexcept {
  return for_column_blocks<take_block>(a) ? region_fault{-1, -1} : check_columns(a);
}
