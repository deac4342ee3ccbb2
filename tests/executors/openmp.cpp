// sbora::openmp_executor by itself, where the compiler has OpenMP.

#include "executors/contract.hpp"

#if defined(_OPENMP)

#include <memory>

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

TEST_CASE("an openmp_executor may be called by its own tasks") {
  for (const int threads : {1, 2, 3}) {
    openmp_executor pool(threads);
    check_nesting(pool);
  }
}

TEST_CASE("an openmp_executor may be shared by threads") {
  openmp_executor pool(2);
  check_sharing(pool);
}

TEST_CASE("an openmp_executor takes the greatest count") {
  for (const int threads : {1, 2, 3}) {
    openmp_executor pool(threads);
    check_greatest_count(pool);
  }
}

TEST_CASE(
    "an openmp_executor's tasks compute in the caller's floating-point environment, the team otherwise in its own") {
  check_float_environment([] { return std::make_unique<openmp_executor>(3); });
  {
    const sbora::denormal_guard guard;
    openmp_executor pool(3);
    on_every_thread(pool, [](index_t) {});
  }
  std::atomic<int> all{1};
#pragma omp parallel num_threads(3)
  all &= arithmetic();
  CHECK(all.load() == 1);
}

TEST_CASE("an openmp_executor needs a thread") {
  CHECK_ERROR(sbora::config_error, "threads must be at least 1, got 0", openmp_executor(0));
}

#else

TEST_CASE("OpenMP isn't part of this build") { SUCCEED(); }

#endif
