#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"
#include "support/running_error.hpp"

using namespace sbora_tests;
using sbora::isa;
using sbora::detail::adamw_rates;
using sbora::detail::get_kernels;
using sbora::detail::lion_rates;
using sbora::detail::muon_direction_rates;
using sbora::detail::muon_rates;
using sbora::detail::scaling_rates;
using sbora::detail::sgd_rates;
using sbora::detail::step_args;
using sbora::detail::step_kernels;

namespace {

constexpr std::uint64_t seed = 103;

/// Parameters, gradient and two state arrays, guarded, with the values they started from.
template <class T>
struct optimiser_case {
  guarded_buffer<T> w, g, m, s;
  std::vector<T> w0, g0, m0, s0;

  optimiser_case(index_t size, guard side, random_values& random)
      : w(size, side), g(size, side), m(size, side), s(size, side) {
    for (index_t i = 0; i < size; ++i) {
      w[i] = random.uniform<T>();
      g[i] = random.uniform<T>() * T(3);
      m[i] = random.uniform<T>();
      s[i] = random.uniform<T>() + T(1);
    }
    if (size > 2) m[2] = s[2] = T(0);  // as in a first step
    w0 = w.image(), g0 = g.image(), m0 = m.image(), s0 = s.image();
  }
  void reset() const { w.assign(w0), g.assign(g0), m.assign(m0), s.assign(s0); }

  step_args<adamw_rates<T>> adamw(index_t begin, index_t end) const {
    return {w.data(),
            g.data(),
            {m.data(), s.data()},
            {.gradient_scale = T(0.3),
             .rest1 = T(0.1),
             .beta2 = T(0.999999),
             .rest2 = T(1e-6),
             .epsilon = T(1e-6),
             .decay = T(0.99),
             .step_size = T(0.02),
             .inverse_root_correction = T(5)},
            begin,
            end};
  }
  step_args<sgd_rates<T>> sgd(bool momentum, bool nesterov, index_t begin, index_t end) const {
    return {w.data(),
            g.data(),
            {momentum ? m.data() : nullptr},
            {.gradient_scale = T(0.3),
             .learning_rate = T(0.05),
             .momentum = T(0.9),
             .gradient_weight = T(0.6),
             .weight_decay = T(0.01),
             .nesterov = nesterov},
            begin,
            end};
  }
  step_args<lion_rates<T>> lion(index_t begin, index_t end) const {
    return {w.data(),
            g.data(),
            {m.data()},
            {.gradient_scale = T(0.3), .rest1 = T(0.1), .rest2 = T(0.01), .decay = T(0.99), .learning_rate = T(0.02)},
            begin,
            end};
  }
  step_args<muon_direction_rates<T>> muon_direction(bool nesterov, index_t begin, index_t end) const {
    return {w.data(), g.data(), {m.data()}, {.gradient_scale = T(0.3), .rest = T(0.05), .nesterov = nesterov},
            begin,    end};
  }
  step_args<scaling_rates<T>> scaling(index_t begin, index_t end) const {
    return {w.data(), g.data(), {}, {.factor = T(0.7)}, begin, end};
  }
  step_args<muon_rates<T>> muon(index_t begin, index_t end) const {
    return {w.data(), g.data(), {}, {.decay = T(0.99), .step_size = T(0.02)}, begin, end};
  }

  /// The elements outside of [begin, end), of everything, and all of `constant` are as they were.
  std::string untouched(index_t begin, index_t end) const {
    const auto outside = [&](const guarded_buffer<T>& now, std::vector<T> then) {
      for (index_t i = begin; i < end; ++i) then[static_cast<std::size_t>(i)] = now[i];
      return differing_bits(now, then);
    };
    return outside(w, w0) + outside(m, m0) + outside(s, s0) + differing_bits(g, g0);
  }
};

template <class Rates>
void run(isa level, const step_args<Rates>& args) {
  get_kernels<step_kernels<Rates>>(level).step(args);
}

/// Whole range, and one whose ends are nowhere near a vector's.
std::vector<std::pair<index_t, index_t>> ranges_of(index_t size) {
  std::vector<std::pair<index_t, index_t>> ranges = {{0, size}, {0, 0}};
  if (size > 2) ranges.emplace_back(1, size - 1);
  return ranges;
}

struct sgd_form {
  const char* name;
  bool momentum, nesterov;
};
constexpr sgd_form sgd_forms[] = {{"plain", false, false}, {"momentum", true, false}, {"nesterov", true, true}};

}  // namespace

TEMPLATE_TEST_CASE("adamw is the formula within its roundings", "[kernels]", float, double) {
  using T = TestType;
  using real = running<T>;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for (const index_t size : lengths_around<T>(level)) {
    for (const guard side : both_guards) {
      const optimiser_case<T> c(size, side, random);
      for (const auto& [begin, end] : ranges_of(size)) {
        INFO(sbora::to_string(level) << ", [" << begin << ", " << end << ") of " << size << ", seed " << seed);
        c.reset();
        const auto a = c.adamw(begin, end);
        run(level, a);
        within_bounds results;
        for (index_t i = begin; i < end; ++i) {
          const auto at = static_cast<std::size_t>(i);
          const real g = real{c.g0[at]} * real{a.rates.gradient_scale};
          const real m = real{c.m0[at]} + real{a.rates.rest1} * (g - real{c.m0[at]});
          const real s = real{a.rates.beta2} * real{c.s0[at]} + real{a.rates.rest2} * g * g;
          const real denominator = sqrt(s) * real{a.rates.inverse_root_correction} + real{a.rates.epsilon};
          const real w = real{c.w0[at]} * real{a.rates.decay} - real{a.rates.step_size} * (m / denominator);
          results.add(i, 0, c.w[i], w.value, w.error);
          results.add(i, 1, c.m[i], m.value, m.error);
          results.add(i, 2, c.s[i], s.value, s.error);
        }
        CHECK(results.failures() == "");
        CHECK(c.untouched(begin, end) == "");
      }
    }
  }
}

TEMPLATE_TEST_CASE("adamw of zeros only decays, and a NaN stays in its element", "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  const index_t size = 2 * lanes<T>(level) + 3;
  random_values random(seed);
  const optimiser_case<T> c(size, guard::back, random);
  for (index_t i = 0; i < size; ++i) c.g[i] = c.m[i] = c.s[i] = T(0);
  const index_t poisoned = size / 2;
  c.g[poisoned] = std::numeric_limits<T>::quiet_NaN();
  const auto a = c.adamw(0, size);
  run(level, a);
  for (index_t i = 0; i < size; ++i) {
    INFO(sbora::to_string(level) << ", element " << i << " of " << size);
    const bool is_nan = !(c.w[i] == c.w[i]);
    CHECK(is_nan == (i == poisoned));
    const T decayed = c.w0[static_cast<std::size_t>(i)] * a.rates.decay;
    if (i != poisoned) CHECK(c.w[i] == decayed);
  }
}

TEMPLATE_TEST_CASE("sgd is the formula within its roundings", "[kernels]", float, double) {
  using T = TestType;
  using real = running<T>;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for (const sgd_form& form : sgd_forms) {
    for (const index_t size : lengths_around<T>(level)) {
      for (const guard side : both_guards) {
        const optimiser_case<T> c(size, side, random);
        for (const auto& [begin, end] : ranges_of(size)) {
          INFO(sbora::to_string(level) << ", " << form.name << ", [" << begin << ", " << end << ") of " << size
                                       << ", seed " << seed);
          c.reset();
          const auto a = c.sgd(form.momentum, form.nesterov, begin, end);
          run(level, a);
          within_bounds results;
          for (index_t i = begin; i < end; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const real w0{c.w0[at]};
            const real g = real{c.g0[at]} * real{a.rates.gradient_scale} + real{a.rates.weight_decay} * w0;
            const real v = real{a.rates.momentum} * real{c.m0[at]} + real{a.rates.gradient_weight} * g;
            const real nesterov = g + real{a.rates.momentum} * v;
            const real direction = !form.momentum ? g : (form.nesterov ? nesterov : v);
            const real w = w0 - real{a.rates.learning_rate} * direction;
            results.add(i, 0, c.w[i], w.value, w.error);
            if (form.momentum) results.add(i, 1, c.m[i], v.value, v.error);
          }
          CHECK(results.failures() == "");
          CHECK(c.untouched(begin, end) == "");
          if (!form.momentum) CHECK(differing_bits(c.m, c.m0) == "");
          CHECK(differing_bits(c.s, c.s0) == "");
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("optimiser steps give the same bits wherever a range is cut", "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  const index_t size = 3 * lanes<T>(level) + 2;
  random_values random(seed);
  const optimiser_case<T> c(size, guard::back, random);
  const auto check_cuts = [&](const char* name, auto&& step) {
    c.reset();
    step(0, size);
    const std::vector<T> w = c.w.image(), m = c.m.image(), s = c.s.image();
    for (index_t cut = 0; cut <= size; ++cut) {
      INFO(sbora::to_string(level) << ", " << name << ", cut at " << cut << " of " << size << ", seed " << seed);
      c.reset();
      step(0, cut);
      step(cut, size);
      CHECK(differing_bits(c.w, w) == "");
      CHECK(differing_bits(c.m, m) == "");
      CHECK(differing_bits(c.s, s) == "");
    }
  };
  check_cuts("adamw", [&](index_t begin, index_t end) { run(level, c.adamw(begin, end)); });
  for (const sgd_form& form : sgd_forms) {
    check_cuts(form.name,
               [&](index_t begin, index_t end) { run(level, c.sgd(form.momentum, form.nesterov, begin, end)); });
  }
  check_cuts("lion", [&](index_t begin, index_t end) { run(level, c.lion(begin, end)); });
  for (const bool nesterov : {false, true}) {
    check_cuts("muon's direction",
               [&](index_t begin, index_t end) { run(level, c.muon_direction(nesterov, begin, end)); });
  }
  check_cuts("scaling", [&](index_t begin, index_t end) { run(level, c.scaling(begin, end)); });
  check_cuts("muon", [&](index_t begin, index_t end) { run(level, c.muon(begin, end)); });
}

TEMPLATE_TEST_CASE("lion is the formula within its roundings", "[kernels]", float, double) {
  using T = TestType;
  using real = running<T>;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for (const index_t size : lengths_around<T>(level)) {
    for (const guard side : both_guards) {
      const optimiser_case<T> c(size, side, random);
      for (const auto& [begin, end] : ranges_of(size)) {
        INFO(sbora::to_string(level) << ", [" << begin << ", " << end << ") of " << size << ", seed " << seed);
        c.reset();
        const auto a = c.lion(begin, end);
        run(level, a);
        within_bounds results;
        for (index_t i = begin; i < end; ++i) {
          const auto at = static_cast<std::size_t>(i);
          const real m0{c.m0[at]}, change = real{c.g0[at]} * real{a.rates.gradient_scale} - m0;
          const real direction = m0 + real{a.rates.rest1} * change, m = m0 + real{a.rates.rest2} * change;
          // Zero is exact only where all of it is; else the sign has to be known.
          REQUIRE((std::fabs(direction.value) > direction.error || (c.m0[at] == 0 && c.g0[at] == 0)));
          const T sign = direction.value > 0 ? T(1) : direction.value < 0 ? T(-1) : T(0);
          const real w = real{c.w0[at]} * real{a.rates.decay} - real{a.rates.learning_rate} * real{sign};
          results.add(i, 0, c.w[i], w.value, w.error);
          results.add(i, 1, c.m[i], m.value, m.error);
        }
        CHECK(results.failures() == "");
        CHECK(c.untouched(begin, end) == "");
        CHECK(differing_bits(c.s, c.s0) == "");
      }
    }
  }
}

TEMPLATE_TEST_CASE("lion moves by the learning rate for any direction but zero, and a NaN stays in its element",
                   "[kernels]", float, double) {
  using T = TestType;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  const std::vector<T> gradients = {T(0),
                                    -T(0),
                                    std::numeric_limits<T>::denorm_min(),
                                    -std::numeric_limits<T>::min(),
                                    std::numeric_limits<T>::max(),
                                    std::numeric_limits<T>::infinity(),
                                    -std::numeric_limits<T>::infinity(),
                                    std::numeric_limits<T>::quiet_NaN()};
  const T signs[] = {0, 0, 1, -1, 1, 1, -1, std::numeric_limits<T>::quiet_NaN()};
  const auto size = static_cast<index_t>(gradients.size());
  for (index_t shift = 0; shift < size; ++shift) {  // every lane once
    const optimiser_case<T> c(size, guard::back, random);
    for (index_t i = 0; i < size; ++i) {
      c.g[i] = gradients[static_cast<std::size_t>((i + shift) % size)];
      c.m[i] = T(0);
    }
    auto a = c.lion(0, size);
    a.rates.gradient_scale = a.rates.rest1 = a.rates.decay = T(1);
    a.rates.learning_rate = T(0.25);
    run(level, a);
    for (index_t i = 0; i < size; ++i) {
      const T sign = signs[(i + shift) % size], w = c.w0[static_cast<std::size_t>(i)] - T(0.25) * sign;
      INFO(sbora::to_string(level) << ", element " << i << " of " << size << ", shift " << shift);
      CHECK((sign == sign ? c.w[i] == w : !(c.w[i] == c.w[i])));
    }
  }
}

TEMPLATE_TEST_CASE("muon's passes are their formulas within their roundings", "[kernels]", float, double) {
  using T = TestType;
  using real = running<T>;
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for (const index_t size : lengths_around<T>(level)) {
    for (const guard side : both_guards) {
      const optimiser_case<T> c(size, side, random);
      for (const auto& [begin, end] : ranges_of(size)) {
        INFO(sbora::to_string(level) << ", [" << begin << ", " << end << ") of " << size << ", seed " << seed);
        const auto check = [&, begin = begin, end = end](const auto& args, auto&& expected) {  // clang 14 needs names
          c.reset();
          run(level, args);
          within_bounds results;
          for (index_t i = begin; i < end; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const auto [w, m] = expected(args.rates, real{c.w0[at]}, real{c.g0[at]}, real{c.m0[at]});
            results.add(i, 0, c.w[i], w.value, w.error);
            results.add(i, 1, c.m[i], m.value, m.error);
          }
          CHECK(results.failures() == "");
          CHECK(c.untouched(begin, end) == "");
          CHECK(differing_bits(c.s, c.s0) == "");
        };
        for (const bool nesterov : {false, true}) {
          check(c.muon_direction(nesterov, begin, end), [&](const auto& rates, real, real g, real m) {
            g = g * real{rates.gradient_scale};
            m = m + real{rates.rest} * (g - m);
            return std::pair(nesterov ? m + real{rates.rest} * (g - m) : m, m);
          });
        }
        check(c.scaling(begin, end),
              [](const auto& rates, real, real g, real m) { return std::pair(g * real{rates.factor}, m); });
        check(c.muon(begin, end), [](const auto& rates, real w, real g, real m) {
          return std::pair(w * real{rates.decay} - real{rates.step_size} * g, m);
        });
      }
    }
  }
}
