// Included once per level, inside its namespace. No include guard, no includes.
//
// Vector body and tail are one function over full or partial vectors, so an element's result doesn't
// depend on where a range was cut. Every product that is added to something is a multiply_add or a round_product:
// compilers fuse the others at -O2 and not at -O1, or by the next compiler.

/// What a step does to a vector of each: rule(w, g, state), state[Rates::states] the arrays of step_args.
template <class Rates>
struct step_rule;

template <class T>
struct step_rule<adamw_rates<T>> {
  using v = vec<T>;
  v gradient_scale, rest1, beta2, rest2, epsilon, decay, minus_step_size, correction;

  explicit SBORA_FORCE_INLINE step_rule(const adamw_rates<T>& a) noexcept
      : gradient_scale(v::set1(a.gradient_scale)),
        rest1(v::set1(a.rest1)),
        beta2(v::set1(a.beta2)),
        rest2(v::set1(a.rest2)),
        epsilon(v::set1(a.epsilon)),
        decay(v::set1(a.decay)),
        minus_step_size(v::set1(-a.step_size)),
        correction(v::set1(a.inverse_root_correction)) {}

  SBORA_FORCE_INLINE void operator()(v& w, v g, v* state) const noexcept {
    v &m = state[0], &s = state[1];
    g = round_product(g, gradient_scale);
    m = multiply_add(rest1, g - m, m);
    s = multiply_add(rest2 * g, g, beta2 * s);
    const v denominator = multiply_add(sqrt(s), correction, epsilon);
    w = multiply_add(minus_step_size, m / denominator, w * decay);
  }
};

template <class T>
struct step_rule<sgd_rates<T>> {
  using v = vec<T>;
  v gradient_scale, minus_learning_rate, momentum, gradient_weight, weight_decay;
  bool nesterov;

  explicit SBORA_FORCE_INLINE step_rule(const sgd_rates<T>& a) noexcept
      : gradient_scale(v::set1(a.gradient_scale)),
        minus_learning_rate(v::set1(-a.learning_rate)),
        momentum(v::set1(a.momentum)),
        gradient_weight(v::set1(a.gradient_weight)),
        weight_decay(v::set1(a.weight_decay)),
        nesterov(a.nesterov) {}

  SBORA_FORCE_INLINE v decayed(v w, v g) const noexcept { return multiply_add(weight_decay, w, g * gradient_scale); }
  SBORA_FORCE_INLINE void operator()(v& w, v g, v* velocity) const noexcept {
    g = decayed(w, g);
    *velocity = multiply_add(momentum, *velocity, gradient_weight * g);
    const v direction = nesterov ? multiply_add(momentum, *velocity, g) : *velocity;
    w = multiply_add(minus_learning_rate, direction, w);
  }
  SBORA_FORCE_INLINE void without_state(v& w, v g) const noexcept {
    w = multiply_add(minus_learning_rate, decayed(w, g), w);
  }
};

/// -1, 0 or 1 in each lane; NaN stays.
template <class T>
SBORA_FORCE_INLINE vec<T> sign(vec<T> a) noexcept {
  T lane[vec<T>::lanes];
  vec<T>::store(lane, a);
  for (T& x : lane) x = x > T{0} ? T{1} : x < T{0} ? T{-1} : x;
  return vec<T>::load(lane);
}

template <class T>
struct step_rule<lion_rates<T>> {
  using v = vec<T>;
  v gradient_scale, rest1, rest2, decay, minus_learning_rate;

  explicit SBORA_FORCE_INLINE step_rule(const lion_rates<T>& a) noexcept
      : gradient_scale(v::set1(a.gradient_scale)),
        rest1(v::set1(a.rest1)),
        rest2(v::set1(a.rest2)),
        decay(v::set1(a.decay)),
        minus_learning_rate(v::set1(-a.learning_rate)) {}

  SBORA_FORCE_INLINE void operator()(v& w, v g, v* momentum) const noexcept {
    v& m = *momentum;
    const v change = round_product(g, gradient_scale) - m;
    w = multiply_add(minus_learning_rate, sign(multiply_add(rest1, change, m)), w * decay);
    m = multiply_add(rest2, change, m);
  }
};

template <class T>
struct step_rule<muon_direction_rates<T>> {
  using v = vec<T>;
  v gradient_scale, rest;
  bool nesterov;

  explicit SBORA_FORCE_INLINE step_rule(const muon_direction_rates<T>& a) noexcept
      : gradient_scale(v::set1(a.gradient_scale)), rest(v::set1(a.rest)), nesterov(a.nesterov) {}

  SBORA_FORCE_INLINE void operator()(v& direction, v g, v* momentum) const noexcept {
    v& m = *momentum;
    g = round_product(g, gradient_scale);
    m = multiply_add(rest, g - m, m);
    direction = nesterov ? multiply_add(rest, g - m, m) : m;
  }
};

template <class T>
struct step_rule<scaling_rates<T>> {
  using v = vec<T>;
  v factor;

  explicit SBORA_FORCE_INLINE step_rule(const scaling_rates<T>& a) noexcept : factor(v::set1(a.factor)) {}

  SBORA_FORCE_INLINE void operator()(v& out, v in, v*) const noexcept { out = in * factor; }
};

template <class T>
struct step_rule<muon_rates<T>> {
  using v = vec<T>;
  v decay, minus_step_size;

  explicit SBORA_FORCE_INLINE step_rule(const muon_rates<T>& a) noexcept
      : decay(v::set1(a.decay)), minus_step_size(v::set1(-a.step_size)) {}

  SBORA_FORCE_INLINE void operator()(v& w, v direction, v*) const noexcept {
    w = multiply_add(minus_step_size, direction, w * decay);
  }
};

/// A whole vector, or its first n elements.
template <bool Whole, class T>
SBORA_FORCE_INLINE vec<T> load_part(const T* p, index_t n) noexcept {
  if constexpr (Whole) return vec<T>::load(p);
  else return vec<T>::load_n(p, n);
}
template <bool Whole, class T>
SBORA_FORCE_INLINE void store_part(T* p, vec<T> a, index_t n) noexcept {
  if constexpr (Whole) vec<T>::store(p, a);
  else vec<T>::store_n(p, a, n);
}

/// Elements from i on: a whole vector of them, or n.
template <bool Whole, class Rates>
SBORA_FORCE_INLINE void step_vector(const step_args<Rates>& a, const step_rule<Rates>& rule, index_t i,
                                    index_t n) noexcept {
  using T = typename Rates::scalar;
  using v = vec<T>;
  v w = load_part<Whole>(a.parameter + i, n);
  const v g = load_part<Whole>(a.gradient + i, n);
  if constexpr (Rates::state_is_optional) {
    if (a.state[0] == nullptr) {
      rule.without_state(w, g);
      store_part<Whole>(a.parameter + i, w, n);
      return;
    }
  }
  v state[Rates::states > 0 ? Rates::states : 1];
  for (int s = 0; s < Rates::states; ++s) state[s] = load_part<Whole>(a.state[s] + i, n);
  rule(w, g, state);
  store_part<Whole>(a.parameter + i, w, n);
  for (int s = 0; s < Rates::states; ++s) store_part<Whole>(a.state[s] + i, state[s], n);
}

/// See step_args.
template <class Rates>
void step_elements(const step_args<Rates>& a) noexcept {
  const step_rule<Rates> rule(a.rates);
  constexpr index_t lanes = vec<typename Rates::scalar>::lanes;
  index_t i = a.begin;
  for (; i + lanes <= a.end; i += lanes) step_vector<true>(a, rule, i, lanes);
  if (i < a.end) step_vector<false>(a, rule, i, a.end - i);
}
