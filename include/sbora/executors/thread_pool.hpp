#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <sbora/config/errors.hpp>

namespace sbora::inline SBORA_ABI {

/// A fixed set of std::threads that share out the tasks of one parallel_for at a time.
///
/// Effect      parallel_for(n, f) calls f(i) for every i in [0, n) on the calling thread and threads - 1
///             others; returns when all calls have. Tasks are handed out in order, one at a time.
/// Requires    threads >= 1: checked. f must not call the same pool.
/// Cost        starts threads - 1 threads, once; a call wakes them, and costs no allocation.
/// Thread      one parallel_for at a time for each pool.
/// Errors      config_error; std::system_error where a thread can't be started; an exception of f is rethrown when all threads have stopped, the tasks that
///             had not begun then being left out.
class thread_pool {
 public:
  explicit thread_pool(int threads) {
    if (threads < 1) {
      throw config_error("sbora::thread_pool: threads must be at least 1, got " + std::to_string(threads));
    }
    workers_.reserve(static_cast<std::size_t>(threads - 1));
    try {
      for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }

  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  ~thread_pool() { stop(); }

  int threads() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  template <class Function>
  void parallel_for(index_t n, Function&& f) {
    if (n <= 0) return;
    if (n == 1 || workers_.empty()) {
      for (index_t i = 0; i < n; ++i) f(i);
      return;
    }
    auto* const function = std::addressof(f);  // a pointer, since f may be a plain function
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      call_ = [](void* pointer, index_t i) { (**static_cast<decltype(function)*>(pointer))(i); };
      function_ = const_cast<void*>(static_cast<const void*>(&function));
      size_ = n;
      next_.store(0, std::memory_order_relaxed);
      busy_ = static_cast<int>(workers_.size());
      failure_ = nullptr;
      ++generation_;
    }
    wake_.notify_all();
    run_tasks();
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
    if (failure_ != nullptr) std::rethrow_exception(failure_);
  }

 private:
  void stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void run_tasks() {
    try {
      for (;;) {
        const index_t i = next_.fetch_add(1, std::memory_order_relaxed);
        if (i >= size_) return;
        call_(function_, i);
      }
    } catch (...) {
      next_.store(size_, std::memory_order_relaxed);
      const std::lock_guard<std::mutex> lock(mutex_);
      if (failure_ == nullptr) failure_ = std::current_exception();
    }
  }

  void work() {
    std::uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
      if (stopping_) return;
      seen = generation_;
      lock.unlock();
      run_tasks();
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  void (*call_)(void*, index_t) = nullptr;
  void* function_ = nullptr;
  index_t size_ = 0;
  std::atomic<index_t> next_{0};
  std::uint64_t generation_ = 0;
  int busy_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
};

}  // namespace sbora::inline SBORA_ABI
