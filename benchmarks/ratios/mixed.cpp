/// mixed_64_adapters    forward of 64 tokens, each with another FA or FB adapter of rank 8 to 64, over the frozen
///                      forward, minus 1
/// mixed_512_8          the same of 512 tokens of 8 adapters, in any order
/// mixed_step_512_8     forward, backward with dX and gradients of the same over the frozen forward + dX, minus 1
/// mixed_vs_serial      time of one forward a group of tokens (64 tokens, 64 adapters) over that of the mixed batch
/// batch_invariant_n1   time of a forward of 1 token that has the same bits in any batch, over one that needn't; _n64
/// One thread, f32, 4096 x 4096.

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include <sbora/layers/mixed.hpp>

#include "../support/linear_workload.hpp"
#include "registry.hpp"

namespace bench {
namespace {

constexpr index_t d = 4096;

struct mixed_workload {
  linear_workload work;
  sbora::linear<sbora::weight_view<float>> layer;
  std::vector<sbora::fa_adapter<float>> fa;
  std::vector<sbora::fb_adapter<float>> fb;
  sbora::delta_list<float> deltas;
  std::vector<index_t> ids;
  sbora::adapter_rows rows;
  sbora::workspace memory;

  mixed_workload(index_t tokens, index_t adapters) : work({d, d, tokens}), layer(work.view()) {
    sbora::random_stream random(61);
    for (index_t i = 0; i < adapters; ++i) {
      const index_t rank = 8 + random.below(57);
      const auto seed = static_cast<std::uint64_t>(i);
      if (i % 2 == 0) fa.emplace_back(d, d, sbora::sample_region(d, rank, seed));
      else fb.emplace_back(d, d, sbora::sample_region(d, rank, seed));
    }
    for (index_t i = 0; i < adapters; ++i) {
      const auto at = static_cast<std::size_t>(i / 2);
      const auto add = [&](auto& adapter) {
        fill_uniform(adapter.parameters(), 62 + static_cast<std::uint64_t>(i), 0.05F);
        deltas.push_back(adapter.delta());
      };
      if (i % 2 == 0) add(fa[at]);
      else add(fb[at]);
    }
    for (index_t t = 0; t < tokens; ++t) ids.push_back(tokens == adapters ? t : random.below(adapters));
    rows.assign(ids, adapters);
  }

  void forward() {
    layer.forward(work.x(), work.y(), memory);
    sbora::mixed_forward(deltas, rows, work.x(), work.y(), memory);
  }
  void frozen_forward() { layer.forward(work.x(), work.y(), memory); }
  void step() {
    layer.forward(work.x(), work.y(), memory);
    sbora::mixed_forward(deltas, rows, work.x(), work.y(), sbora::training_step{}, memory);
    layer.backward(work.dy(), work.dx(), memory);
    sbora::mixed_backward(deltas, rows, work.dy(), work.x(), work.dx(), sbora::training_step{}, memory);
  }
  void frozen_step() {
    layer.forward(work.x(), work.y(), memory);
    layer.backward(work.dy(), work.dx(), memory);
  }
  /// One call for each token's adapter, as PEFT's way is one for each group.
  void serial() {
    for (std::size_t t = 0; t < ids.size(); ++t) {
      const auto token = static_cast<index_t>(t);
      auto x = work.x().row(token);
      auto y = work.y().row(token);
      layer.forward(x, y, std::span<const sbora::weight_delta<float>>(&deltas[static_cast<std::size_t>(ids[t])], 1),
                    memory);
    }
  }

  /// Throws unless a spread of y's elements are those of the dense definition.
  void verify() {
    for (index_t i = 0; i < 97; ++i) {
      const index_t t = i * 31 % work.sizes().tokens, o = i * 7919 % d;
      const sbora::weight_delta<float>& a = deltas[static_cast<std::size_t>(ids[static_cast<std::size_t>(t)])];
      double expected = 0;
      for (index_t k = 0; k < d; ++k) {
        expected += static_cast<double>(work.weight()[o * d + k]) * static_cast<double>(work.x()(t, k));
      }
      const auto indices = a.target->indices();
      for (index_t j = 0; j < a.rank(); ++j) {
        const index_t at = indices[static_cast<std::size_t>(j)];
        const bool is_fa = a.kind == sbora::adapter_kind::fa;
        for (index_t k = 0; k < d; ++k) {
          const index_t row = is_fa ? k : at, column = is_fa ? at : k;
          if (row != o) continue;
          const double half = static_cast<double>(a.parameters[is_fa ? k * a.rank() + j : j * d + k]);
          expected += static_cast<double>(a.scale) * half * static_cast<double>(work.x()(t, column));
        }
      }
      const auto value = static_cast<double>(work.y()(t, o));
      if (!(std::abs(expected - value) < 1e-3)) {
        throw std::runtime_error("the batch's result is wrong: " + std::to_string(value) + " instead of " +
                                 std::to_string(expected));
      }
    }
  }
};

template <class With, class Without>
double measured_ratio(const char* first, const char* second, const With& with, const Without& without) {
  const alternation measured =
      alternate([&] { return arm(1, arm_seconds, with); }, [&] { return arm(1, arm_seconds, without); });
  note(measured, first, second, 1e3, "ms");
  return measured.ratio();
}

double forward_overhead(index_t tokens, index_t adapters) {
  mixed_workload p(tokens, adapters);
  p.forward();
  p.verify();
  return measured_ratio(
             "mixed", "frozen", [&] { p.forward(); }, [&] { p.frozen_forward(); }) -
         1;
}

double batch_invariant_cost(index_t tokens) {
  linear_workload work({d, d, tokens});
  sbora::linear layer(work.view()), invariant(work.view());
  invariant.set_batch_invariant(true);
  sbora::workspace memory;
  const auto with = [&] { invariant.forward(work.x(), work.y(), memory); };
  with();
  work.verify_forward(no_delta);
  return measured_ratio("invariant", "as it is fastest", with, [&] { layer.forward(work.x(), work.y(), memory); });
}

}  // namespace

double batch_invariant_n1() { return batch_invariant_cost(1); }
double batch_invariant_n64() { return batch_invariant_cost(64); }
double mixed_64_adapters() { return forward_overhead(64, 64); }
double mixed_512_8() { return forward_overhead(512, 8); }
double mixed_step_512_8() {
  mixed_workload p(512, 8);
  p.step();
  p.verify();
  return measured_ratio(
             "mixed", "frozen", [&] { p.step(); }, [&] { p.frozen_step(); }) -
         1;
}
double mixed_vs_serial() {
  mixed_workload p(64, 64);
  p.serial();
  p.verify();
  p.forward();
  p.verify();
  return measured_ratio(
      "one by one", "mixed", [&] { p.serial(); }, [&] { p.forward(); });
}

}  // namespace bench
