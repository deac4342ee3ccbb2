#pragma once

/// What the suites of layers run over. `run.sh --full` (SBORA_BENCH_FULL=1): every combination, which takes hours;
/// otherwise one layer and one axis at a time, which takes minutes.

#include <cstdlib>
#include <string>
#include <vector>

#include "cores.hpp"
#include "linear_workload.hpp"
#include "suite.hpp"

namespace bench {

inline bool is_full() {
  static const bool full = [] {
    const char* text = std::getenv("SBORA_BENCH_FULL");
    return text != nullptr && text[0] == '1';
  }();
  return full;
}

struct layer_size {
  index_t d_out, d_in;
};

/// LLaMA-7B: attention, then up, gate and down. LLaMA3-8B: attention (keys and values have fewer heads), then up, gate
/// and down.
inline std::vector<layer_size> layer_sizes() {
  if (!is_full()) return {{4096, 4096}};
  return {{4096, 4096}, {1024, 4096}, {11008, 4096}, {4096, 11008}, {14336, 4096}, {4096, 14336}};
}

inline std::vector<index_t> token_counts() {
  if (!is_full()) return {1, 16, 64, 512};
  return {1, 16, 64, 512, 2048};
}

constexpr index_t usual_rank = 64, usual_tokens = 512;

/// Ranks that are measured at so many tokens.
inline std::vector<index_t> ranks_at(index_t tokens) {
  if (!is_full() && tokens != usual_tokens) return {usual_rank};
  return {8, 32, 64, 256};
}

inline std::vector<int> thread_counts() {
  static const bool two = all_cores().count() >= 2;
  if (two) return {1, 2};
  return {1};
}

/// Registers `function(state)`: on one thread, or on all cores and by the clock on the wall.
template <class Function>
benchmark::internal::Benchmark* add_threaded(const std::string& name, int threads, Function function) {
  if (threads == 1) return add(name, function);
  const auto on_all_cores = [function](benchmark::State& state) {
    const all_cores cores;
    function(state);
  };
  return add(name, on_all_cores, timing::wall);
}

/// "4096x4096/n=512", with "/r=64" where there is a rank, and "/t=1".
inline std::string name_of(const linear_shape& shape, int threads, bool with_rank) {
  return std::to_string(shape.d_out) + "x" + std::to_string(shape.d_in) + "/n=" + std::to_string(shape.tokens) +
         (with_rank ? "/r=" + std::to_string(shape.rank) : "") + "/t=" + std::to_string(threads);
}

/// Ten repetitions are for what takes milliseconds.
inline int repetitions(double flops) { return flops < 4e9 ? 10 : 5; }

}  // namespace bench
