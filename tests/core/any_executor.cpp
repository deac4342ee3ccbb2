#include "support/catch.hpp"

#include <type_traits>
#include <vector>

#include <sbora/core/workspace.hpp>

using sbora::any_executor;
using sbora::index_t;

namespace {

/// Runs tasks backwards and counts its calls.
struct backwards {
  int calls = 0;

  template <class Function>
  void parallel_for(index_t n, Function&& f) {
    ++calls;
    for (index_t i = n; i-- > 0;) f(i);
  }
};

std::vector<index_t> order_of(any_executor pool) {
  std::vector<index_t> order;
  pool.parallel_for(4, [&](index_t i) { order.push_back(i); });
  return order;
}

}  // namespace

TEST_CASE("any_executor runs every task once, as the executor that it refers to") {
  backwards pool;
  CHECK(order_of(pool) == std::vector<index_t>{3, 2, 1, 0});
  CHECK(pool.calls == 1);
  const any_executor copy = any_executor(pool);
  CHECK(order_of(copy) == std::vector<index_t>{3, 2, 1, 0});
  CHECK(pool.calls == 2);
  CHECK_FALSE(copy.is_serial());
  CHECK(copy.threads() > 1);        // it doesn't say
  const any_executor again = copy;  // by value, not a reference to a reference
  CHECK(order_of(again) == std::vector<index_t>{3, 2, 1, 0});
}

TEST_CASE("any_executor without an executor is serial") {
  CHECK(order_of({}) == std::vector<index_t>{0, 1, 2, 3});
  const sbora::serial_executor serial;
  CHECK(order_of(serial) == std::vector<index_t>{0, 1, 2, 3});
  CHECK(any_executor().is_serial());
  CHECK(any_executor(serial).is_serial());
  CHECK(any_executor(serial).threads() == 1);
}

TEST_CASE("an idle executor runs nothing, on any thread") {
  CHECK(order_of(any_executor::idle()).empty());
  CHECK(order_of(any_executor::idle().on_this_thread()).empty());
  backwards pool;
  CHECK(order_of(any_executor(pool).on_this_thread()) == std::vector<index_t>{0, 1, 2, 3});
  CHECK(pool.calls == 0);
}

TEST_CASE("what a task throws comes out") {
  backwards pool;
  const auto fail = [](index_t i) {
    if (i == 2) throw i;
  };
  CHECK_THROWS_AS(any_executor(pool).parallel_for(4, fail), index_t);
  CHECK_THROWS_AS(any_executor().parallel_for(4, fail), index_t);
}

TEST_CASE("any_executor is an executor, of lvalues only") {
  STATIC_REQUIRE(sbora::executor<any_executor>);
  STATIC_REQUIRE(std::is_convertible_v<backwards&, any_executor>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<backwards, any_executor>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<int&, any_executor>);
}

TEST_CASE("scratch_of counts the most that a call has at once") {
  using sbora::detail::workspace_frame;
  const auto inner = [](workspace_frame frame, index_t count) { CHECK(frame.take<float>(count) == nullptr); };
  const auto work = [&](workspace_frame frame, any_executor pool) {
    CHECK(frame.counts());
    frame.take<double>(1);  // 64 bytes
    inner(frame, 100);      // 448, free again afterwards
    inner(frame, 16);
    frame.take<std::byte>(65);  // 128
    inner(frame, 17);           // 128
    pool.parallel_for(3, [](index_t) { FAIL("a task was run"); });
  };
  CHECK(sbora::detail::scratch_of(work) == 64 + 448);
  CHECK(sbora::detail::scratch_of([](workspace_frame, any_executor) {}) == 0);
}

TEST_CASE("a frame gives no more than it was made for") {
  sbora::workspace memory;
  sbora::detail::workspace_frame frame(memory, 128);
  frame.take<float>(16);
  sbora::detail::workspace_frame copy = frame;
  CHECK_THROWS_AS(copy.take<float>(17), sbora::assertion_error);
  CHECK(copy.take<float>(16) == frame.take<float>(16));
  CHECK_THROWS_AS(frame.take<float>(1), sbora::assertion_error);
}
