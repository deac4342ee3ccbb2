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

/// Any executor by reference: what takes it is compiled once for all of them.
///
/// Effect      parallel_for(n, f) is that of the executor. Without one, every task runs on the calling thread.
/// Lifetime    keeps a pointer to the executor, which has to outlive it.
/// Cost        an indirect call a task; none without an executor, or with a serial_executor.
/// Thread      as the executor.
class any_executor {
 public:
  any_executor() noexcept = default;

  template <class Executor>
    requires executor<Executor> && (!std::is_same_v<std::remove_const_t<Executor>, any_executor>)
  any_executor(Executor& pool) noexcept {
    if constexpr (!std::is_same_v<std::remove_const_t<Executor>, serial_executor>) {
      pool_ = &pool;
      if constexpr (requires { static_cast<index_t>(pool.threads()); }) {
        threads_ = static_cast<index_t>(pool.threads());
      } else {
        threads_ = many_threads;
      }
      run_ = [](const void* object, index_t n, const void* f, task call) {
        (*static_cast<Executor*>(const_cast<void*>(object))).parallel_for(n, [f, call](index_t i) { call(f, i); });
      };
    }
  }
  template <class Executor>
    requires executor<Executor> && (!std::is_same_v<std::remove_const_t<Executor>, any_executor>)
  any_executor(const Executor&&) = delete;  // would dangle: name the executor

  /// One that runs no task at all. Code that asks for memory and leaves all reading and writing to its tasks can so be
  /// asked how much it takes: see scratch_of in workspace.hpp.
  static any_executor idle() noexcept {
    any_executor none;
    none.run_ = run_nothing;
    return none;
  }

  bool is_serial() const noexcept { return run_ == nullptr; }
  /// How many share the tasks: 1 if serial, what the executor's threads() says, or many where it has none.
  index_t threads() const noexcept { return threads_; }

  template <class Function>
  void parallel_for(index_t n, Function&& f) const {
    if (run_ == nullptr) {
      for (index_t i = 0; i < n; ++i) f(i);
      return;
    }
    using function = std::remove_reference_t<Function>;
    run_(pool_, n, &f, [](const void* object, index_t i) { (*static_cast<function*>(const_cast<void*>(object)))(i); });
  }

  /// The same for tasks that are too small to be shared: they run on the calling thread, or not at all if idle.
  any_executor on_this_thread() const noexcept { return run_ == run_nothing ? *this : any_executor(); }

 private:
  using task = void (*)(const void* f, index_t i);

  static void run_nothing(const void*, index_t, const void*, task) noexcept {}

  static constexpr index_t many_threads = 64;

  const void* pool_ = nullptr;
  index_t threads_ = 1;
  void (*run_)(const void* pool, index_t n, const void* f, task call) = nullptr;
};

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// f(task) for [0, tasks), on the pool where that pays.
template <class Function>
void for_tasks(index_t tasks, bool pays, any_executor pool, const Function& f) {
  (pays ? pool : pool.on_this_thread()).parallel_for(tasks, f);
}

/// f(begin, end) for [0, size) in tasks of `step`.
template <class Function>
void for_ranges(index_t size, index_t step, any_executor pool, Function&& f, bool pays = true) {
  for_tasks(ceil_div(size, step), pays, pool, [&](index_t task) {
    const index_t begin = task * step;
    f(begin, size - begin < step ? size : begin + step);
  });
}

}  // namespace sbora::inline SBORA_ABI::detail
