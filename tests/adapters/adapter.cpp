// The adapter as a value: memory, scale, options, copies.

#include <sbora/adapters/adapter.hpp>
#include <sbora/merge/merger.hpp>
#include <sbora/regions/sample.hpp>

#include <limits>
#include <utility>

#include "support/matrices.hpp"
#include "support/message.hpp"
#include "support/sanitizers.hpp"

using namespace sbora_tests;
using sbora::adapter_options;
using sbora::config_error;
using sbora::fa_adapter;
using sbora::fb_adapter;
using sbora::region;
using sbora::shape_error;

TEST_CASE("a new adapter is zero and says what it is") {
  const fa_adapter<float> fa(20, 30, sbora::sample_region(30, 4, 1), {.alpha = 16, .dropout = 0.1});
  CHECK(fa.d_out() == 20);
  CHECK(fa.d_in() == 30);
  CHECK(fa.rank() == 4);
  CHECK(fa.target() == sbora::sample_region(30, 4, 1));
  CHECK(fa.options().alpha == 16);
  CHECK(fa.options().dropout == 0.1);
  CHECK(fa.parameter_count() == 80);
  CHECK(fa.matrix().rows() == 20);
  CHECK(fa.matrix().cols() == 4);
  CHECK(fa.matrix().isZero(0));
  CHECK(fa.gradient_matrix().isZero(0));
  CHECK(fa.enabled());
  CHECK(fa.multiplier() == 1);

  const fb_adapter<double> fb(20, 30, sbora::sample_region(20, 4, 1));
  CHECK(fb.parameter_count() == 120);
  CHECK(fb.matrix().rows() == 4);
  CHECK(fb.matrix().cols() == 30);
  STATIC_REQUIRE(fa.kind == sbora::adapter_kind::fa);
  STATIC_REQUIRE(fb.kind == sbora::adapter_kind::fb);
}

TEST_CASE("spans and maps are the same row-major memory") {
  fb_adapter<float> adapter(6, 5, region(6, {4, 1}));
  CHECK(adapter.parameters().size() == 10);
  CHECK(adapter.gradient().size() == 10);
  adapter.matrix()(1, 3) = 7;
  adapter.gradient_matrix()(0, 4) = 8;
  CHECK(adapter.parameters()[8] == 7);
  CHECK(adapter.gradient()[4] == 8);
  adapter.zero_gradient();
  CHECK(adapter.gradient_matrix().isZero(0));
  CHECK(std::as_const(adapter).matrix()(1, 3) == 7);
  CHECK(reinterpret_cast<std::uintptr_t>(adapter.parameters().data()) % 64 == 0);
}

// TestScaling of PEFT's test suite.
TEST_CASE("the scale is alpha/r, alpha/sqrt(r) with rslora, times the multiplier") {
  const region target = sbora::sample_region(64, 16, 1);
  fa_adapter<float> adapter(8, 64, target, {.alpha = 32});
  CHECK(adapter.scale() == 2);
  adapter.set_multiplier(2);
  CHECK(adapter.scale() == 4);
  adapter.set_multiplier(1);
  CHECK(adapter.scale() == 2);
  adapter.set_multiplier(3);
  CHECK(adapter.scale() == 6);
  adapter.set_multiplier(-0.5);
  CHECK(adapter.scale() == -1);
  adapter.set_multiplier(0);
  CHECK(adapter.scale() == 0);

  CHECK(fa_adapter<float>(8, 64, target, {.alpha = 32, .rslora = true}).scale() == 8);
  CHECK(fa_adapter<float>(8, 64, sbora::sample_region(64, 3, 1), {.alpha = 1}).scale() == 1.0 / 3);
  CHECK(fa_adapter<float>(8, 64, sbora::sample_region(64, 3, 1), {.alpha = 1, .rslora = true}).scale() ==
        1.0 / std::sqrt(3.0));
  CHECK(fa_adapter<float>(8, 64, target).scale() == 0.5);
}

TEST_CASE("a multiplier that isn't finite is rejected and changes nothing") {
  fa_adapter<float> adapter(8, 64, region(64, {1}));
  adapter.set_multiplier(3);
  CHECK_ERROR(config_error, "the multiplier must be finite",
              adapter.set_multiplier(std::numeric_limits<double>::quiet_NaN()));
  CHECK_THROWS_AS(adapter.set_multiplier(std::numeric_limits<double>::infinity()), config_error);
  CHECK(adapter.multiplier() == 3);
}

TEST_CASE("an adapter on the caller's memory keeps its contents") {
  std::vector<float> arena = random_vector<float>(2 * 24 + 2, 1);
  const std::vector<float> before = arena;
  const std::span<float> parameters = std::span(arena).subspan(1, 24), gradient = std::span(arena).last(24);
  fa_adapter<float> adapter(8, 10, region(10, {3, 9, 0}), {}, parameters, gradient);
  CHECK(adapter.parameters().data() == parameters.data());
  CHECK(adapter.gradient().data() == gradient.data());
  CHECK(arena == before);
  adapter.zero_gradient();
  CHECK(arena[25] == before[25]);
  CHECK(arena[26] == 0);
  CHECK(arena.back() == 0);
}

TEST_CASE("spans of the wrong size are rejected by both sizes") {
  std::vector<double> memory(100);
  const auto make = [&](std::size_t parameters, std::size_t gradient) {
    return fb_adapter<double>(8, 10, region(8, {3, 1}), {}, std::span(memory).first(parameters),
                              std::span(memory).last(gradient));
  };
  CHECK_ERROR(shape_error, "sbora::fb_adapter: 20 parameters needed, the span given has 19", make(19, 20));
  CHECK_ERROR(shape_error, "20 parameters needed, the span given has 0", make(0, 20));
  CHECK_ERROR(shape_error, "20 gradients needed, the span given has 21", make(20, 21));
  CHECK_NOTHROW(make(20, 20));
  const auto for_inference = make(20, 0);
  CHECK(for_inference.gradient().empty());
}

TEST_CASE("a clone is equal and apart") {
  fa_adapter<double> adapter(8, 10, region(10, {3, 9, 0}), {.alpha = 3, .dropout = 0.5, .dropout_seed = 4});
  fill_random(adapter.parameters(), 1);
  fill_random(adapter.gradient(), 2);
  adapter.set_multiplier(2);
  adapter.set_enabled(false);
  adapter.set_dropout_step(11);
  fa_adapter<double> copy = adapter.clone();
  CHECK(copy.target() == adapter.target());
  CHECK(same_bits<double>(copy.parameters(), adapter.parameters()));
  CHECK(same_bits<double>(copy.gradient(), adapter.gradient()));
  CHECK(copy.scale() == adapter.scale());
  CHECK(copy.multiplier() == 2);
  CHECK_FALSE(copy.enabled());
  CHECK(copy.dropout_step() == 11);
  CHECK(copy.options().dropout_seed == 4);
  copy.matrix()(0, 0) = 5;
  CHECK(adapter.matrix()(0, 0) != 5);
  CHECK(copy.parameters().data() != adapter.parameters().data());
}

TEST_CASE("moving keeps spans and maps valid, and leaves none behind") {
  fb_adapter<float> adapter(8, 10, region(8, {3, 1}));
  fill_random(adapter.parameters(), 1);
  const std::span<float> parameters = adapter.parameters(), gradient = adapter.gradient();
  const auto map = adapter.matrix();
  fb_adapter<float> moved = std::move(adapter);
  CHECK(moved.parameters().data() == parameters.data());
  CHECK(moved.gradient().data() == gradient.data());
  CHECK(moved.matrix() == map);
  CHECK(adapter.parameters().empty());
  CHECK(adapter.gradient().empty());
  fb_adapter<float> assigned(5, 5, region(5, {0}));
  assigned = std::move(moved);
  CHECK(assigned.parameters().data() == parameters.data());
  CHECK(assigned.parameters()[3] == map(0, 3));
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<fb_adapter<float>>);  // clone() says that it costs
}

TEST_CASE("dropout steps count") {
  fa_adapter<float> adapter(8, 64, region(64, {1}));
  CHECK(adapter.dropout_step() == 0);
  CHECK(adapter.next_dropout_step() == 0);
  CHECK(adapter.next_dropout_step() == 1);
  adapter.set_dropout_step(40);
  CHECK(adapter.next_dropout_step() == 40);
  CHECK(adapter.dropout_step() == 41);
}

TEST_CASE("a region of the wrong side is rejected by both sizes") {
  const region ten(10, {3}), eight(8, {3});
  CHECK_NOTHROW(fa_adapter<float>(8, 10, ten));
  CHECK_NOTHROW(fb_adapter<float>(8, 10, eight));
  CHECK_ERROR(shape_error, "sbora::fa_adapter: the region is of [0, 8), d_in is 10", fa_adapter<float>(8, 10, eight));
  CHECK_ERROR(shape_error, "sbora::fb_adapter: the region is of [0, 10), d_out is 8", fb_adapter<float>(8, 10, ten));
  CHECK_ERROR(shape_error, "a weight of 0 x 10, both must be at least 1", fa_adapter<float>(0, 10, ten));
  CHECK_ERROR(shape_error, "8 x -1", fb_adapter<float>(8, -1, eight));
}

TEST_CASE("options out of range are rejected by their values") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const auto make = [](adapter_options options) { return fa_adapter<float>(8, 10, region(10, {3}), options); };
  CHECK_ERROR(config_error, "sbora::fa_adapter: alpha must be positive, got 0.0", make({.alpha = 0}));
  CHECK_ERROR(config_error, "got -1.5", make({.alpha = -1.5}));
  CHECK_ERROR(config_error, "alpha must be positive, got inf", make({.alpha = inf}));
  CHECK_ERROR(config_error, "alpha", make({.alpha = nan}));
  CHECK_ERROR(config_error, "dropout must be in [0, 1), got 1.0", make({.dropout = 1}));
  CHECK_ERROR(config_error, "dropout must be in [0, 1), got -0.1", make({.dropout = -0.1}));
  CHECK_ERROR(config_error, "dropout", make({.dropout = nan}));
  CHECK_NOTHROW(make({.dropout = 0.999}));
}

TEST_CASE("a scale is checked as the trained half's type has it") {
  const auto with = [](auto scalar, adapter_options options, index_t rank) {
    using T = decltype(scalar);
    fb_adapter<T> adapter(64, 3, sbora::sample_region(64, rank, 1), options);
    REQUIRE(std::isfinite(adapter.delta().scale));
    REQUIRE(adapter.delta().scale > 0);
  };
  CHECK_ERROR(config_error,
              "sbora::fb_adapter: alpha / rank must be positive, got 2.5e+39, above the greatest float, 3.4028234",
              with(0.0F, {.alpha = 1e40}, 4));
  CHECK_ERROR(config_error, "alpha / sqrt(rank) must be positive, got 5e+39, above the greatest float",
              with(0.0F, {.alpha = 1e40, .rslora = true}, 4));
  CHECK_ERROR(config_error, "alpha / rank must be positive, got 1e-50, below the least normal float, 1.17549435",
              with(0.0F, {.alpha = 1e-50}, 1));
  CHECK_ERROR(config_error, "below the least normal float", with(0.0F, {.alpha = 1.2e-38}, 64));
  with(0.0F, {.alpha = 1.2e-38, .rslora = false}, 1);
  CHECK_ERROR(config_error, "below the least normal float", with(0.0F, {.alpha = 1.2e-38, .rslora = true}, 64));
  with(0.0F, {.alpha = 1e39}, 16);  // as used: 6.25e37
  CHECK_ERROR(config_error, "above the greatest float", with(0.0F, {.alpha = 2e39, .rslora = true}, 16));
  with(0.0, {.alpha = 1e40}, 1);
  with(0.0, {.alpha = 1e-50, .rslora = true}, 64);
  CHECK_ERROR(config_error, "got 1e-310, below the least normal double", with(0.0, {.alpha = 1e-310}, 1));
}

TEST_CASE("a multiplier whose scale isn't finite in the adapter's type is rejected and changes nothing") {
  fa_adapter<float> adapter(8, 64, region(64, {1, 2}), {.alpha = 1e38});
  adapter.set_multiplier(3);
  CHECK_ERROR(config_error, "the multiplier * alpha / rank must be finite, got 5e+38, above the greatest float",
              adapter.set_multiplier(10));
  CHECK_ERROR(config_error, "got -5e+38, above the greatest float", adapter.set_multiplier(-10));
  CHECK_ERROR(config_error, "got inf", adapter.set_multiplier(1e300));
  CHECK(adapter.multiplier() == 3);
  CHECK(adapter.delta().scale == 1.5e38F);
  adapter.set_multiplier(1e-300);  // fades out
  CHECK(adapter.delta().scale == 0);
  fa_adapter<double> wide(8, 64, region(64, {1}), {.alpha = 1e38});
  wide.set_multiplier(10);
  CHECK(wide.delta().scale == 1e39);
}

TEST_CASE("an adapter of a size that no memory has is refused, not wrapped around") {
  const sbora::region all = sbora::sample_region(8, 8, 1);
  if (!under_asan) {  // which ends a program that asks for so much
    CHECK_THROWS_AS(sbora::fa_adapter<float>(index_t{1} << 55, 8, all), std::bad_alloc);
  }
  CHECK_THROWS_AS(sbora::fa_adapter<float>(index_t{1} << 58, 8, all), sbora::shape_error);
  CHECK_THROWS_AS(sbora::fa_adapter<float>(index_t{1} << 62, 8, all), sbora::shape_error);
}

template <class Object>
concept refers_to_itself = requires(Object&& object) { static_cast<Object&&>(object).parameters(); } ||
                           requires(Object&& object) { static_cast<Object&&>(object).gradient(); } ||
                           requires(Object&& object) { static_cast<Object&&>(object).matrix(); } ||
                           requires(Object&& object) { static_cast<Object&&>(object).gradient_matrix(); } ||
                           requires(Object&& object) { static_cast<Object&&>(object).delta(); };

TEST_CASE("nothing that refers to an adapter can be had of a temporary") {
  STATIC_REQUIRE_FALSE(refers_to_itself<fa_adapter<float>&&>);
  STATIC_REQUIRE_FALSE(refers_to_itself<const fb_adapter<double>&&>);
  STATIC_REQUIRE(refers_to_itself<fa_adapter<float>&>);
  const region target = fa_adapter<double>(8, 10, region(10, {3, 9, 0})).target();
  CHECK(target.rank() == 3);
  STATIC_REQUIRE(std::is_same_v<decltype(std::declval<fa_adapter<float>>().target()), region>);
  using merge = sbora::scoped_merge<float, fa_adapter<float>>;
  STATIC_REQUIRE(std::is_constructible_v<merge, sbora::merger<float>&, const fa_adapter<float>&>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<merge, sbora::merger<float>&, fa_adapter<float>>);
}
