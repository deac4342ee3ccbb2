// sbora::thread_pool by itself.

#include <sbora/executors/thread_pool.hpp>

#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "executors/contract.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::thread_pool;

TEST_CASE("a thread_pool calls every index once") {
  for (const int threads : {1, 2, 3, 8}) {
    CAPTURE(threads);
    thread_pool pool(threads);
    CHECK(pool.threads() == threads);
    check_every_index_once(pool);
    check_memory_is_ordered(pool);
  }
}

TEST_CASE("a thread_pool lasts through many small calls") {
  for (const int threads : {1, 2, 8}) {
    thread_pool pool(threads);
    check_many_small_calls(pool);
  }
}

TEST_CASE("a thread_pool passes exceptions on and stays usable") {
  for (const int threads : {1, 2, 8}) {
    thread_pool pool(threads);
    check_exceptions(pool);
  }
}

TEST_CASE("a thread_pool's work is shared by its threads") {
  thread_pool pool(4);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::atomic<int> arrived{0};
  // Four tasks that wait for each other need four threads.
  pool.parallel_for(4, [&](index_t) {
    {
      const std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
    }
    arrived.fetch_add(1);
    while (arrived.load() < 4) std::this_thread::yield();
  });
  CHECK(threads.size() == 4);
  CHECK(threads.count(std::this_thread::get_id()) == 1);
}

TEST_CASE("a thread_pool may be called by its own tasks") {
  for (const int threads : {1, 2, 3, 8}) {
    thread_pool pool(threads);
    check_nesting(pool);
  }
}

TEST_CASE("a thread_pool may be shared by threads") {
  for (const int threads : {1, 2, 3}) {
    thread_pool pool(threads);
    check_sharing(pool);
  }
}

TEST_CASE("a thread_pool takes the greatest count") {
  for (const int threads : {1, 2, 3}) {
    thread_pool pool(threads);
    check_greatest_count(pool);
  }
}

TEST_CASE("a thread_pool's tasks compute in the caller's floating-point environment") {
  check_float_environment([] { return std::make_unique<thread_pool>(3); });
}

TEST_CASE("a thread_pool lets its threads come and go in any state of a call") {
  // Calls of every small size, so that threads wake before, in and after one, with functions that are gone then.
  thread_pool pool(4);
  long expected = 0;
  std::atomic<long> sum{0};
  for (index_t round = 0; round < 3000; ++round) {
    const auto values = std::make_unique<std::vector<long>>(static_cast<std::size_t>(round % 7), round);
    pool.parallel_for(round % 7, [&](index_t i) { sum += (*values)[static_cast<std::size_t>(i)]; });
    expected += round % 7 * round;
    if (round % 100 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));  // until they sleep
  }
  CHECK(sum.load() == expected);
}

TEST_CASE("pools that come and go leave no thread behind") {
  for (int i = 0; i < 100; ++i) thread_pool pool(3);  // never used
  for (int i = 0; i < 100; ++i) {
    thread_pool pool(3);
    std::atomic<int> calls{0};
    pool.parallel_for(5, [&](index_t) { calls.fetch_add(1); });
    CHECK(calls.load() == 5);
  }
}

TEST_CASE("two pools work at the same time") {
  thread_pool outer(2);
  std::atomic<int> calls{0};
  outer.parallel_for(2, [&](index_t) {
    thread_pool inner(2);
    inner.parallel_for(10, [&](index_t) { calls.fetch_add(1); });
  });
  CHECK(calls.load() == 20);
}

namespace {
std::atomic<int> free_calls{0};
void free_function(index_t) { free_calls.fetch_add(1); }
}  // namespace

TEST_CASE("a thread_pool takes const, temporary and named functions") {
  thread_pool pool(2);
  std::atomic<int> calls{0};
  const auto const_function = [&](index_t) { calls.fetch_add(1); };
  pool.parallel_for(3, const_function);
  auto function = [&, own = 0](index_t) mutable { calls.fetch_add(1 + own); };
  pool.parallel_for(3, function);
  void (*pointer)(index_t) = [](index_t) {};
  pool.parallel_for(3, pointer);
  pool.parallel_for(3, free_function);
  CHECK(calls.load() == 6);
  CHECK(free_calls.load() == 3);
}

TEST_CASE("a thread_pool is destroyed when its call is done") {
  std::optional<thread_pool> pool(std::in_place, 3);
  std::atomic<bool> begun{false}, go_on{false};
  std::atomic<int> calls{0};
  std::thread caller([&] {
    pool->parallel_for(50, [&](index_t) {
      begun.store(true);
      while (!go_on.load()) std::this_thread::yield();
      calls.fetch_add(1);
    });
  });
  while (!begun.load()) std::this_thread::yield();
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    go_on.store(true);
  });
  pool.reset();
  CHECK(calls.load() == 50);
  caller.join();
  later.join();
}

TEST_CASE("a thread_pool needs a thread") {
  CHECK_ERROR(sbora::config_error, "threads must be at least 1, got 0", thread_pool(0));
  CHECK_ERROR(sbora::config_error, "threads must be at least 1, got -2", thread_pool(-2));
}

TEST_CASE("serial_executor is an executor like the others") {
  sbora::serial_executor pool;
  check_every_index_once(pool);
  check_memory_is_ordered(pool);
}
