/// What one core of this machine can do: the yardsticks for the other suites.
///
///   copy       libc's memcpy of 256 MiB; bytes = read + written
///   read       sum over 256 MiB; bytes = read
///   fill       libc's memset of 256 MiB; bytes = written

#include <cstring>

#include "support/copy.hpp"
#include "support/read.hpp"
#include "support/suite.hpp"

namespace {

void copy_buffer(benchmark::State& state) {
  bench::copy_arm arm;
  bench::measure(state, [&] { arm.run(); });
  bench::count_bytes(state, bench::copy_arm::bytes());
}

void read_buffer(benchmark::State& state) {
  bench::read_arm arm;
  bench::measure(state, [&] { arm.run(); });
  bench::count_bytes(state, bench::read_arm::bytes());
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
