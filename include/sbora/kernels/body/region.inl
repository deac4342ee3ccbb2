// Included once per level, inside its namespace, before region_columns.inl and region_rows.inl.
// No include guard, no includes.
//
// A merge is w + round(s·b), rounded to the weight's storage: the product is rounded by itself and the
// sum is a plain addition, the same bits on every level and as the merge of a packed panel.

/// Elements handled at a time, on the stack.
inline constexpr index_t region_chunk = 64;

/// n <= region_chunk trained values from `from` on, along `step`, made contiguous.
template <class T>
SBORA_FORCE_INLINE const T* trained_run(const T* from, index_t step, index_t n, T* buffer) noexcept {
  if (step == 1) return from;
  for (index_t i = 0; i < n; ++i) buffer[i] = from[i * step];
  return buffer;
}

/// out = round(scale·trained) for n elements.
template <class T>
SBORA_FORCE_INLINE void delta_run(const T* trained, T scale, index_t n, T* out) noexcept {
  using v = vec<T>;
  const v s = v::set1(scale);
  index_t i = 0;
  for (; i + v::lanes <= n; i += v::lanes) v::store(out + i, round_product(s, v::load(trained + i)));
  if (i < n) v::store_n(out + i, round_product(s, v::load_n(trained + i, n - i)), n - i);
}

/// out = originals + delta for n elements, in the weight's storage; is all of it finite? out may be
/// originals.
template <class Storage, class T>
SBORA_FORCE_INLINE bool add_run(const Storage* originals, const T* delta, index_t n, Storage* out) noexcept {
  using v = vec<T>;
  bool finite = true;
  index_t i = 0;
  for (; i + v::lanes <= n; i += v::lanes) {
    v::store(out + i, v::load(originals + i) + v::load(delta + i));
    finite &= v::all_finite(v::load(out + i));
  }
  if (i < n) {
    v::store_n(out + i, v::load_n(originals + i, n - i) + v::load_n(delta + i, n - i), n - i);
    finite &= v::all_finite(v::load_n(out + i, n - i));
  }
  return finite;
}

/// out = source + round(scale·trained) for n elements, in the weight's storage, and with Save the source's
/// bits to `saved` in the same pass; is all of out finite? out may be source.
template <bool Save, class Storage, class T>
SBORA_NO_INLINE bool merged_run(const Storage* source, const T* trained, T scale, index_t n, Storage* saved,
                                Storage* out) noexcept {
  using v = vec<T>;
  const v s = v::set1(scale);
  bool finite = true;
  index_t i = 0;
  for (; i + v::lanes <= n; i += v::lanes) {
    if constexpr (region_ahead_bytes > 0) {
      constexpr index_t ahead = region_ahead_bytes / index_t{sizeof(Storage)};
      __builtin_prefetch(source + i + ahead);
      __builtin_prefetch(trained + i + ahead);
      if constexpr (Save) __builtin_prefetch(saved + i + ahead, 1);
    }
    const v old = v::load(source + i);
    if constexpr (Save) __builtin_memcpy(saved + i, source + i, v::lanes * sizeof(Storage));
    v::store(out + i, old + round_product(s, v::load(trained + i)));
    finite &= v::all_finite(v::load(out + i));  // as stored: bf16 and f16 overflow when rounded
  }
  if (i < n) {
    const v old = v::load_n(source + i, n - i);
    if constexpr (Save) {
      __builtin_memcpy(saved + i, source + i, static_cast<std::size_t>(n - i) * sizeof(Storage));
    }
    v::store_n(out + i, old + round_product(s, v::load_n(trained + i, n - i)), n - i);
    finite &= v::all_finite(v::load_n(out + i, n - i));
  }
  return finite;
}

/// Position of the first element that isn't finite among n, or n.
template <class T, class Storage>
SBORA_FORCE_INLINE index_t first_fault(const Storage* values, index_t n) noexcept {
  for (index_t i = 0; i < n; ++i) {
    if (!vec<T>::all_finite(vec<T>::load_n(values + i, 1))) return i;
  }
  return n;
}
