#pragma once

#if !defined(_OPENMP)
#error "sbora/executors/openmp.hpp needs OpenMP: compile with -fopenmp"
#endif

#include <exception>

#include <omp.h>

#include <sbora/config/errors.hpp>

namespace sbora::inline SBORA_ABI {

/// Tasks on an OpenMP team.
///
/// Effect      parallel_for(n, f) is a parallel loop with dynamic scheduling.
/// Requires    threads >= 1: checked.
/// Thread      as OpenMP: calls inside a parallel region follow its nesting rules.
/// Errors      config_error; the first exception of f is rethrown after the loop.
class openmp_executor {
 public:
  explicit openmp_executor(int threads = omp_get_max_threads()) : threads_(threads) {
    if (threads < 1) {
      throw config_error("sbora::openmp_executor: threads must be at least 1, got " +
                         std::to_string(threads));
    }
  }

  int threads() const noexcept { return threads_; }

  template <class Function>
  void parallel_for(index_t n, Function&& f) const {
    std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic) num_threads(threads_)
    for (index_t i = 0; i < n; ++i) {
      try {
        f(i);
      } catch (...) {
#pragma omp critical(sbora_executor_failure)
        if (failure == nullptr) failure = std::current_exception();
      }
    }
    if (failure != nullptr) std::rethrow_exception(failure);
  }

 private:
  int threads_;
};

}  // namespace sbora::inline SBORA_ABI
