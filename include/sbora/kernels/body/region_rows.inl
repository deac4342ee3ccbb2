// Included once per level, inside its namespace, after region.inl. No include guard, no includes.
//
// Rows of a row-major weight: r contiguous runs.

template <class Storage, class T>
void save_rows(const region_args<Storage, T>& a) noexcept {
  const auto bytes = static_cast<std::size_t>(a.line_end - a.line_begin) * sizeof(Storage);
  for (index_t j = a.position_begin; j < a.position_end; ++j) {
    __builtin_memcpy(a.originals + j * a.lines + a.line_begin, a.weight + a.index[j] * a.stride + a.line_begin, bytes);
  }
}

template <class Storage, class T>
void restore_rows(const region_args<Storage, T>& a) noexcept {
  const auto bytes = static_cast<std::size_t>(a.line_end - a.line_begin) * sizeof(Storage);
  for (index_t j = a.position_begin; j < a.position_end; ++j) {
    __builtin_memcpy(a.weight + a.index[j] * a.stride + a.line_begin, a.originals + j * a.lines + a.line_begin, bytes);
  }
}

/// Lines per sweep over the positions: all where the trained half runs along the line, one chunk where
/// it runs across, so that its cache lines are used whole.
template <class Storage, class T>
SBORA_FORCE_INLINE index_t rows_sweep(const region_args<Storage, T>& a) noexcept {
  return a.trained_line_stride == 1 ? a.line_end - a.line_begin : region_chunk;
}

/// merge, and with Save the save before it in the same pass (two passes, the first with memcpy, take
/// 1.3 times as long); is what was merged finite?
template <bool Save, class Storage, class T>
SBORA_FORCE_INLINE bool merge_rows_of(const region_args<Storage, T>& a) noexcept {
  T buffer[region_chunk];
  bool finite = true;
  const index_t sweep = rows_sweep(a);
  for (index_t from = a.line_begin; from < a.line_end; from += sweep) {
    const index_t n = from + sweep < a.line_end ? sweep : a.line_end - from;
    for (index_t j = a.position_begin; j < a.position_end; ++j) {
      Storage* run = a.weight + a.index[j] * a.stride + from;
      Storage* saved = a.originals + j * a.lines + from;
      const T* trained = a.trained + from * a.trained_line_stride + j * a.trained_index_stride;
      if (a.trained_line_stride != 1) trained = trained_run(trained, a.trained_line_stride, n, buffer);
      finite &= merged_run<Save>(Save ? run : saved, trained, a.scale, n, saved, run);
    }
  }
  return finite;
}

template <class Storage, class T>
void merge_rows(const region_args<Storage, T>& a) noexcept {
  merge_rows_of<false>(a);
}

template <class Storage, class T>
region_fault check_rows(const region_args<Storage, T>& a) noexcept {
  T buffer[region_chunk];
  Storage merged[region_chunk];
  for (index_t j = a.position_begin; j < a.position_end; ++j) {
    for (index_t line = a.line_begin; line < a.line_end; line += region_chunk) {
      const index_t n = a.line_end - line < region_chunk ? a.line_end - line : region_chunk;
      const T* trained = a.trained + line * a.trained_line_stride + j * a.trained_index_stride;
      Storage* saved = a.originals + j * a.lines + line;
      if (!merged_run<false>(saved, trained_run(trained, a.trained_line_stride, n, buffer), a.scale, n, saved,
                             merged)) {
        return {line + first_fault<T>(merged, n), j};
      }
    }
  }
  return {-1, -1};
}

template <class Storage, class T>
region_fault take_rows(const region_args<Storage, T>& a) noexcept {
  return merge_rows_of<true>(a) ? region_fault{-1, -1} : check_rows(a);
}
