/// Merging an adapter into a writable weight and taking it out again.
///
///   merge/SCALAR/SHAPE/fa|fb      sbora::merger<SCALAR>::merge, weights from memory
///   unmerge/SCALAR/SHAPE/fa|fb    sbora::merger<SCALAR>::unmerge, likewise
///   merge/f32/.../fa|fb/loop_*    the plain loop that does the same work (peers/loops.cpp)
///   merge/f32/.../lora_eigen      the dense LoRA merge, W.noalias() += s * B * A with Eigen
///
/// One thread; f32 over layers and ranks, 4096 x 4096 and rank 64 for the rest. bytes: the model of
/// support/merge_workload.hpp (cache lines of the region read and written, trained half read, originals written);
/// unmerge: the same without the trained half. The LoRA merge counts flops, and the weight read and written.

#include <memory>
#include <optional>

#include "peers/peers.hpp"
#include "support/lora_workload.hpp"
#include "support/merge_workload.hpp"
#include "support/sizes.hpp"
#include "support/suite.hpp"

namespace {

using bench::merge_shape;
constexpr merge_shape usual;
constexpr double cache_multiple = 4;

std::string name_of(const merge_shape& shape) {
  return std::to_string(shape.d_out) + "x" + std::to_string(shape.d_in) + "/r=" + std::to_string(shape.rank);
}

/// The workload of a kind, verified for each instruction set.
template <class Weight, class Adapter>
auto& workload(const merge_shape& shape, const std::string& kind) {
  struct verified_workload {
    bench::merge_workload<Weight, Adapter> merges;
    int level = -1;
  };
  auto& work = bench::kept("merge " + kind + name_of(shape), [&] {
    return std::make_shared<verified_workload>(verified_workload{{shape, cache_multiple}});
  });
  if (work.level != static_cast<int>(sbora::active_isa())) work.merges.verify();
  work.level = static_cast<int>(sbora::active_isa());
  return work.merges;
}

enum class timed { merge, unmerge };

template <class Weight, class Adapter>
void run(benchmark::State& state, const merge_shape& shape, const std::string& kind, timed what) {
  auto& merges = workload<Weight, Adapter>(shape, kind);
  const auto count = static_cast<double>(merges.count());
  for (auto _ : state) {
    const double merging = bench::seconds_of([&] { merges.merge_all(); });
    const double unmerging = bench::seconds_of([&] { merges.unmerge_all(); });
    state.SetIterationTime((what == timed::merge ? merging : unmerging) / count);
  }
  bench::count_bytes(state, (what == timed::merge ? merges.pass_bytes() : merges.unmerge_bytes()) / count);
}

template <class Weight, class Adapter>
void add_kind(const std::string& type, const std::string& kind, const merge_shape& shape,
              std::optional<sbora::isa> level = {}) {
  for (const timed what : {timed::merge, timed::unmerge}) {
    const std::string name = (what == timed::merge ? "merge/" : "unmerge/") + type + "/" + name_of(shape) + "/" + kind;
    const auto function = [=](benchmark::State& state) { run<Weight, Adapter>(state, shape, type + " " + kind, what); };
    if (!level) {
      bench::add(name, function, bench::timing::reported);
    } else {
      const auto at_level = [=](benchmark::State& state) {
        const bench::forced_isa forced(*level);
        function(state);
      };
      bench::add(name + "/isa=" + sbora::to_string(*level), at_level, bench::timing::reported);
    }
  }
}

template <class Weight, class Adapter>
void add_levels(const std::string& type, const std::string& kind) {
  for (const sbora::isa level : bench::runnable_isas()) add_kind<Weight, Adapter>(type, kind, usual, level);
}

/// What the plain loops merge: as many weights, each with originals of its own, as the mergers keep them.
template <bool IsFa>
struct loop_inputs {
  static constexpr std::size_t weights = 6;

  loop_inputs() {
    const std::size_t half = static_cast<std::size_t>(usual.rank) * 4096;
    for (std::size_t i = 0; i < weights; ++i) {
      all.emplace_back(static_cast<std::size_t>(usual.d_out * usual.d_in));
      bench::fill_uniform(all.back().span(), i);
      trained.emplace_back(half);
      bench::fill_uniform(trained.back().span(), ~i, 0.01F);
      originals.emplace_back(half);
      const double lines = IsFa ? bench::lines_of_columns(all.back().data(), usual, region)
                                : bench::lines_of_rows(all.back().data(), usual, region);
      bytes += 2 * bench::line_bytes * lines + 2 * sizeof(float) * static_cast<double>(half);
    }
  }

  sbora::region region = sbora::sample_region(4096, usual.rank, 1);
  std::vector<std::ptrdiff_t> indices{region.sorted().begin(), region.sorted().end()};
  std::vector<bench::buffer<float>> all;
  std::vector<bench::buffer<float>> trained;
  std::vector<bench::buffer<float>> originals;
  double bytes = 0;
};

template <bool IsFa, class Merge>
void loop(benchmark::State& state, Merge merge) {
  auto& in = bench::kept(IsFa ? "loop fa" : "loop fb", [] { return std::make_shared<loop_inputs<IsFa>>(); });
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
  loop<true>(state, [merge](float* w, float* originals, const float* b, const std::ptrdiff_t* indices, float scale) {
    merge(w, originals, b, indices, usual.d_out, usual.d_in, usual.rank, scale);
  });
}

void fb_loop(benchmark::State& state, decltype(&loop_auto_merge_rows) merge) {
  loop<false>(state, [merge](float* w, float* originals, const float* a, const std::ptrdiff_t* indices, float scale) {
    merge(w, originals, a, indices, usual.d_in, usual.rank, scale);
  });
}

void lora(benchmark::State& state) {
  auto& peer = bench::kept("lora", [] {
    auto made = std::make_shared<bench::lora_workload>(usual.d_out, usual.d_in, usual.rank);
    made->verify();
    return made;
  });
  const auto count = static_cast<double>(peer.count());
  for (auto _ : state) state.SetIterationTime(bench::seconds_of([&] { peer.merge_all(); }) / count);
  bench::count_flops(state, peer.flops());
  bench::count_bytes(state, 2.0 * static_cast<double>(usual.d_out * usual.d_in) * sizeof(float));
}

}  // namespace

void bench::register_suite() {
  benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
  using fa = sbora::fa_adapter<float>;
  using fb = sbora::fb_adapter<float>;
  for (const layer_size& size : layer_sizes()) {
    for (const index_t rank : ranks_at(usual_tokens)) {
      const merge_shape shape{size.d_out, size.d_in, rank};
      add_kind<float, fa>("f32", "fa", shape);
      add_kind<float, fb>("f32", "fb", shape);
    }
  }
  add_levels<float, fa>("f32", "fa");
  add_levels<float, fb>("f32", "fb");
  add_levels<Eigen::bfloat16, fa>("bf16", "fa");
  add_levels<Eigen::bfloat16, fb>("bf16", "fb");
  add_levels<Eigen::half, fa>("f16", "fa");
  add_levels<Eigen::half, fb>("f16", "fb");

  const std::string name = "merge/f32/" + ::name_of(usual);
  constexpr auto how = timing::reported;
  add(
      name + "/fa/loop_auto", [](auto& state) { fa_loop(state, loop_auto_merge_columns); }, how);
  add(
      name + "/fa/loop_scalar", [](auto& state) { fa_loop(state, loop_scalar_merge_columns); }, how);
  add(
      name + "/fb/loop_auto", [](auto& state) { fb_loop(state, loop_auto_merge_rows); }, how);
  add(
      name + "/fb/loop_scalar", [](auto& state) { fb_loop(state, loop_scalar_merge_rows); }, how);
  add(name + "/lora_eigen", lora, how);
}
