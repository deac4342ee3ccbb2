// Included once per level, inside its namespace. No include guard, no includes.
//
// Vector body and tail are one function over full or partial vectors, so an element's result doesn't
// depend on where a range was cut. Every product that is added to something is a multiply_add or a round_product:
// compilers fuse the others at -O2 and not at -O1, or by the next compiler.

template <class T>
struct adamw_step {
  using v = vec<T>;
  v gradient_scale, rest1, beta2, rest2, epsilon, decay, minus_step_size, correction;

  explicit SBORA_FORCE_INLINE adamw_step(const adamw_rates<T>& a) noexcept
      : gradient_scale(v::set1(a.gradient_scale)),
        rest1(v::set1(a.rest1)),
        beta2(v::set1(a.beta2)),
        rest2(v::set1(a.rest2)),
        epsilon(v::set1(a.epsilon)),
        decay(v::set1(a.decay)),
        minus_step_size(v::set1(-a.step_size)),
        correction(v::set1(a.inverse_root_correction)) {}

  SBORA_FORCE_INLINE void operator()(v& w, v g, v& m, v& s) const noexcept {
    g = round_product(g, gradient_scale);
    m = multiply_add(rest1, g - m, m);
    s = multiply_add(rest2 * g, g, beta2 * s);
    const v denominator = multiply_add(sqrt(s), correction, epsilon);
    w = multiply_add(minus_step_size, m / denominator, w * decay);
  }
};

template <class T>
void adamw(const adamw_args<T>& a) noexcept {
  using v = vec<T>;
  const adamw_step<T> step(a.rates);
  index_t i = a.begin;
  for (; i + v::lanes <= a.end; i += v::lanes) {
    v w = v::load(a.parameter + i);
    v m = v::load(a.first_moment + i);
    v s = v::load(a.second_moment + i);
    step(w, v::load(a.gradient + i), m, s);
    v::store(a.parameter + i, w);
    v::store(a.first_moment + i, m);
    v::store(a.second_moment + i, s);
  }
  if (i < a.end) {
    const index_t n = a.end - i;
    v w = v::load_n(a.parameter + i, n);
    v m = v::load_n(a.first_moment + i, n);
    v s = v::load_n(a.second_moment + i, n);
    step(w, v::load_n(a.gradient + i, n), m, s);
    v::store_n(a.parameter + i, w, n);
    v::store_n(a.first_moment + i, m, n);
    v::store_n(a.second_moment + i, s, n);
  }
}

template <class T>
struct sgd_step {
  using v = vec<T>;
  v gradient_scale, minus_learning_rate, momentum, gradient_weight, weight_decay;
  bool nesterov;

  explicit SBORA_FORCE_INLINE sgd_step(const sgd_args<T>& a) noexcept
      : gradient_scale(v::set1(a.gradient_scale)),
        minus_learning_rate(v::set1(-a.learning_rate)),
        momentum(v::set1(a.momentum)),
        gradient_weight(v::set1(a.gradient_weight)),
        weight_decay(v::set1(a.weight_decay)),
        nesterov(a.nesterov) {}

  SBORA_FORCE_INLINE v decayed(v w, v g) const noexcept { return multiply_add(weight_decay, w, g * gradient_scale); }
  SBORA_FORCE_INLINE void operator()(v& w, v g, v& velocity) const noexcept {
    g = decayed(w, g);
    velocity = multiply_add(momentum, velocity, gradient_weight * g);
    const v direction = nesterov ? multiply_add(momentum, velocity, g) : velocity;
    w = multiply_add(minus_learning_rate, direction, w);
  }
  SBORA_FORCE_INLINE void operator()(v& w, v g) const noexcept {
    w = multiply_add(minus_learning_rate, decayed(w, g), w);
  }
};

template <class T>
void sgd(const sgd_args<T>& a) noexcept {
  using v = vec<T>;
  const sgd_step<T> step(a);
  for (index_t i = a.begin; i < a.end; i += v::lanes) {
    const index_t n = a.end - i < v::lanes ? a.end - i : index_t{v::lanes};
    v w = v::load_n(a.parameter + i, n);
    const v g = v::load_n(a.gradient + i, n);
    if (a.velocity != nullptr) {
      v velocity = v::load_n(a.velocity + i, n);
      step(w, g, velocity);
      v::store_n(a.velocity + i, velocity, n);
    } else {
      step(w, g);
    }
    v::store_n(a.parameter + i, w, n);
  }
}
