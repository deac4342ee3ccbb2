#pragma once

#include <algorithm>
#include <memory>

#include <ATen/Parallel.h>

#include <sbora/executors/task_run.hpp>

namespace sbora::inline SBORA_ABI {

/// Tasks on PyTorch's threads: one pool for PyTorch and sbora, which else take the cores from each other.
///
/// Effect      parallel_for(n, f) is an at::parallel_for over at::get_num_threads() threads, which take the tasks in
///             order, one at a time. Inside one of PyTorch's parallel regions all tasks run on the calling thread.
/// Requires    where PyTorch's threads are OpenMP's (all of its packages): a unit compiled with -fopenmp. Without it
///             at::parallel_for runs everything on the calling thread; results are the same.
/// Numerics    all tasks compute in the caller's floating-point environment (rounding mode, denormal_guard).
/// Thread      as at::parallel_for.
/// Errors      the first exception of f is rethrown, the tasks that had not begun then being left out.
class torch_executor {
 public:
  template <class Function>
  void parallel_for(index_t n, Function&& f) const {
    const index_t threads = at::in_parallel_region() ? 1 : std::min<index_t>(n, at::get_num_threads());
    if (threads <= 1) {
      for (index_t i = 0; i < n; ++i) f(i);
      return;
    }
    auto* const function = std::addressof(f);
    detail::task_run run(n, &function);
    at::parallel_for(0, threads, 1, [&](std::int64_t, std::int64_t) { run.run_elsewhere(); });
    run.rethrow();
  }
};

}  // namespace sbora::inline SBORA_ABI
