// Included once per level, inside its namespace, after region.inl. No include guard, no includes.
//
// Merge on pack: ΔW is added to a panel that was just packed and lies in the L1 cache. Each element of ΔW
// is added once for every block of rows, rank·(d_out or d_in) additions against 2·n·d_in·d_out flops.

/// Values of `T` as the storage would keep them.
template <class Storage, class T>
SBORA_FORCE_INLINE vec<T> rounded_to(vec<T> value) noexcept {
  if constexpr (std::is_same_v<Storage, T>) {
    return value;
  } else {
    Storage stored[vec<T>::lanes];
    vec<T>::store(stored, value);
    return vec<T>::load(stored);
  }
}

/// values[i] = round(values[i] + round(scale·trained[i])); both have room for whole vectors.
template <class Storage, class T>
SBORA_FORCE_INLINE void update_run(T* values, const T* trained, T scale, index_t n) noexcept {
  using v = vec<T>;
  const v s = v::set1(scale);
  for (index_t i = 0; i < n; i += v::lanes) {
    const v sum = v::load(values + i) + round_product(s, v::load(trained + i));
    v::store(values + i, rounded_to<Storage, T>(sum));
  }
}

/// First i with index[i] >= least.
SBORA_FORCE_INLINE index_t lower_bound(const index_t* index, index_t count, index_t least) noexcept {
  index_t begin = 0;
  while (count > 0) {
    const index_t half = count / 2;
    const bool below = index[begin + half] < least;
    begin = below ? begin + half + 1 : begin;
    count = below ? count - half - 1 : half;
  }
  return begin;
}

/// The update's part in rows [k, k + depth) and columns [n, n + n_valid) of the right operand, in the
/// panel that holds them.
template <class Storage, class T>
SBORA_NO_INLINE void update_panel(const panel_update<T>& u, index_t k, index_t depth, index_t n, index_t n_valid,
                                  T* panel) noexcept {
  constexpr index_t columns = tile_columns<T>;
  const index_t first = u.along_depth ? k : n;
  const index_t last = first + (u.along_depth ? depth : n_valid);
  for (index_t i = lower_bound(u.index, u.rank, first); i < u.rank && u.index[i] < last; ++i) {
    const T* trained = u.trained + u.position[i] * u.trained_index_stride;
    if (u.along_depth) {
      array_of<T, columns> values = {};
      for (index_t c = 0; c < n_valid; ++c) values[c] = trained[(n + c) * u.trained_line_stride];
      update_run<Storage>(panel + (u.index[i] - k) * columns, values, u.scale, columns);
      continue;
    }
    T* column = panel + (u.index[i] - n);
    for (index_t from = 0; from < depth; from += region_chunk) {
      const index_t count = depth - from < region_chunk ? depth - from : region_chunk;
      T values[region_chunk] = {}, sums[region_chunk] = {};
      for (index_t c = 0; c < count; ++c) {
        values[c] = trained[(k + from + c) * u.trained_line_stride];
        sums[c] = column[(from + c) * columns];
      }
      update_run<Storage>(sums, values, u.scale, count);
      for (index_t c = 0; c < count; ++c) column[(from + c) * columns] = sums[c];
    }
  }
}

/// The update's part in elements [k, k + depth) of `count` lines from `line` on, lines `stride` apart.
template <class Storage, class T>
SBORA_NO_INLINE void update_lines(const panel_update<T>& u, index_t line, index_t count, index_t k, index_t depth,
                                  T* rows, index_t stride) noexcept {
  const index_t first = u.along_depth ? k : line;
  const index_t begin = lower_bound(u.index, u.rank, first);
  const index_t end = lower_bound(u.index, u.rank, first + (u.along_depth ? depth : count));
  if (!u.along_depth) {  // whole lines
    for (index_t i = begin; i < end; ++i) {
      const T* trained = u.trained + k * u.trained_line_stride + u.position[i] * u.trained_index_stride;
      T* const row = rows + (u.index[i] - line) * stride;
      for (index_t from = 0; from < depth; from += region_chunk) {
        const index_t n = depth - from < region_chunk ? depth - from : region_chunk;
        T values[region_chunk] = {}, sums[region_chunk] = {};
        for (index_t j = 0; j < n; ++j)
          values[j] = trained[(from + j) * u.trained_line_stride], sums[j] = row[from + j];
        update_run<Storage>(sums, values, u.scale, n);
        for (index_t j = 0; j < n; ++j) row[from + j] = sums[j];
      }
    }
    return;
  }
  for (index_t from = begin; from < end; from += region_chunk) {
    const index_t n = end - from < region_chunk ? end - from : region_chunk;
    for (index_t i = 0; i < count; ++i) {
      const T* const trained = u.trained + (line + i) * u.trained_line_stride;
      T* const row = rows + i * stride - k;
      T values[region_chunk], sums[region_chunk];
      for (index_t j = 0; j < n; ++j) {
        values[j] = trained[u.position[from + j] * u.trained_index_stride];
        sums[j] = row[u.index[from + j]];
      }
      for (index_t j = n; j % vec<T>::lanes != 0; ++j) values[j] = sums[j] = T{0};
      update_run<Storage>(sums, values, u.scale, n);
      for (index_t j = 0; j < n; ++j) row[u.index[from + j]] = sums[j];
    }
  }
}
