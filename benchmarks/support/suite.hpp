#pragma once

/// What the Google Benchmark suites share.

#include <algorithm>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <sbora/sbora.hpp>

#include "timing.hpp"

namespace bench {

/// Called by main before the benchmarks run; each suite defines it.
void register_suite();

/// Ten repetitions; median, MAD and the least are kept.
inline benchmark::internal::Benchmark* standard(benchmark::internal::Benchmark* entry) {
  return entry->Repetitions(10)
      ->ReportAggregatesOnly()
      ->ComputeStatistics("mad", [](const std::vector<double>& values) { return mad(values); })
      ->ComputeStatistics(
          "min", [](const std::vector<double>& values) { return *std::min_element(values.begin(), values.end()); });
}

/// How the time of one iteration is had.
enum class timing {
  measured,  ///< Google Benchmark takes the thread's processor time of the loop
  reported,  ///< the benchmark calls SetIterationTime, so that putting the state back isn't counted
  wall       ///< Google Benchmark takes the time that passes: work on several threads
};

/// Registers `function(state)`. What it throws (a wrong result, say) becomes the benchmark's error.
template <class Function>
benchmark::internal::Benchmark* add(const std::string& name, Function function, timing how = timing::measured) {
  auto* entry = standard(benchmark::RegisterBenchmark(name.c_str(), [function](benchmark::State& state) {
    try {
      function(state);
    } catch (const std::exception& problem) {
      state.SkipWithError(problem.what());
    }
  }));
  if (how == timing::reported) return entry->UseManualTime()->Iterations(2);
  if (how == timing::wall) entry->UseRealTime();
  return entry->MinTime(0.03);
}

inline std::pair<std::string, std::shared_ptr<void>>& latest_kept() {
  static std::pair<std::string, std::shared_ptr<void>> latest;
  return latest;
}

/// The object that make() returned for this key, for all repetitions of the benchmarks that use it and run one after
/// another: only the latest is kept, since inputs are large. A key is of one type.
template <class Make>
auto& kept(const std::string& key, Make make) {
  using object = std::remove_cvref_t<decltype(*make())>;
  auto& memory = latest_kept();
  if (memory.first != key) {
    memory = {};
    memory = {key, std::shared_ptr<object>(make())};
  }
  return *static_cast<object*>(memory.second.get());
}

/// The levels that this machine can run, lowest first.
inline std::vector<sbora::isa> runnable_isas() {
  const sbora::isa active = sbora::active_isa();
  std::vector<sbora::isa> levels;
  for (const sbora::isa level : sbora::all_levels) {
    try {
      sbora::force_isa(level);
      levels.push_back(level);
    } catch (const sbora::error&) {
    }
  }
  sbora::force_isa(active);
  return levels;
}

/// Forces a level for the life of this object.
class forced_isa {
 public:
  explicit forced_isa(sbora::isa level) : before_(sbora::active_isa()) { sbora::force_isa(level); }
  ~forced_isa() { sbora::force_isa(before_); }
  forced_isa(const forced_isa&) = delete;
  forced_isa& operator=(const forced_isa&) = delete;

 private:
  sbora::isa before_;
};

/// Registers `function(state)` once per level, with /isa=LEVEL at the end of the name.
template <class Function>
void add_per_isa(const std::string& name, Function function, timing how = timing::measured) {
  for (const sbora::isa level : runnable_isas()) {
    const auto at_level = [level, function](benchmark::State& state) {
      const forced_isa forced(level);
      function(state);
    };
    add(name + "/isa=" + sbora::to_string(level), at_level, how);
  }
}

/// The benchmark's loop, timed by Google Benchmark: the thread's processor time.
template <class Run>
void measure(benchmark::State& state, Run&& run) {
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
}

/// Bytes per second by the byte model of the suite.
inline void count_bytes(benchmark::State& state, double bytes_per_iteration) {
  state.counters["bytes"] = benchmark::Counter(bytes_per_iteration, benchmark::Counter::kIsIterationInvariantRate,
                                               benchmark::Counter::kIs1000);
}

inline void count_flops(benchmark::State& state, double flops_per_iteration) {
  state.counters["flops"] = benchmark::Counter(flops_per_iteration, benchmark::Counter::kIsIterationInvariantRate,
                                               benchmark::Counter::kIs1000);
}

}  // namespace bench
