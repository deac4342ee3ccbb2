/// threads2_speedup   frozen forward + backward, 512 tokens, 4096 x 4096 f32: one thread's time over two's

#include <thread>

#include <sched.h>

#include <sbora/executors/thread_pool.hpp>

#include "../support/linear_workload.hpp"
#include "registry.hpp"

namespace bench {
namespace {

/// Undoes the pinning of run.sh for as long as it lives.
class all_cores {
 public:
  all_cores() {
    ::sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t all;
    CPU_ZERO(&all);
    for (int core = 0; core < CPU_SETSIZE; ++core) CPU_SET(core, &all);
    ::sched_setaffinity(0, sizeof all, &all);
    cpu_set_t now;
    ::sched_getaffinity(0, sizeof now, &now);
    cores_ = CPU_COUNT(&now);
  }
  all_cores(const all_cores&) = delete;
  all_cores& operator=(const all_cores&) = delete;
  ~all_cores() { ::sched_setaffinity(0, sizeof before_, &before_); }
  int count() const { return cores_; }

 private:
  cpu_set_t before_;
  int cores_ = 0;
};

}  // namespace

double threads2_speedup() {
  const all_cores cores;
  if (cores.count() < 2) throw std::runtime_error("two cores needed");
  linear_workload work({4096, 4096, 512});
  const sbora::linear layer(work.view());
  sbora::workspace memory;
  sbora::thread_pool one(1), two(2);
  const auto seconds = [&](sbora::thread_pool& pool) {
    const double start = now();
    layer.forward(work.x(), work.y(), memory, pool);
    layer.backward(work.dy(), work.dx(), memory, pool);
    return now() - start;
  };
  seconds(two);
  work.verify(no_delta, true);
  const alternation measured = alternate([&] { return seconds(one); }, [&] { return seconds(two); });
  note(measured, "one thread", "two threads", 1e3, "ms");
  return measured.ratio();
}

}  // namespace bench
