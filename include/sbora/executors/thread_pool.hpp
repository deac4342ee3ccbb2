#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <sbora/core/compiler.hpp>
#include <sbora/core/errors.hpp>
#include <sbora/executors/task_run.hpp>

namespace sbora::inline SBORA_ABI {

/// A fixed set of std::threads that share out the tasks of a parallel_for.
///
/// Effect      parallel_for(n, f) calls f(i) for every i in [0, n) on the calling thread and on those of the
///             threads - 1 others that come before all tasks have begun; returns when all calls have. Tasks are
///             handed out in order, one at a time. While a call runs, every further one (of another thread, or
///             of a task) runs all its tasks itself.
/// Requires    threads >= 1: checked. A task that waits for another task may wait for ever.
/// Lifetime    the destructor waits for a running call. The child of a fork may use and destroy the pool: all
///             calls are serial there. Inside a task, a child may only exec or _exit.
/// Cost        starts threads - 1 threads, once; a call allocates nothing. Threads look out for the next call for
///             some 20 µs, then sleep: waking one takes the caller 1 to 12 µs, the one woken 20 to 50 µs more.
/// Numerics    all tasks compute in the caller's floating-point environment (rounding mode, denormal_guard).
/// Thread      any number of threads may call at once.
/// Errors      config_error; std::system_error where a thread can't be started; the first exception of f is
///             rethrown when all threads have left, the tasks that had not begun then being left out.
class thread_pool {
 public:
  explicit thread_pool(int threads) {
    if (threads < 1) {
      throw config_error(detail::message({"sbora::thread_pool: threads must be at least 1, got ", threads}));
    }
    // Looking out on a core that another thread needs would delay that one.
    spins_ = static_cast<unsigned>(threads) <= std::thread::hardware_concurrency() ? spin_limit : 0;
    workers_.reserve(static_cast<std::size_t>(threads - 1));
    try {
      for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (const std::system_error& e) {
      const std::size_t started = workers_.size();
      stop();
      throw std::system_error(e.code(), detail::message({"sbora::thread_pool(", threads, "): could start ", started,
                                                         " threads, not one more"}));
    } catch (...) {
      stop();
      throw;
    }
  }

  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  ~thread_pool() {
    if (process_ != detail::process_id()) {
      // They are the parent's and can't be joined here, nor detached: their memory is in use again.
      for (std::thread& worker : workers_) std::construct_at(&worker);
      return;
    }
    while (!take()) std::this_thread::yield();
    stop();
  }

  int threads() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  template <class Function>
  void parallel_for(index_t n, Function&& f) {
    if (n <= 1 || workers_.empty() || !take()) {
      for (index_t i = 0; i < n; ++i) f(i);
      return;
    }
    auto* const function = std::addressof(f);
    detail::task_run run(n, &function);
    share(run);
    taken_.store(false, std::memory_order_release);
    run.rethrow();
  }

 private:
  static constexpr int spin_limit = 1000;          ///< about 20 µs
  static constexpr std::uint32_t open = 1U << 31;  ///< of gate_, whose other bits count the workers inside

  bool take() noexcept {
    return !taken_.load(std::memory_order_relaxed) && !taken_.exchange(true, std::memory_order_acquire);
  }

  /// The caller's side of a call. A worker that wakes late finds the gate closed and never sees the run, so nobody
  /// waits for it.
  void share(detail::task_run& run) noexcept {
    run_ = &run;
    gate_.store(open, std::memory_order_release);
    epoch_.fetch_add(1, std::memory_order_seq_cst);
    if (run.size() <= workers_.size()) {
      for (std::uint64_t i = 1; i < run.size(); ++i) epoch_.notify_one();
    } else {
      epoch_.notify_all();
    }
    run.run_here();
    std::uint32_t inside = gate_.fetch_and(~open, std::memory_order_acquire) & ~open;
    for (int i = 0; inside != 0; ++i) {
      if (i < spins_) SBORA_SPIN();
      else gate_.wait(inside, std::memory_order_relaxed);
      inside = gate_.load(std::memory_order_acquire);
    }
  }

  /// A worker's life.
  void work() noexcept {
    for (std::uint32_t seen = 0;;) {
      for (int i = 0; i < spins_ && epoch_.load(std::memory_order_relaxed) == seen; ++i) SBORA_SPIN();
      epoch_.wait(seen, std::memory_order_relaxed);
      seen = epoch_.load(std::memory_order_acquire);
      if (stopping_.load(std::memory_order_relaxed)) return;
      if (!enter()) continue;
      run_->run_elsewhere();
      if (gate_.fetch_sub(1, std::memory_order_release) == 1) gate_.notify_one();
    }
  }

  bool enter() noexcept {
    std::uint32_t gate = gate_.load(std::memory_order_relaxed);
    while ((gate & open) != 0) {
      if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire, std::memory_order_relaxed))
        return true;
    }
    return false;
  }

  void stop() noexcept {
    stopping_.store(true, std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  std::vector<std::thread> workers_;
  int spins_ = 0;
  long process_ = detail::process_id();
  std::atomic<bool> taken_{false};  ///< by a call
  detail::task_run* run_ = nullptr;
  std::atomic<bool> stopping_{false};
  // Those that threads wait on: std::atomic's own waiting, since a condition variable hangs in the child of a fork.
  std::atomic<std::uint32_t> epoch_{0};  ///< how many calls there were
  std::atomic<std::uint32_t> gate_{0};
};

}  // namespace sbora::inline SBORA_ABI
