/// Merging an adapter into a writable weight and taking it out again.
///
///   merge/fa|fb/SCALAR        sbora::merger<SCALAR>::merge, weights from memory
///   unmerge/fa|fb/SCALAR      sbora::merger<SCALAR>::unmerge, likewise
///   merge/fa|fb/f32/loop_*    the plain loop that does the same work (peers/loops.cpp)
///   merge/lora/eigen          the dense LoRA merge, W.noalias() += s * B * A with Eigen
///
/// 4096 x 4096, rank 64, one thread. bytes: the model of support/merge_workload.hpp (cache lines of the
/// region read and written, trained half read, originals written); unmerge: the same without the trained
/// half. The LoRA merge counts flops, and the weight read and written.

#include <memory>

#include "peers/peers.hpp"
#include "support/lora_workload.hpp"
#include "support/merge_workload.hpp"
#include "support/suite.hpp"

namespace {

constexpr bench::merge_shape shape;
constexpr double cache_multiple = 4;

/// The workload of a kind, verified for each instruction set.
template <class Weight, class Adapter>
auto& workload() {
  struct verified_workload {
    bench::merge_workload<Weight, Adapter> merges{shape, cache_multiple};
    int level = -1;
  };
  auto& work = bench::kept([] { return std::make_shared<verified_workload>(); });
  if (work.level != static_cast<int>(sbora::active_isa())) work.merges.verify();
  work.level = static_cast<int>(sbora::active_isa());
  return work.merges;
}

enum class timed { merge, unmerge };

template <class Weight, class Adapter>
void run(benchmark::State& state, timed what) {
  auto& merges = workload<Weight, Adapter>();
  const auto count = static_cast<double>(merges.count());
  for (auto _ : state) {
    const double merging = bench::seconds_of([&] { merges.merge_all(); });
    const double unmerging = bench::seconds_of([&] { merges.unmerge_all(); });
    state.SetIterationTime((what == timed::merge ? merging : unmerging) / count);
  }
  bench::count_bytes(state, (what == timed::merge ? merges.pass_bytes() : merges.unmerge_bytes()) / count);
}

template <class Weight, class Adapter>
void add_kind(const std::string& kind) {
  for (const timed what : {timed::merge, timed::unmerge}) {
    const std::string name = what == timed::merge ? "merge/" : "unmerge/";
    const auto function = [what](benchmark::State& state) { run<Weight, Adapter>(state, what); };
    bench::add_per_isa(name + kind, function, bench::timing::reported);
  }
}

/// What the plain loops merge: as many weights, each with originals of its own, as the mergers keep them.
template <bool IsFa>
struct loop_inputs {
  static constexpr std::size_t weights = 6;

  loop_inputs() {
    const std::size_t half = static_cast<std::size_t>(shape.rank) * 4096;
    for (std::size_t i = 0; i < weights; ++i) {
      all.emplace_back(static_cast<std::size_t>(shape.d_out * shape.d_in));
      bench::fill_uniform(all.back().span(), i);
      trained.emplace_back(half);
      bench::fill_uniform(trained.back().span(), ~i, 0.01F);
      originals.emplace_back(half);
      const double lines = IsFa ? bench::lines_of_columns(all.back().data(), shape, region)
                                : bench::lines_of_rows(all.back().data(), shape, region);
      bytes += 2 * bench::line_bytes * lines + 2 * sizeof(float) * static_cast<double>(half);
    }
  }

  sbora::region region = sbora::sample_region(4096, shape.rank, 1);
  std::vector<std::ptrdiff_t> indices{region.sorted().begin(), region.sorted().end()};
  std::vector<bench::buffer<float>> all;
  std::vector<bench::buffer<float>> trained;
  std::vector<bench::buffer<float>> originals;
  double bytes = 0;
};

template <bool IsFa, class Merge>
void loop(benchmark::State& state, Merge merge) {
  auto& in = bench::kept([] { return std::make_shared<loop_inputs<IsFa>>(); });
  float scale = 2;
  for (auto _ : state) {
    const double seconds = bench::seconds_of([&] {
      for (std::size_t i = 0; i < in.weights; ++i) {
        merge(in.all[i].data(), in.originals[i].data(), in.trained[i].data(), in.indices.data(), scale);
      }
    });
    scale = -scale;
    state.SetIterationTime(seconds / in.weights);
  }
  bench::count_bytes(state, in.bytes / in.weights);
}

void fa_loop(benchmark::State& state, decltype(&loop_auto_merge_columns) merge) {
  loop<true>(state, [merge](float* w, float* originals, const float* b, const std::ptrdiff_t* indices,
                            float scale) {
    merge(w, originals, b, indices, shape.d_out, shape.d_in, shape.rank, scale);
  });
}

void fb_loop(benchmark::State& state, decltype(&loop_auto_merge_rows) merge) {
  loop<false>(state, [merge](float* w, float* originals, const float* a, const std::ptrdiff_t* indices,
                             float scale) {
    merge(w, originals, a, indices, shape.d_in, shape.rank, scale);
  });
}

void lora(benchmark::State& state) {
  auto& peer = bench::kept([] {
    auto made = std::make_shared<bench::lora_workload>(shape.d_out, shape.d_in, shape.rank);
    made->verify();
    return made;
  });
  const auto count = static_cast<double>(peer.count());
  for (auto _ : state) state.SetIterationTime(bench::seconds_of([&] { peer.merge_all(); }) / count);
  bench::count_flops(state, peer.flops());
  bench::count_bytes(state, 2.0 * static_cast<double>(shape.d_out * shape.d_in) * sizeof(float));
}

}  // namespace

void bench::register_suite() {
  benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
  using fa = sbora::fa_adapter<float>;
  using fb = sbora::fb_adapter<float>;
  add_kind<float, fa>("fa/f32");
  add_kind<float, fb>("fb/f32");
  add_kind<Eigen::bfloat16, fa>("fa/bf16");
  add_kind<Eigen::bfloat16, fb>("fb/bf16");
  add_kind<Eigen::half, fa>("fa/f16");
  add_kind<Eigen::half, fb>("fb/f16");

  constexpr auto how = timing::reported;
  add("merge/fa/f32/loop_auto", [](auto& state) { fa_loop(state, loop_auto_merge_columns); }, how);
  add("merge/fa/f32/loop_scalar", [](auto& state) { fa_loop(state, loop_scalar_merge_columns); }, how);
  add("merge/fb/f32/loop_auto", [](auto& state) { fb_loop(state, loop_auto_merge_rows); }, how);
  add("merge/fb/f32/loop_scalar", [](auto& state) { fb_loop(state, loop_scalar_merge_rows); }, how);
  add("merge/lora/eigen", lora, how);
}
