// Included once per level, inside its namespace. No include guard, no includes.

/// Features from j on, n of them or a vector: so many tokens at once, so that the sums are loaded and stored once.
template <int Tokens, bool Squares, bool Whole, class T>
SBORA_FORCE_INLINE void add_products_of(const feature_sum_args<T>& a, const vec<double>* weights, index_t t, index_t j,
                                        index_t n) noexcept {
  using v = vec<double>;
  const auto load = [&](const T* p) {
    if constexpr (Whole) return v::load(p);
    else return v::load_n(p, n);
  };
  v sum = load_part<Whole>(a.sums + j, n);
  for (int i = 0; i < Tokens; ++i) {
    const T* const left = a.a + (t + i) * a.a_stride + j;
    const T* const right = a.b + (t + i) * a.b_stride + j;
    const v x = load(left);
    v y = x;
    if constexpr (!Squares) y = load(right);
    if constexpr (Whole && Tokens > 1) {  // the next tokens' features: their rows may be pages apart
      __builtin_prefetch(left + Tokens * a.a_stride);
      if constexpr (!Squares) __builtin_prefetch(right + Tokens * a.b_stride);
    }
    sum = multiply_add(weights != nullptr ? round_product(weights[i], x) : x, y, sum);
  }
  store_part<Whole>(a.sums + j, sum, n);
}

template <int Tokens, bool Squares, class T>
SBORA_FORCE_INLINE void add_products_of(const feature_sum_args<T>& a, index_t t) noexcept {
  constexpr index_t lanes = vec<double>::lanes;
  array_of<vec<double>, Tokens> weights;
  for (int i = 0; i < Tokens; ++i) {
    weights[i] = vec<double>::set1(a.weights != nullptr ? a.weights[t + i] : 1);
  }
  const vec<double>* const weighted = a.weights != nullptr ? weights : nullptr;
  index_t j = 0;
  for (; j + lanes <= a.features; j += lanes) add_products_of<Tokens, Squares, true>(a, weighted, t, j, lanes);
  if (j < a.features) add_products_of<Tokens, Squares, false>(a, weighted, t, j, a.features - j);
}

template <bool Squares, class T>
SBORA_FORCE_INLINE void add_products_of(const feature_sum_args<T>& a) noexcept {
  index_t t = 0;
  for (; t + 8 <= a.tokens; t += 8) add_products_of<8, Squares>(a, t);
  for (; t < a.tokens; ++t) add_products_of<1, Squares>(a, t);
}

/// See feature_sum_args.
template <class T>
void add_feature_products(const feature_sum_args<T>& a) noexcept {
  a.a == a.b&& a.a_stride == a.b_stride ? add_products_of<true>(a) : add_products_of<false>(a);
}

/// See token_sum_args.
template <class T>
void add_token_squares(const token_sum_args<T>& a) noexcept {
  using v = vec<double>;
  for (index_t t = 0; t < a.tokens; ++t) {
    const T* const row = a.a + t * a.stride;
    v sums[4] = {v::zero(), v::zero(), v::zero(), v::zero()};
    index_t j = 0;
    for (; j + 4 * v::lanes <= a.features; j += 4 * v::lanes) {
      for (int i = 0; i < 4; ++i) {
        const v x = v::load(row + j + i * v::lanes);
        sums[i] = multiply_add(x, x, sums[i]);
      }
    }
    for (; j < a.features; j += v::lanes) {
      const v x = v::load_n(row + j, a.features - j < v::lanes ? a.features - j : index_t{v::lanes});
      sums[0] = multiply_add(x, x, sums[0]);
    }
    a.sums[t] += sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  }
}
