/// What one core of this machine can do: the yardsticks for the other suites.
///
///   copy       libc's memcpy of 256 MiB; bytes = read + written
///   read       sum over 256 MiB; bytes = read
///   fill       libc's memset of 256 MiB; bytes = written

#include <cstdint>
#include <cstring>

#include "support/copy.hpp"
#include "support/suite.hpp"

namespace {

void copy_buffer(benchmark::State& state) {
  bench::copy_arm arm;
  bench::measure(state, [&] { arm.run(); });
  bench::count_bytes(state, bench::copy_arm::bytes());
}

void read_buffer(benchmark::State& state) {
  bench::buffer<std::uint64_t> words(bench::copy_arm::size / sizeof(std::uint64_t));
  bench::measure(state, [&] {
    // Eight sums: one would be bound by the latency of the addition.
    std::uint64_t sums[8] = {};
    for (std::size_t i = 0; i < words.size(); i += 8) {
      for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
    }
    for (std::uint64_t& sum : sums) benchmark::DoNotOptimize(sum);
  });
  bench::count_bytes(state, static_cast<double>(bench::copy_arm::size));
}

void fill_buffer(benchmark::State& state) {
  bench::buffer<char> bytes(bench::copy_arm::size);
  bench::measure(state, [&] {
    std::memset(bytes.data(), 1, bytes.size());
    benchmark::ClobberMemory();
  });
  bench::count_bytes(state, static_cast<double>(bench::copy_arm::size));
}

}  // namespace

void bench::register_suite() {
  benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
  add("machine/copy", copy_buffer);
  add("machine/read", read_buffer);
  add("machine/fill", fill_buffer);
}
