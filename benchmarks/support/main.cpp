/// main of every suite: context, then Google Benchmark with its usual options.

#include <cstdlib>
#include <thread>

#include "../peers/peers.hpp"
#include "machine.hpp"
#include "memory.hpp"
#include "suite.hpp"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;

  const auto environment = [](const char* name) {
    const char* text = std::getenv(name);
    return std::string(text != nullptr ? text : "unknown");
  };
  benchmark::AddCustomContext("machine", bench::cpu_model());
  benchmark::AddCustomContext("processors", std::to_string(std::thread::hardware_concurrency()));
  benchmark::AddCustomContext("last_level_cache_bytes", std::to_string(bench::last_level_cache_bytes()));
  benchmark::AddCustomContext("huge_pages", bench::huge_pages() ? "asked for" : "not asked for");
  benchmark::AddCustomContext("compiler", bench::compiler());
  benchmark::AddCustomContext("flags", BENCH_FLAGS);
  benchmark::AddCustomContext("peer_flags", "-O3 -march=native");
  benchmark::AddCustomContext("peer_eigen", eigen_instruction_sets());
  benchmark::AddCustomContext("isa_detected", sbora::to_string(sbora::detected_isa()));
  benchmark::AddCustomContext("isa_active", sbora::to_string(sbora::active_isa()));
  benchmark::AddCustomContext("commit", environment("BENCH_COMMIT"));

  bench::register_suite();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
