#pragma once

#if !defined(_OPENMP)
#error "sbora/executors/openmp.hpp needs OpenMP: compile with -fopenmp"
#endif

#include <algorithm>
#include <memory>
#include <string>

#include <omp.h>

#include <sbora/core/errors.hpp>
#include <sbora/executors/task_run.hpp>

namespace sbora::inline SBORA_ABI {

/// Tasks on an OpenMP team.
///
/// Effect      parallel_for(n, f) is a parallel region whose threads take the tasks in order, one at a time.
/// Requires    threads >= 1: checked.
/// Lifetime    the child of a fork, where GCC's OpenMP hangs, runs all tasks itself if its parent ever had a call.
/// Numerics    all tasks compute in the caller's floating-point environment (rounding mode, denormal_guard); the
///             team's own is as before afterwards.
/// Thread      any number of threads may call at once, each with a team of its own; calls inside a parallel region
///             follow OpenMP's nesting rules.
/// Errors      config_error; the first exception of f is rethrown after the region, the tasks that had not begun
///             then being left out.
class openmp_executor {
 public:
  explicit openmp_executor(int threads = omp_get_max_threads()) : threads_(threads) {
    if (threads < 1) {
      throw config_error(detail::message({"sbora::openmp_executor: threads must be at least 1, got ", threads}));
    }
  }

  int threads() const noexcept { return threads_; }

  template <class Function>
  void parallel_for(index_t n, Function&& f) const {
    if (n <= 1 || threads_ == 1 || forked()) {
      for (index_t i = 0; i < n; ++i) f(i);
      return;
    }
    auto* const function = std::addressof(f);
    detail::task_run run(n, &function);
#pragma omp parallel num_threads(static_cast<int>(std::min<index_t>(threads_, n)))
    run.run_elsewhere();
    run.rethrow();
  }

 private:
  /// Whether this process is the child of one that had a call.
  static bool forked() noexcept {
    static const long first = detail::process_id();
    return first != detail::process_id();
  }

  int threads_;
};

}  // namespace sbora::inline SBORA_ABI
