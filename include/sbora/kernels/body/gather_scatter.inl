// Included once per level, inside its namespace. No include guard, no includes.

/// One element as what is computed in.
template <class T>
SBORA_FORCE_INLINE T widened(T value) noexcept {
  return value;
}
template <class T>
SBORA_FORCE_INLINE T widened(bf16 value) noexcept {
  return static_cast<T>(widen(value));
}

template <class T, class Source>
void gather(const gather_args<T, Source>& a) noexcept {
  for (index_t t = a.begin; t < a.end; ++t) {
    const Source* SBORA_RESTRICT row = a.source + t * a.source_stride;
    T* SBORA_RESTRICT out = a.out + t * a.out_stride;
    // Scalar loads: each hits a cache line of its own, and vgatherdps is no faster at that on Zen.
    for (index_t j = 0; j < a.rank; ++j) out[j] = widened<T>(row[a.index[j]]);
  }
}

template <class T>
void scatter_add(const scatter_args<T>& a) noexcept {
  using v = vec<T>;
  for (index_t t = a.begin; t < a.end; ++t) {
    const T* SBORA_RESTRICT source = a.source + t * a.source_stride;
    T* SBORA_RESTRICT row = a.out + t * a.out_stride;
    if (a.index != nullptr) {
      for (index_t j = 0; j < a.rank; ++j) row[a.index[j]] = multiply_add(a.scale, source[j], row[a.index[j]]);
      continue;
    }
    const v scale = v::set1(a.scale);
    index_t j = 0;
    for (; j + v::lanes <= a.rank; j += v::lanes) {
      v::store(row + j, multiply_add(scale, v::load(source + j), v::load(row + j)));
    }
    if (j < a.rank) {
      const index_t n = a.rank - j;
      v::store_n(row + j, multiply_add(scale, v::load_n(source + j, n), v::load_n(row + j, n)), n);
    }
  }
}
