#pragma once

#include <atomic>
#include <cfenv>
#include <chrono>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include <sbora/core/executor.hpp>
#include <sbora/simd/denormal_guard.hpp>

#include "support/catch.hpp"

namespace sbora_tests {

using sbora::index_t;

/// What every executor owes its callers.
template <class Executor>
void check_every_index_once(Executor& pool) {
  for (const index_t n : {0, 1, 2, 3, 7, 64, 1000}) {
    CAPTURE(n);
    std::vector<std::atomic<int>> calls(static_cast<std::size_t>(n));
    pool.parallel_for(n, [&](index_t i) { calls[static_cast<std::size_t>(i)].fetch_add(1); });
    int wrong = 0;
    for (const auto& count : calls) wrong += count.load() != 1;
    CHECK(wrong == 0);
  }
}

/// What tasks wrote without atomics is there after the call, and later calls see it.
template <class Executor>
void check_memory_is_ordered(Executor& pool) {
  std::vector<long> sums(257, 0);
  for (int round = 0; round < 50; ++round) {
    pool.parallel_for(257, [&](index_t i) { sums[static_cast<std::size_t>(256 - i)] += i; });
  }
  const long all = std::accumulate(sums.begin(), sums.end(), 0L);
  CHECK(all == 50L * 256 * 257 / 2);
}

template <class Executor>
void check_many_small_calls(Executor& pool) {
  std::atomic<long> calls{0};
  for (index_t round = 0; round < 500; ++round) {
    pool.parallel_for(round % 5, [&](index_t) { calls.fetch_add(1, std::memory_order_relaxed); });
  }
  CHECK(calls.load() == 100L * (0 + 1 + 2 + 3 + 4));
}

/// An exception comes out of parallel_for, once; the executor works on.
template <class Executor>
void check_exceptions(Executor& pool) {
  for (const index_t n : {1, 2, 100}) {
    for (const index_t bad : {index_t{0}, n / 2, n - 1}) {
      CAPTURE(n, bad);
      std::string caught;
      try {
        pool.parallel_for(n, [&](index_t i) {
          if (i == bad) throw std::runtime_error("task " + std::to_string(i));
        });
      } catch (const std::runtime_error& e) {
        caught = e.what();
      }
      CHECK(caught == "task " + std::to_string(bad));
      check_every_index_once(pool);
    }
  }
  int thrown = 0;
  for (int round = 0; round < 50; ++round) {
    try {
      pool.parallel_for(20, [](index_t i) -> void { throw i; });  // all at once
    } catch (index_t) {
      ++thrown;
    }
  }
  CHECK(thrown == 50);
}

/// Tasks may call their own executor, at any depth.
template <class Executor>
void check_nesting(Executor& pool) {
  for (int round = 0; round < 20; ++round) {
    std::vector<std::atomic<int>> calls(6 * 5 * 4);
    pool.parallel_for(6, [&](index_t a) {
      pool.parallel_for(0, [](index_t) {});
      pool.parallel_for(-1, [](index_t) {});
      pool.parallel_for(5, [&](index_t b) {
        pool.parallel_for(4, [&](index_t c) { calls[static_cast<std::size_t>((a * 5 + b) * 4 + c)].fetch_add(1); });
      });
    });
    int wrong = 0;
    for (const auto& count : calls) wrong += count.load() != 1;
    CHECK(wrong == 0);
  }
  // An exception of an inner call comes through both.
  for (int round = 0; round < 20; ++round) {
    CHECK_THROWS_AS(pool.parallel_for(4,
                                      [&](index_t) {
                                        pool.parallel_for(4, [](index_t i) {
                                          if (i == 2) throw std::runtime_error("inner");
                                        });
                                      }),
                    std::runtime_error);
  }
}

/// Threads may call one executor at the same time.
template <class Executor>
void check_sharing(Executor& pool) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < 200; ++round) {
        std::vector<int> calls(17, 0);
        bool caught = false;
        try {
          pool.parallel_for(17, [&](index_t i) {
            calls[static_cast<std::size_t>(i)] += 1;
            if (caller == 0 && round % 4 == 0 && i == 16) throw std::runtime_error("last");
          });
        } catch (const std::runtime_error&) {
          caught = true;
        }
        for (const int count : calls) wrong += count != 1;
        wrong += caught != (caller == 0 && round % 4 == 0);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong.load() == 0);
}

/// The greatest count there is: an exception ends it.
template <class Executor>
void check_greatest_count(Executor& pool) {
  for (int round = 0; round < 20; ++round) {
    std::atomic<index_t> least{0};
    CHECK_THROWS_AS(pool.parallel_for(std::numeric_limits<index_t>::max(),
                                      [&](index_t i) {
                                        if (i < least.load()) least.store(i);
                                        if (i >= 50) throw std::runtime_error("enough");
                                      }),
                    std::runtime_error);
    CHECK(least.load() == 0);
  }
  check_every_index_once(pool);
}

/// What a thread's arithmetic does: 1 denormals are kept, 2 rounds upwards.
inline int arithmetic() {
  const volatile float denormal = 1e-39F, little = 0x1p-30F, one = 1;
  const volatile float kept = denormal * one, sum = one + little;
  return (kept != 0 ? 1 : 0) | (sum > 1 ? 2 : 0);
}

/// f(i) by as many tasks as threads, which wait for each other: every thread takes part.
template <class Executor, class Function>
void on_every_thread(Executor& pool, Function f) {
  const int threads = pool.threads();
  std::atomic<int> arrived{0};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  pool.parallel_for(threads, [&](index_t i) {
    arrived.fetch_add(1);
    while (arrived.load() < threads && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    f(i);
  });
  REQUIRE(arrived.load() == threads);
}

template <class Executor>
std::vector<int> arithmetic_of_threads(Executor& pool) {
  std::vector<int> all(static_cast<std::size_t>(pool.threads()));
  on_every_thread(pool, [&](index_t i) { all[static_cast<std::size_t>(i)] = arithmetic(); });
  return all;
}

/// Tasks compute as their caller does, whatever was when the threads began. make(): an executor of 3 threads.
template <class Make>
void check_float_environment(Make make) {
  const std::vector<int> plain(3, 1), upward(3, 3), flushing(3, 0);
  auto made_before = make();
  CHECK(arithmetic_of_threads(*made_before) == plain);
#if defined(SBORA_X86) || defined(SBORA_NEON)
  {
    const sbora::denormal_guard guard;
    auto made_inside = make();
    CHECK(arithmetic_of_threads(*made_inside) == flushing);
    CHECK(arithmetic_of_threads(*made_before) == flushing);
    made_before.swap(made_inside);
  }
  CHECK(arithmetic_of_threads(*made_before) == plain);
#endif
  std::fesetround(FE_UPWARD);
  const auto rounding = arithmetic_of_threads(*made_before);
  const auto later = make();
  std::fesetround(FE_TONEAREST);
  CHECK(rounding == upward);
  CHECK(arithmetic_of_threads(*later) == plain);
}

}  // namespace sbora_tests
