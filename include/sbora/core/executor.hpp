#pragma once

#include <type_traits>

#include <sbora/core/index.hpp>

namespace sbora::inline SBORA_ABI {

/// What sbora asks of a thread pool: pool.parallel_for(n, f) calls f(i) once for every i in [0, n), in
/// any order and on any threads, and returns when all calls have returned. f doesn't throw and doesn't
/// wait for other tasks, so a pool that runs them one after another is fine. Results never depend on
/// the pool, for no sum is ever cut between tasks, as long as its threads compute in the caller's
/// floating-point environment: sbora's executors see to that for each call.
template <class Executor>
concept executor = requires(Executor& pool, index_t n, void (*f)(index_t)) { pool.parallel_for(n, f); };

/// The default: every task on the calling thread.
struct serial_executor {
  template <class Function>
  void parallel_for(index_t n, Function&& f) const {
    for (index_t i = 0; i < n; ++i) f(i);
  }
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

template <class Executor>
constexpr void check_executor() {
  static_assert(executor<std::remove_reference_t<Executor>>,
                "sbora: an executor needs a member parallel_for(n, f) that calls f(i) for i in [0, n); "
                "see sbora/core/executor.hpp");
}

/// f(task) for [0, tasks), on the pool where that pays.
template <class Executor, class Function>
void for_tasks(index_t tasks, bool pays, Executor& pool, const Function& f) {
  if (pays) pool.parallel_for(tasks, f);
  else serial_executor().parallel_for(tasks, f);
}

/// f(begin, end) for [0, size) in tasks of `step`.
template <class Executor, class Function>
void for_ranges(index_t size, index_t step, Executor& pool, Function&& f, bool pays = true) {
  for_tasks(ceil_div(size, step), pays, pool, [&](index_t task) {
    const index_t begin = task * step;
    f(begin, size - begin < step ? size : begin + step);
  });
}

}  // namespace sbora::inline SBORA_ABI::detail
