/// What this machine can do: the yardsticks for the other suites, on one thread and on two at once.
///
///   machine/peak_f32   multiply-adds on registers (peers/peak.cpp); flops
///   machine/peak_bf16  the same with vdpbf16ps, where the processor has it
///   machine/copy       libc's memcpy of 256 MiB; bytes = read + written
///   machine/read       sum over 256 MiB; bytes = read
///   machine/fill       libc's memset of 256 MiB; bytes = written

#include <cstring>
#include <memory>
#include <vector>

#include <sbora/executors/thread_pool.hpp>

#include "support/copy.hpp"
#include "support/read.hpp"
#include "support/sizes.hpp"
#include "support/suite.hpp"

namespace {

/// An arm's work on every thread, each with memory of its own.
template <class Arm>
void measure_each(benchmark::State& state, int threads) {
  std::vector<std::unique_ptr<Arm>> arms;
  for (int i = 0; i < threads; ++i) arms.push_back(std::make_unique<Arm>());
  sbora::thread_pool pool(threads);
  bench::measure(
      state, [&] { pool.parallel_for(threads, [&](sbora::index_t i) { arms[static_cast<std::size_t>(i)]->run(); }); });
}

template <class Arm>
void bytes_of(benchmark::State& state, int threads) {
  measure_each<Arm>(state, threads);
  bench::count_bytes(state, threads * Arm::bytes());
}

class fill_arm {
 public:
  static constexpr double bytes() { return static_cast<double>(bench::copy_arm::size); }
  void run() {
    std::memset(memory_.data(), 1, memory_.size());
    benchmark::ClobberMemory();
  }

 private:
  bench::buffer<char> memory_{bench::copy_arm::size};
};

template <auto Peak>
struct peak_arm {
  static constexpr int rounds = 100;  // a few milliseconds, long against waking a thread
  void run() {
    for (int i = 0; i < rounds; ++i) Peak();
  }
};
template <auto Peak>
void flops_of(benchmark::State& state, int threads) {
  measure_each<peak_arm<Peak>>(state, threads);
  bench::count_flops(state, threads * peak_arm<Peak>::rounds * Peak());
}

void add(const std::string& name, int threads, void (*function)(benchmark::State&, int)) {
  bench::add_threaded("machine/" + name + "/t=" + std::to_string(threads), threads,
                      [=](benchmark::State& state) { function(state, threads); });
}

}  // namespace

void bench::register_suite() {
  benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
  for (const int threads : thread_counts()) {
    ::add("peak_f32", threads, flops_of<peak_f32>);
    if (peak_bf16() > 0) ::add("peak_bf16", threads, flops_of<peak_bf16>);
    ::add("copy", threads, bytes_of<copy_arm>);
    ::add("read", threads, bytes_of<read_arm>);
    ::add("fill", threads, bytes_of<fill_arm>);
  }
}
