/// forward_overhead_fa|fb[_n1]   forward with an adapter, eval mode, over forward without, minus 1
/// step_overhead_fa|fb           forward + backward with dX + AdamW over frozen forward + dX, minus 1
/// One thread, f32, 4096 x 4096, rank 64; 512 tokens, or 1. Adapter and frozen layer share a weight.

#include <string>

#include "../support/linear_workload.hpp"
#include "registry.hpp"

namespace bench {
namespace {

constexpr linear_shape shape{4096, 4096, 512};

template <class Adapter>
struct problem {
  linear_workload work;
  sbora::linear<sbora::weight_view<float>> layer;
  Adapter adapter;
  sbora::workspace memory;

  explicit problem(index_t tokens)
      : work({shape.d_out, shape.d_in, tokens}),
        layer(work.view()),
        adapter(shape.d_out, shape.d_in, sbora::sample_region(4096, shape.rank, 1)) {
    fill_uniform(adapter.parameters(), 54, 0.05F);
  }

  /// What the adapter adds to W.
  auto delta() const {
    return [this](index_t o, index_t i) {
      const auto indices = adapter.target().indices();
      const index_t index = Adapter::kind == sbora::adapter_kind::fa ? i : o;
      for (std::size_t j = 0; j < indices.size(); ++j) {
        if (indices[j] != index) continue;
        const auto m = adapter.matrix();
        const auto at = static_cast<index_t>(j);
        return adapter.scale() * static_cast<double>(Adapter::kind == sbora::adapter_kind::fa ? m(o, at) : m(at, i));
      }
      return 0.0;
    };
  }
};

double overhead(const alternation& measured, const char* unit_text) {
  note(measured, "with the adapter", "without", 1e3, unit_text);
  return measured.ratio() - 1;
}

template <class Adapter>
double forward_overhead(index_t tokens) {
  problem<Adapter> p(tokens);
  auto& work = p.work;
  const auto with = [&] { p.layer.forward(work.x(), work.y(), std::as_const(p.adapter), p.memory); };
  const auto without = [&] { p.layer.forward(work.x(), work.y(), p.memory); };
  with();
  work.verify(p.delta(), false);
  return overhead(alternate([&] { return arm(1, arm_seconds, with); }, [&] { return arm(1, arm_seconds, without); }),
                  "ms");
}

template <class Adapter>
double step_overhead() {
  problem<Adapter> p(shape.tokens);
  auto& work = p.work;
  typename Adapter::saved_type saved;
  sbora::adamw<float> optimiser(p.adapter.parameter_count());
  auto x = work.x();
  const auto pass = [&] {
    p.layer.forward(x, work.y(), p.adapter, saved, p.memory);
    p.layer.backward(work.dy(), work.dx(), p.adapter, saved, p.memory);
  };
  const auto with = [&] {
    pass();
    optimiser.step(p.adapter.parameters(), p.adapter.gradient(), {1e-4});
    p.adapter.zero_gradient();
  };
  const auto without = [&] {
    p.layer.forward(x, work.y(), p.memory);
    p.layer.backward(work.dy(), work.dx(), p.memory);
  };
  pass();
  work.verify(p.delta(), true);
  return overhead(alternate([&] { return arm(1, arm_seconds, with); }, [&] { return arm(1, arm_seconds, without); }),
                  "ms");
}

using fa = sbora::fa_adapter<float>;
using fb = sbora::fb_adapter<float>;

}  // namespace

double forward_overhead_fa() { return forward_overhead<fa>(shape.tokens); }
double forward_overhead_fb() { return forward_overhead<fb>(shape.tokens); }
double forward_overhead_fa_n1() { return forward_overhead<fa>(1); }
double forward_overhead_fb_n1() { return forward_overhead<fb>(1); }
double step_overhead_fa() { return step_overhead<fa>(); }
double step_overhead_fb() { return step_overhead<fb>(); }

}  // namespace bench
