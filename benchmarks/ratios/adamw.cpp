/// adamw_of_bw   sbora::adamw<float>::step over 16 Mi elements (256 MiB in four arrays) against memcpy;
///               byte model in support/adamw_workload.hpp.

#include <string>

#include "../support/adamw_workload.hpp"
#include "../support/copy.hpp"
#include "registry.hpp"

namespace bench {

double adamw_of_bw() {
  adamw_workload<float>::verify();
  adamw_workload<float> work(std::size_t{16} << 20);
  copy_arm copy;
  const alternation measured =
      alternate([&] { return copy(); }, [&] { return arm(work.bytes(), arm_seconds, [&] { work.step(); }); });
  note(measured, "memcpy", "AdamW", 1e9, "ns per byte");
  note("memcpy " + std::to_string(1e-9 / median(measured.first)) + " GB/s, AdamW " +
       std::to_string(1e-9 / median(measured.second)) + " GB/s");
  return measured.ratio();
}

}  // namespace bench
