// Included once per level, inside its namespace. No include guard, no includes.
//
// A merge is w + round(s·b), rounded to the weight's storage: the product is rounded by itself and the
// sum is a plain addition, the same bits on every level and as the merge of a packed panel.

/// Elements handled at a time: one cache line of float per four vectors, on the stack.
inline constexpr index_t region_chunk = 64;

/// How far ahead lines are fetched, about 8 lines of latency: the indices of a line are 64 different
/// cache lines that no hardware prefetcher follows.
inline constexpr index_t region_prefetch = 8;

/// n <= region_chunk trained values from (line, j) on, along `step`, made contiguous.
template <class T>
SBORA_FORCE_INLINE const T* trained_run(const T* from, index_t step, index_t n, T* buffer) noexcept {
  if (step == 1) return from;
  for (index_t i = 0; i < n; ++i) buffer[i] = from[i * step];
  return buffer;
}

/// out = originals + round(scale·trained) for n elements, in the weight's storage.
template <class Storage, class T>
SBORA_FORCE_INLINE void merged_run(const Storage* originals, const T* trained, T scale, index_t n,
                                   Storage* out) noexcept {
  using v = vec<T>;
  const v s = v::set1(scale);
  index_t i = 0;
  for (; i + v::lanes <= n; i += v::lanes) {
    v::store(out + i, v::load(originals + i) + round_product(s, v::load(trained + i)));
  }
  if (i < n) {
    const v sum = v::load_n(originals + i, n - i) + round_product(s, v::load_n(trained + i, n - i));
    v::store_n(out + i, sum, n - i);
  }
}

/// Position of the first element that isn't finite among n, or n.
template <class T, class Storage>
SBORA_FORCE_INLINE index_t first_fault(const Storage* values, index_t n) noexcept {
  using v = vec<T>;
  for (index_t i = 0; i < n; i += v::lanes) {
    const index_t here = n - i < v::lanes ? n - i : index_t{v::lanes};
    if (v::all_finite(v::load_n(values + i, here))) continue;
    for (index_t lane = i; lane < i + here; ++lane) {
      if (!v::all_finite(v::load_n(values + lane, 1))) return lane;
    }
  }
  return n;
}

/// Fetches the region of the line that comes region_prefetch lines after this one.
template <class Storage, class T>
SBORA_FORCE_INLINE void prefetch_columns(const region_args<Storage, T>& a, index_t line) noexcept {
  if (line + region_prefetch >= a.lines) return;
  const Storage* ahead = a.weight + (line + region_prefetch) * a.stride;
  for (index_t j = 0; j < a.rank; ++j) __builtin_prefetch(ahead + a.index[j], 1);
}

template <class Storage, class T>
void save_columns(const region_args<Storage, T>& a) noexcept {
  for (index_t line = a.line_begin; line < a.line_end; ++line) {
    const Storage* row = a.weight + line * a.stride;
    Storage* SBORA_RESTRICT saved = a.originals + line * a.rank;
    prefetch_columns(a, line);
    for (index_t j = 0; j < a.rank; ++j) saved[j] = row[a.index[j]];
  }
}

template <class Storage, class T>
void restore_columns(const region_args<Storage, T>& a) noexcept {
  for (index_t line = a.line_begin; line < a.line_end; ++line) {
    Storage* row = a.weight + line * a.stride;
    const Storage* SBORA_RESTRICT saved = a.originals + line * a.rank;
    prefetch_columns(a, line);
    for (index_t j = 0; j < a.rank; ++j) row[a.index[j]] = saved[j];
  }
}

template <class Storage, class T>
void merge_columns(const region_args<Storage, T>& a) noexcept {
  Storage merged[region_chunk];
  T buffer[region_chunk];
  for (index_t line = a.line_begin; line < a.line_end; ++line) {
    Storage* row = a.weight + line * a.stride;
    const Storage* saved = a.originals + line * a.rank;
    const T* trained = a.trained + line * a.trained_line_stride;
    prefetch_columns(a, line);
    for (index_t j = 0; j < a.rank; j += region_chunk) {
      const index_t n = a.rank - j < region_chunk ? a.rank - j : region_chunk;
      const T* run =
          trained_run(trained + j * a.trained_index_stride, a.trained_index_stride, n, buffer);
      merged_run(saved + j, run, a.scale, n, merged);
      for (index_t i = 0; i < n; ++i) row[a.index[j + i]] = merged[i];
    }
  }
}

template <class Storage, class T>
region_fault check_columns(const region_args<Storage, T>& a) noexcept {
  Storage merged[region_chunk];
  T buffer[region_chunk];
  for (index_t line = a.line_begin; line < a.line_end; ++line) {
    const T* trained = a.trained + line * a.trained_line_stride;
    for (index_t j = 0; j < a.rank; j += region_chunk) {
      const index_t n = a.rank - j < region_chunk ? a.rank - j : region_chunk;
      const T* run =
          trained_run(trained + j * a.trained_index_stride, a.trained_index_stride, n, buffer);
      merged_run(a.originals + line * a.rank + j, run, a.scale, n, merged);
      const index_t fault = first_fault<T>(merged, n);
      if (fault < n) return {line, j + fault};
    }
  }
  return {-1, -1};
}

template <class Storage, class T>
void save_rows(const region_args<Storage, T>& a) noexcept {
  for (index_t j = a.position_begin; j < a.position_end; ++j) {
    const Storage* SBORA_RESTRICT run = a.weight + a.index[j] * a.stride;
    Storage* SBORA_RESTRICT saved = a.originals + j * a.lines;
    for (index_t line = a.line_begin; line < a.line_end; ++line) saved[line] = run[line];
  }
}

template <class Storage, class T>
void restore_rows(const region_args<Storage, T>& a) noexcept {
  for (index_t j = a.position_begin; j < a.position_end; ++j) {
    Storage* SBORA_RESTRICT run = a.weight + a.index[j] * a.stride;
    const Storage* SBORA_RESTRICT saved = a.originals + j * a.lines;
    for (index_t line = a.line_begin; line < a.line_end; ++line) run[line] = saved[line];
  }
}

/// Lines per sweep over the positions: all where the trained half runs along the line, one chunk where
/// it runs across, so that its cache lines are used whole.
template <class Storage, class T>
SBORA_FORCE_INLINE index_t rows_sweep(const region_args<Storage, T>& a) noexcept {
  return a.trained_line_stride == 1 ? a.line_end - a.line_begin : region_chunk;
}

template <class Storage, class T>
void merge_rows(const region_args<Storage, T>& a) noexcept {
  T buffer[region_chunk];
  const index_t sweep = rows_sweep(a);
  for (index_t from = a.line_begin; from < a.line_end; from += sweep) {
    const index_t to = from + sweep < a.line_end ? from + sweep : a.line_end;
    for (index_t j = a.position_begin; j < a.position_end; ++j) {
      Storage* run = a.weight + a.index[j] * a.stride;
      const Storage* saved = a.originals + j * a.lines;
      const T* trained = a.trained + from * a.trained_line_stride + j * a.trained_index_stride;
      if (a.trained_line_stride == 1) {
        merged_run(saved + from, trained, a.scale, to - from, run + from);
      } else {
        merged_run(saved + from, trained_run(trained, a.trained_line_stride, to - from, buffer),
                   a.scale, to - from, run + from);
      }
    }
  }
}

template <class Storage, class T>
region_fault check_rows(const region_args<Storage, T>& a) noexcept {
  Storage merged[region_chunk];
  T buffer[region_chunk];
  for (index_t j = a.position_begin; j < a.position_end; ++j) {
    for (index_t line = a.line_begin; line < a.line_end; line += region_chunk) {
      const index_t n = a.line_end - line < region_chunk ? a.line_end - line : region_chunk;
      const T* trained = a.trained + line * a.trained_line_stride + j * a.trained_index_stride;
      merged_run(a.originals + j * a.lines + line,
                 trained_run(trained, a.trained_line_stride, n, buffer), a.scale, n, merged);
      const index_t fault = first_fault<T>(merged, n);
      if (fault < n) return {line + fault, j};
    }
  }
  return {-1, -1};
}
