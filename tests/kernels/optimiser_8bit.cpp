// AdamW on moments in 8 bits: the step within its roundings, codes that are the nearest, absmax, blocks.

#include <cmath>
#include <limits>
#include <vector>

#include <sbora/optimisers/moment_maps.hpp>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"
#include "support/running_error.hpp"

using namespace sbora_tests;
using sbora::isa;
using sbora::detail::adamw_8bit_kernels;
using sbora::detail::get_kernels;
using sbora::detail::moment_block;

namespace {

constexpr std::uint64_t seed = 113;
using real = running<float>;

/// One moment's codes and scales, guarded, with what they started from.
struct moment {
  sbora::detail::moment_map map;
  guarded_buffer<std::uint8_t> code;
  guarded_buffer<float> absmax;
  std::vector<std::uint8_t> code0;
  std::vector<float> absmax0;

  moment(const sbora::detail::moment_map& map_, index_t blocks, guard side)
      : map(map_), code(blocks * moment_block, side), absmax(blocks, side) {}

  void remember() { code0 = code.image(), absmax0 = absmax.image(); }
  sbora::detail::moment_codes args() const { return {code.data(), absmax.data(), map}; }
  real before(index_t i) const {
    return real{map.value[code0[static_cast<std::size_t>(i)]]} *
           real{absmax0[static_cast<std::size_t>(i / moment_block)]};
  }
};

struct state {
  guarded_buffer<float> w, g;
  moment m, s;
  std::vector<float> w0, g0;

  state(index_t size, guard side, random_values& random)
      : w(size, side),
        g(size, side),
        m(sbora::detail::first_moment_map, blocks_of(size), side),
        s(sbora::detail::second_moment_map, blocks_of(size), side) {
    for (index_t i = 0; i < size; ++i) {
      w[i] = random.uniform<float>();
      // Over many magnitudes, so that codes of all decades appear.
      g[i] = random.uniform<float>() * std::exp2(-static_cast<float>(i % 29));
    }
    const index_t blocks = blocks_of(size);
    for (index_t b = 0; b < blocks; ++b) {
      m.absmax[b] = b == 1 ? 0.0F : std::fabs(random.uniform<float>()) + 0.1F;
      s.absmax[b] = b == 1 ? 0.0F : m.absmax[b] * m.absmax[b];
    }
    for (index_t i = 0; i < blocks * moment_block; ++i) {
      m.code[i] = i < size ? static_cast<std::uint8_t>(i * 37 % 256) : 127;
      s.code[i] = i < size ? static_cast<std::uint8_t>(i * 91 % 256) : 0;
    }
    if (size > 3) g[3] = 0, s.code[3] = 0, m.code[3] = 127;
    remember();
  }
  static index_t blocks_of(index_t size) { return (size + moment_block - 1) / moment_block; }
  void remember() { w0 = w.image(), g0 = g.image(), m.remember(), s.remember(); }
  void reset() const {
    w.assign(w0), g.assign(g0);
    m.code.assign(m.code0), m.absmax.assign(m.absmax0), s.code.assign(s.code0), s.absmax.assign(s.absmax0);
  }
  sbora::detail::adamw_8bit_args args(index_t begin, index_t end) const {
    return {w.data(),
            g.data(),
            m.args(),
            s.args(),
            {.gradient_scale = 0.3F,
             .rest1 = 0.1F,
             .beta2 = 0.999F,
             .rest2 = 0.001F,
             .epsilon = 1e-6F,
             .decay = 0.99F,
             .step_size = 0.02F,
             .inverse_root_correction = 5.0F},
            begin,
            end};
  }
};

/// The greatest |value| of a block, as far as it is known.
real greatest(const std::vector<real>& values) {
  real most{0};
  for (const real& value : values) {
    most.value = std::max(most.value, std::fabs(value.value));
    most.error = std::max(most.error, value.error);
  }
  return most;
}

/// "" if no entry of the map is nearer to x than the code's, but for what isn't known of x.
std::string check_nearest(const sbora::detail::moment_map& map, std::uint8_t code, real x, bool to_zero) {
  long double best = std::numeric_limits<long double>::infinity();
  for (int other = 0; other < 256; ++other) {
    if (!to_zero && x.value > 0 && other == map.code_of_zero) continue;
    best = std::min(best, std::fabs(x.value - static_cast<long double>(map.value[other])));
  }
  const long double distance = std::fabs(x.value - static_cast<long double>(map.value[code]));
  if (!to_zero && x.value > 0 && code == map.code_of_zero) return "a number became zero";
  // Boundaries are rounded too.
  const long double slack = 2 * (x.error + roundoff<float> * std::fabs(x.value));
  if (distance <= best + slack) return {};
  return "code " + std::to_string(code) + " for " + std::to_string(static_cast<double>(x.value));
}

std::string check_moment(const moment& now, index_t begin, const std::vector<real>& expected, bool to_zero) {
  within_bounds scale;
  const real most = greatest(expected);
  const float absmax = now.absmax[begin / moment_block];
  scale.add(begin, 0, absmax, most.value, most.error);
  std::string failure = scale.failures();
  for (index_t i = 0; i < static_cast<index_t>(expected.size()) && failure.empty(); ++i) {
    const real x = expected[static_cast<std::size_t>(i)] / real{std::max(absmax, 0x1p-126F)};
    failure = check_nearest(now.map, now.code[begin + i], x, to_zero);
  }
  return failure;
}

const std::vector<index_t> sizes = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 255, 256, 257, 511, 512, 600, 770};

}  // namespace

TEST_CASE("adamw_8bit is the step within its roundings, and codes are the nearest", "[kernels]") {
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for (const index_t size : sizes) {
    for (const guard side : both_guards) {
      INFO(sbora::to_string(level) << ", " << size << " parameters, seed " << seed);
      const state c(size, side, random);
      const auto a = c.args(0, size);
      get_kernels<adamw_8bit_kernels<float>>(level).step(a);
      within_bounds parameters;
      for (index_t begin = 0; begin < size; begin += moment_block) {
        std::vector<real> first, second;
        for (index_t i = begin; i < std::min(size, begin + moment_block); ++i) {
          const auto at = static_cast<std::size_t>(i);
          const auto& r = a.rates;
          const real g = real{c.g0[at]} * real{r.gradient_scale};
          const real m = c.m.before(i) + real{r.rest1} * (g - c.m.before(i));
          const real s = real{r.beta2} * c.s.before(i) + real{r.rest2} * g * g;
          const real denominator = sqrt(s) * real{r.inverse_root_correction} + real{r.epsilon};
          const real w = real{c.w0[at]} * real{r.decay} - real{r.step_size} * (m / denominator);
          parameters.add(i, 0, c.w[i], w.value, w.error);
          first.push_back(m);
          // A zero stays one: no error is an excuse.
          second.push_back(c.g0[at] == 0 && c.s.before(i).value == 0 ? real{0} : s);
        }
        CHECK(check_moment(c.m, begin, first, true) == "");
        CHECK(check_moment(c.s, begin, second, false) == "");
      }
      CHECK(parameters.failures() == "");
      CHECK(differing_bits(c.g, c.g0) == "");
      for (index_t i = size; i < c.m.code.size(); ++i) {
        if (c.m.code[i] != 127 || c.s.code[i] != 0) FAIL("code " << i << " beyond the last parameter");
      }
      CHECK((c.w.intact() && c.m.code.intact() && c.m.absmax.intact() && c.s.code.intact() && c.s.absmax.intact()));
    }
  }
}

TEST_CASE("every entry of a map, and what is next to its boundaries, becomes the nearest", "[kernels]") {
  const isa level = GENERATE(from_range(tested_levels()));
  // With rest1 = 1 the first moment is the gradient, so with 1 in its block the codes are those of the gradient.
  const auto& map = sbora::detail::signed_dynamic_map;
  std::vector<float> values;
  for (std::size_t i = 0; i < 256; ++i) {
    values.push_back(map[i]);
    if (i == 255) break;
    const float boundary = 0.5F * (map[i] + map[i + 1]);
    for (const float value : {std::nextafter(boundary, -1.0F), boundary, std::nextafter(boundary, 1.0F)}) {
      values.push_back(value);
    }
  }
  values.insert(values.end(), {-0.0F, 1e-30F, -1e-30F, 1e-7F, -1.0F});
  for (std::size_t begin = 0; begin < values.size(); begin += 255) {
    random_values random(seed);
    const state c(256, guard::back, random);
    for (std::size_t i = 0; i < 256; ++i) {
      c.g[static_cast<index_t>(i)] = i == 255 ? 1.0F : values[std::min(begin + i, values.size() - 1)];
      c.s.code[static_cast<index_t>(i)] = 0;
    }
    c.m.absmax[0] = 0;
    auto a = c.args(0, 256);
    a.rates.gradient_scale = 1;
    a.rates.rest1 = 1;
    get_kernels<adamw_8bit_kernels<float>>(level).step(a);
    CHECK(c.m.absmax[0] == 1);
    CHECK(c.m.code[255] == 255);
    for (index_t i = 0; i < 255; ++i) {
      const float x = c.g[i];
      // By magnitude, so that both signs are alike; a tie goes to zero. There is no -1.
      std::size_t entry = 0;
      while (entry < 128 && std::fabs(x) > 0.5F * (map[127 + entry] + map[128 + entry])) ++entry;
      const std::size_t expected = x < 0 ? 127 - std::min<std::size_t>(entry, 127) : 127 + entry;
      if (c.m.code[i] != expected) FAIL(sbora::to_string(level) << ": " << x << " became " << int(c.m.code[i]));
      // The second moment, 0.001·x²: zero only if x² is.
      CHECK((c.s.code[i] == 0) == (0.001F * (x * x) == 0));
    }
  }
}

TEST_CASE("adamw_8bit of zeros only decays; what isn't finite stays in its block", "[kernels]") {
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  for (const float poison : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    state c(700, guard::back, random);
    for (index_t i = 0; i < 700; ++i) c.g[i] = 0, c.m.code[i] = 127, c.s.code[i] = 0;
    c.g[300] = poison;
    c.remember();
    const auto a = c.args(0, 700);
    get_kernels<adamw_8bit_kernels<float>>(level).step(a);
    for (index_t i = 0; i < 700; ++i) {
      if (i == 300) continue;
      const float decayed = c.w0[static_cast<std::size_t>(i)] * a.rates.decay;
      if (c.w[i] != decayed) FAIL("element " << i);
    }
    CHECK(c.m.absmax[0] == 0);
    CHECK(c.m.absmax[2] == 0);
    CHECK_FALSE(std::isfinite(c.m.absmax[1]));
    c.g[300] = 0;
    get_kernels<adamw_8bit_kernels<float>>(level).step(a);
    for (index_t i = 0; i < 700; ++i) CHECK(std::isfinite(c.w[i]) == (i / moment_block != 1));
  }
}

TEST_CASE("adamw_8bit gives the same bits wherever blocks are shared out", "[kernels]") {
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  const state c(1000, guard::back, random);
  const auto step = get_kernels<adamw_8bit_kernels<float>>(level).step;
  step(c.args(0, 1000));
  const std::vector<float> w = c.w.image(), m_scales = c.m.absmax.image(), s_scales = c.s.absmax.image();
  const std::vector<std::uint8_t> m = c.m.code.image(), s = c.s.code.image();
  for (const index_t cut : {256, 512, 768}) {
    c.reset();
    step(c.args(cut, 1000));
    step(c.args(0, cut));
    CHECK(differing_bits(c.w, w) == "");
    CHECK(differing_bits(c.m.code, m) == "");
    CHECK(differing_bits(c.s.code, s) == "");
    CHECK(differing_bits(c.m.absmax, m_scales) == "");
    CHECK(differing_bits(c.s.absmax, s_scales) == "");
  }
  c.reset();
  step(c.args(256, 512));
  CHECK(differing_bits(c.m.code.data(), std::vector<std::uint8_t>(c.m.code0.begin(), c.m.code0.begin() + 256)) == "");
  CHECK(differing_bits(c.w.data() + 512, std::vector<float>(c.w0.begin() + 512, c.w0.end())) == "");
}
