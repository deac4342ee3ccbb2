/// The leaf kernels between activations and a region, per instruction set.
///
///   gather/f32            dense_kernels::gather      out[t, j] = x[t, index[j]]           (FA forward)
///   scatter_add/f32       dense_kernels::scatter_add dx[t, index[j]] += s * source[t, j]  (FA backward)
///   row_add/f32           dense_kernels::scatter_add with no index: out[t, j] += s * source[t, j]
///   gather, scatter_add /loop_*   the plain loops (peers/loops.cpp)
///
/// 512 tokens of 4096 features, rank 64: 8 MiB, from the last-level cache, as between two layers.
/// row_add: 512 x 4096 into the same.
/// bytes: gather: every cache line with an element of the region read, the output written. scatter_add:
/// those lines read and written, the source read. row_add: source read, target read and written.

#include <cmath>
#include <stdexcept>
#include <vector>

#include "peers/peers.hpp"
#include "support/merge_workload.hpp"
#include "support/suite.hpp"

namespace {

using sbora::index_t;

constexpr index_t tokens = 512;
constexpr index_t features = 4096;
constexpr index_t rank = 64;

struct inputs {
  bench::buffer<float> wide{static_cast<std::size_t>(tokens * features)};
  bench::buffer<float> thin{static_cast<std::size_t>(tokens * rank)};
  sbora::region region = sbora::sample_region(features, rank, 1);
  std::vector<index_t> index{region.sorted().begin(), region.sorted().end()};

  inputs() {
    bench::fill_uniform(wide.span(), 31);
    bench::fill_uniform(thin.span(), 32);
  }
  double lines() const { return bench::lines_of_columns(wide.data(), {tokens, features, rank}, region); }
  double thin_bytes() const { return static_cast<double>(thin.size()) * sizeof(float); }
};

void expect(bool condition, const char* message) {
  if (!condition) throw std::runtime_error(message);
}

template <class Gather>
void gather(benchmark::State& state, Gather run) {
  inputs in;
  run(in);
  for (index_t t = 0; t < tokens; ++t) {
    for (index_t j = 0; j < rank; ++j) {
      const auto from = static_cast<std::size_t>(t * features + in.index[static_cast<std::size_t>(j)]);
      expect(in.thin[static_cast<std::size_t>(t * rank + j)] == in.wide[from], "gather is wrong");
    }
  }
  bench::measure(state, [&] { run(in); });
  bench::count_bytes(state, bench::line_bytes * in.lines() + in.thin_bytes());
}

template <class Scatter>
void scatter(benchmark::State& state, Scatter run) {
  inputs in;
  const std::vector<float> before(in.wide.begin(), in.wide.end());
  run(in);
  std::vector<float> expected = before;
  for (index_t t = 0; t < tokens; ++t) {
    for (index_t j = 0; j < rank; ++j) {
      const auto to = static_cast<std::size_t>(t * features + in.index[static_cast<std::size_t>(j)]);
      expected[to] += in.thin[static_cast<std::size_t>(t * rank + j)];
    }
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    expect(std::abs(in.wide[i] - expected[i]) < 1e-6F, "scatter_add is wrong");
  }
  bench::measure(state, [&] { run(in); });
  bench::count_bytes(state, 2 * bench::line_bytes * in.lines() + in.thin_bytes());
}

void row_add(benchmark::State& state) {
  inputs in;
  bench::buffer<float> source(in.wide.size());
  bench::fill_uniform(source.span(), 33);
  const sbora::detail::scatter_args<float> args = {source.data(),  features, nullptr, features, 0.5F,
                                                   in.wide.data(), features, 0,       tokens};
  const auto kernel = sbora::detail::get_kernels<sbora::detail::dense_kernels<float>>().scatter_add;
  const std::vector<float> before(in.wide.begin(), in.wide.end());
  kernel(args);
  for (std::size_t i = 0; i < before.size(); ++i) {
    expect(std::abs(in.wide[i] - (before[i] + 0.5F * source[i])) < 1e-6F, "row_add is wrong");
  }
  bench::measure(state, [&] { kernel(args); });
  bench::count_bytes(state, 3.0 * sizeof(float) * static_cast<double>(in.wide.size()));
}

}  // namespace

void bench::register_suite() {
  benchmark::SetDefaultTimeUnit(benchmark::kMicrosecond);

  add_per_isa("gather/f32", [](auto& state) {
    gather(state, [kernel = sbora::detail::get_kernels<sbora::detail::dense_kernels<float>>().gather](inputs& in) {
      kernel({in.wide.data(), features, in.index.data(), rank, in.thin.data(), rank, 0, tokens});
    });
  });
  const auto add_gather = [](const char* name, auto loop) {
    add(name, [loop](auto& state) {
      gather(state,
             [loop](inputs& in) { loop(in.wide.data(), in.thin.data(), in.index.data(), tokens, features, rank); });
    });
  };
  add_gather("gather/f32/loop_auto", loop_auto_gather_columns);
  add_gather("gather/f32/loop_scalar", loop_scalar_gather_columns);

  add_per_isa("scatter_add/f32", [](auto& state) {
    scatter(state,
            [kernel = sbora::detail::get_kernels<sbora::detail::dense_kernels<float>>().scatter_add](inputs& in) {
              kernel({in.thin.data(), rank, in.index.data(), rank, 1.0F, in.wide.data(), features, 0, tokens});
            });
  });
  const auto add_scatter = [](const char* name, auto loop) {
    add(name, [loop](auto& state) {
      scatter(state,
              [loop](inputs& in) { loop(in.thin.data(), in.wide.data(), in.index.data(), tokens, features, rank); });
    });
  };
  add_scatter("scatter_add/f32/loop_auto", loop_auto_scatter_add_columns);
  add_scatter("scatter_add/f32/loop_scalar", loop_scalar_scatter_add_columns);

  add_per_isa("row_add/f32", row_add);
}
