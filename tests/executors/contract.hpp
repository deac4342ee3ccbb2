#pragma once

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <vector>

#include <sbora/config/executor.hpp>

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

}  // namespace sbora_tests
