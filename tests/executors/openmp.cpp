// sbora::openmp_executor by itself, where the compiler has OpenMP.

#include "executors/contract.hpp"

#if defined(_OPENMP)

#include <sbora/executors/openmp.hpp>

#include "support/message.hpp"

using namespace sbora_tests;
using sbora::openmp_executor;

TEST_CASE("an openmp_executor calls every index once") {
  for (const int threads : {1, 2, 3, 8}) {
    CAPTURE(threads);
    openmp_executor pool(threads);
    CHECK(pool.threads() == threads);
    check_every_index_once(pool);
    check_memory_is_ordered(pool);
  }
  CHECK(openmp_executor().threads() >= 1);
}

TEST_CASE("an openmp_executor lasts through many small calls") {
  openmp_executor pool(2);
  check_many_small_calls(pool);
}

TEST_CASE("an openmp_executor passes exceptions on and stays usable") {
  for (const int threads : {1, 2, 8}) {
    openmp_executor pool(threads);
    check_exceptions(pool);
  }
}

TEST_CASE("a call inside a task runs by OpenMP's nesting rules") {
  openmp_executor pool(3);
  std::atomic<int> calls{0};
  pool.parallel_for(10, [&](index_t) {
    pool.parallel_for(0, [](index_t) {});
    pool.parallel_for(2, [&](index_t) { calls.fetch_add(1); });
  });
  CHECK(calls.load() == 20);
}

TEST_CASE("an openmp_executor needs a thread") {
  CHECK_ERROR(sbora::config_error, "threads must be at least 1, got 0", openmp_executor(0));
}

#else

TEST_CASE("OpenMP isn't part of this build") { SUCCEED(); }

#endif
