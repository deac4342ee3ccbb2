// What executors do when their threads are late, gone (the child of a fork) or can't be started.

#include <csignal>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sbora/executors/thread_pool.hpp>
#if defined(_OPENMP)
#include <sbora/executors/openmp.hpp>
#endif

#include "executors/contract.hpp"
#include "support/message.hpp"
#include "support/sanitizers.hpp"

using namespace sbora_tests;
using sbora::thread_pool;

namespace {

/// What f() returns in a child of this process, or minus the signal that ended it: SIGALRM where it hangs.
template <class Function>
int in_child(Function f) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(30);
    int result = 99;
    try {
      result = f();
    } catch (...) {
    }
    ::_exit(result);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// 0 if the executor calls every index once and passes an exception on.
template <class Executor>
int works(Executor& pool) {
  for (int round = 0; round < 3; ++round) {
    std::vector<std::atomic<int>> calls(100);
    pool.parallel_for(100, [&](index_t i) { calls[static_cast<std::size_t>(i)].fetch_add(1); });
    for (const auto& count : calls) {
      if (count.load() != 1) return 1;
    }
    try {
      pool.parallel_for(10, [](index_t i) {
        if (i == 3) throw std::runtime_error("task");
      });
      return 2;
    } catch (const std::runtime_error&) {
    }
  }
  return 0;
}

std::atomic<bool> release{false};
std::atomic<int> caught{0};
void hold(int) {
  caught.fetch_add(1);
  while (!release.load()) {
  }
}

}  // namespace

TEST_CASE("a thread_pool's call doesn't wait for threads that come late") {
  if (under_tsan) return;  // it delivers signals late
  thread_pool pool(3);
  std::vector<pthread_t> threads(3);
  on_every_thread(pool, [&](index_t i) { threads[static_cast<std::size_t>(i)] = ::pthread_self(); });
  struct sigaction action = {}, before = {};
  action.sa_handler = hold;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGUSR1, &action, &before);
  release.store(false);
  caught.store(0);
  for (const pthread_t thread : threads) {
    if (::pthread_equal(thread, ::pthread_self()) == 0) ::pthread_kill(thread, SIGUSR1);
  }
  while (caught.load() < 2) std::this_thread::yield();
  // None of the others can move.
  ::alarm(60);
  std::atomic<int> calls{0};
  for (int round = 0; round < 10; ++round) {
    const auto gone_afterwards = std::make_unique<int>(1);
    pool.parallel_for(20, [&](index_t) { calls.fetch_add(*gone_afterwards); });
  }
  CHECK(calls.load() == 200);
  ::alarm(0);
  release.store(true);
  std::set<std::thread::id> seen;
  std::mutex mutex;
  on_every_thread(pool, [&](index_t) {
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  CHECK(seen.size() == 3);
  CHECK(calls.load() == 200);
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("the child of a fork may use and destroy its parent's thread_pool, and make its own") {
  auto pool = std::make_unique<thread_pool>(3);
  const auto child = [&] {
    if (const int result = works(*pool); result != 0) return result;
    pool.reset();
    if (under_tsan) return 0;  // which allows no new threads in such a child
    thread_pool own(3);
    return works(own);
  };
  CHECK(in_child(child) == 0);  // never used
  CHECK(works(*pool) == 0);
  CHECK(in_child(child) == 0);  // its threads looking out
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  CHECK(in_child(child) == 0);  // asleep

  std::atomic<bool> stop{false};
  std::atomic<int> begun{0};
  std::thread caller([&] {
    while (!stop.load()) pool->parallel_for(4, [&](index_t) { begun.fetch_add(1); });
  });
  while (begun.load() == 0) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) CHECK(in_child(child) == 0);  // in the middle of calls
  stop.store(true);
  caller.join();
  CHECK(works(*pool) == 0);
}

#if defined(_OPENMP)
TEST_CASE("the child of a fork may use an openmp_executor") {
  sbora::openmp_executor pool(3);
  CHECK(works(pool) == 0);
  CHECK(in_child([&] {
          sbora::openmp_executor own(2);
          return works(pool) + works(own);
        }) == 0);
  CHECK(works(pool) == 0);
}
#endif

TEST_CASE("a thread_pool whose threads can't be started says how many could") {
  if (under_tsan || under_asan) return;  // they need the address space
  const int result = in_child([] {
    long pages = 0;
    if (std::FILE* const file = std::fopen("/proc/self/statm", "r"); file != nullptr) {
      if (std::fscanf(file, "%ld", &pages) != 1) pages = 0;
      std::fclose(file);
    }
    const auto limit = static_cast<rlim_t>(pages * ::sysconf(_SC_PAGESIZE) + (64L << 20));
    const rlimit space = {limit, limit};
    if (pages == 0 || ::setrlimit(RLIMIT_AS, &space) != 0) return 77;
    try {
      thread_pool pool(4000);
    } catch (const std::system_error& e) {
      return std::string_view(e.what()).starts_with("sbora::thread_pool(4000): could start ") ? 0 : 2;
    }
    return 1;
  });
  CHECK((result == 0 || result == 77));
}
