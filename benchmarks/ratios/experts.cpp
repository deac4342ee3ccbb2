/// experts_overhead    grouped forward of 512 tokens, two of 8 experts each, an adapter of rank 64 on every expert, FA
///                     and FB in turn, over the frozen grouped forward, minus 1
/// One thread, f32, experts of 4096 x 4096.

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include <sbora/layers/grouped_linear.hpp>
#include <sbora/sbora.hpp>

#include "../support/memory.hpp"
#include "../support/random.hpp"
#include "registry.hpp"

namespace bench {
namespace {

using sbora::index_t;

constexpr index_t d = 4096, experts = 8, tokens = 512, per_token = 2, rank = 64;

struct expert_workload {
  buffer<float> stack{static_cast<std::size_t>(experts * d * d)}, x{static_cast<std::size_t>(tokens * d)},
      y{static_cast<std::size_t>(per_token * tokens * d)};
  sbora::expert_tokens routed;
  std::vector<sbora::fa_adapter<float>> fa;
  std::vector<sbora::fb_adapter<float>> fb;
  sbora::delta_list<float> deltas;
  sbora::workspace memory;

  expert_workload() {
    fill_uniform(stack.span(), 71, 0.05F);
    fill_uniform(x.span(), 72);
    for (index_t e = 0; e < experts; ++e) {
      const auto seed = static_cast<std::uint64_t>(e);
      if (e % 2 == 0) fa.emplace_back(d, d, sbora::sample_region(d, rank, seed));
      else fb.emplace_back(d, d, sbora::sample_region(d, rank, seed));
    }
    for (index_t e = 0; e < experts; ++e) {
      const auto add = [&](auto& adapter) {
        fill_uniform(adapter.parameters(), 73 + static_cast<std::uint64_t>(e), 0.05F);
        deltas.push_back(adapter.delta());
      };
      if (e % 2 == 0) add(fa[static_cast<std::size_t>(e / 2)]);
      else add(fb[static_cast<std::size_t>(e / 2)]);
    }
    sbora::random_stream random(74);
    std::vector<index_t> ids;
    for (index_t t = 0; t < tokens; ++t) {
      const index_t first = random.below(experts);
      ids.insert(ids.end(), {first, (first + 1 + random.below(experts - 1)) % experts});
    }
    routed.assign(ids, per_token, experts);
  }

  sbora::activation_view<float> in() { return {x.data(), tokens, d}; }
  sbora::activation_view<float> out() { return {y.data(), per_token * tokens, d}; }

  /// Throws unless a spread of y's elements are those of the dense definition.
  void verify() const {
    const auto groups = routed.groups();
    for (index_t i = 0; i < 97; ++i) {
      const index_t place = i * 31 % groups.places(), o = i * 7919 % d;
      index_t e = 0;
      while (groups.offsets[static_cast<std::size_t>(e) + 1] <= place) ++e;
      const float* const token = x.data() + groups.rows[static_cast<std::size_t>(place)] * d;
      const float* const row = stack.data() + (e * d + o) * d;
      const sbora::weight_delta<float>& a = deltas[static_cast<std::size_t>(e)];
      double expected = 0;
      for (index_t k = 0; k < d; ++k) expected += static_cast<double>(row[k]) * static_cast<double>(token[k]);
      const bool is_fa = a.kind == sbora::adapter_kind::fa;
      for (index_t j = 0; j < rank; ++j) {
        const index_t at = a.target->indices()[static_cast<std::size_t>(j)];
        if (!is_fa && at != o) continue;
        for (index_t k = is_fa ? at : 0; k < (is_fa ? at + 1 : d); ++k) {
          const double half = static_cast<double>(a.parameters[is_fa ? o * rank + j : j * d + k]);
          expected += static_cast<double>(a.scale) * half * static_cast<double>(token[k]);
        }
      }
      const auto value = static_cast<double>(y[static_cast<std::size_t>(place * d + o)]);
      if (!(std::abs(expected - value) < 1e-3)) {
        throw std::runtime_error("the experts' result is wrong: " + std::to_string(value) + " instead of " +
                                 std::to_string(expected));
      }
    }
  }
};

}  // namespace

double experts_overhead() {
  expert_workload p;
  const sbora::grouped_linear layer(
      sbora::experts_of(sbora::weight_view<const float>(p.stack.data(), experts * d, d), experts));
  const auto adapted = [&] { layer.forward(p.in(), p.out(), p.routed.groups(), p.deltas, p.memory); };
  adapted();
  p.verify();
  const alternation measured = alternate(
      [&] { return arm(1, arm_seconds, adapted); },
      [&] { return arm(1, arm_seconds, [&] { layer.forward(p.in(), p.out(), p.routed.groups(), {}, p.memory); }); });
  note(measured, "with adapters", "frozen", 1e3, "ms");
  return measured.ratio() - 1;
}

}  // namespace bench
