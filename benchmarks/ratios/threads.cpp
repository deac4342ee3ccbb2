/// threads2_speedup   frozen forward + backward, 512 tokens, 4096 x 4096 f32: one thread's time over two's

#include <stdexcept>

#include <sbora/executors/thread_pool.hpp>

#include "../support/cores.hpp"
#include "../support/linear_workload.hpp"
#include "registry.hpp"

namespace bench {

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
