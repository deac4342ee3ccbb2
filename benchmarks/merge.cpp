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
std::shared_ptr<void> latest;

/// The workload of a kind, built once and verified for each instruction set. Benchmarks run grouped by
/// kind, so only the latest is kept.
template <class Weight, class Adapter>
auto& workload() {
  using work = bench::merge_workload<Weight, Adapter>;
  static std::weak_ptr<work> mine;
  static sbora::isa verified{};
  const bool fresh = mine.expired();
  if (fresh) {
    latest.reset();
    auto made = std::make_shared<work>(shape, cache_multiple);
    mine = made;
    latest = std::move(made);
  }
  work& merges = *mine.lock();
  if (fresh || verified != sbora::active_isa()) merges.verify();
  verified = sbora::active_isa();
  return merges;
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

/// All of this suite time themselves: what puts the state back isn't counted.
template <class Function>
void add_timed(const std::string& name, Function function) {
  bench::add(name, function)->UseManualTime();
}

template <class Weight, class Adapter>
void add_kind(const std::string& kind) {
  for (const timed what : {timed::merge, timed::unmerge}) {
    const std::string name = what == timed::merge ? "merge/" : "unmerge/";
    const auto function = [what](benchmark::State& state) { run<Weight, Adapter>(state, what); };
    for (auto* entry : bench::add_per_isa(name + kind, function)) entry->UseManualTime();
  }
}

/// The plain loops over as many weights; one original store per weight, as the merger keeps one.
template <class Merge>
void loop(benchmark::State& state, bool columns, Merge merge) {
  constexpr std::size_t weights = 6;
  const auto region = sbora::sample_region(4096, shape.rank, 1);
  const std::vector<std::ptrdiff_t> indices(region.sorted().begin(), region.sorted().end());
  const std::size_t half = static_cast<std::size_t>(shape.rank) * 4096;
  std::vector<bench::buffer<float>> all;
  std::vector<bench::buffer<float>> trained;
  std::vector<bench::buffer<float>> originals;
  double bytes = 0;
  for (std::size_t i = 0; i < weights; ++i) {
    all.emplace_back(static_cast<std::size_t>(shape.d_out * shape.d_in));
    bench::fill_uniform(all.back().span(), i);
    trained.emplace_back(half);
    bench::fill_uniform(trained.back().span(), ~i, 0.01F);
    originals.emplace_back(half);
    const double lines = columns ? bench::lines_of_columns(all.back().data(), shape, region)
                                 : bench::lines_of_rows(all.back().data(), shape, region);
    bytes += 2 * bench::line_bytes * lines + 2 * sizeof(float) * static_cast<double>(half);
  }
  float scale = 2;
  for (auto _ : state) {
    const double seconds = bench::seconds_of([&] {
      for (std::size_t i = 0; i < weights; ++i) {
        merge(all[i].data(), originals[i].data(), trained[i].data(), indices.data(), scale);
      }
    });
    scale = -scale;
    state.SetIterationTime(seconds / weights);
  }
  bench::count_bytes(state, bytes / weights);
}

void lora(benchmark::State& state) {
  bench::lora_workload peer(shape.d_out, shape.d_in, shape.rank);
  peer.verify();
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

  const auto columns = [](auto merge) {
    return [merge](float* w, float* originals, const float* b, const std::ptrdiff_t* indices, float scale) {
      merge(w, originals, b, indices, shape.d_out, shape.d_in, shape.rank, scale);
    };
  };
  const auto rows = [](auto merge) {
    return [merge](float* w, float* originals, const float* a, const std::ptrdiff_t* indices, float scale) {
      merge(w, originals, a, indices, shape.d_in, shape.rank, scale);
    };
  };
  const auto add_loop = [](const char* name, bool is_fa, auto merge) {
    add_timed(name, [=](auto& state) { loop(state, is_fa, merge); });
  };
  add_loop("merge/fa/f32/loop_auto", true, columns(loop_auto_merge_columns));
  add_loop("merge/fa/f32/loop_scalar", true, columns(loop_scalar_merge_columns));
  add_loop("merge/fb/f32/loop_auto", false, rows(loop_auto_merge_rows));
  add_loop("merge/fb/f32/loop_scalar", false, rows(loop_scalar_merge_rows));
  add_timed("merge/lora/eigen", lora);
}
