// Full tensors: what they begin as, whose memory they are on, copies and moves, what is refused.

#include <sbora/adapters/full_tensor.hpp>
#include <sbora/optimisers/adamw.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::full_tensor;
using sbora::parameter_block;

TEST_CASE("a full tensor begins as the values given, with a gradient of zero") {
  full_tensor<float> norm("m.norm.weight", {2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK(norm.name() == "m.norm.weight");
  CHECK(norm.shape() == std::vector<sbora::index_t>{2, 3});
  CHECK(norm.parameter_count() == 6);
  CHECK(same_bits<float>(norm.parameters(), std::vector<float>{1, 2, 3, 4, 5, 6}));
  CHECK(same_bits<float>(norm.gradient(), std::vector<float>(6)));
  CHECK(norm.blocks()[0] == parameter_block{0, 2, 3});
  CHECK(full_tensor<double>("gain", {}, {2.5}).blocks()[0] == parameter_block{0, 1, 1});
  CHECK(full_tensor<float>("none", {2, 0}, {}).blocks()[0] == parameter_block{0, 0, 0});
}

TEST_CASE("a full tensor is trained where its memory is, the caller's too") {
  std::vector<float> numbers = {1, 2, 3}, gradient = {1, -1, 0};
  full_tensor<float> bias("m.bias", {3}, std::span(numbers), std::span(gradient));
  sbora::adamw<float> optimiser(bias.parameter_count(), {.learning_rate = 0.5});
  optimiser.step(bias.parameters(), bias.gradient());
  CHECK(numbers[0] < 1);
  CHECK(numbers[1] > 2);
  bias.zero_gradient();
  CHECK(gradient == std::vector<float>(3));
  const full_tensor<float> frozen("m.bias", {3}, std::span(numbers), {});
  CHECK(frozen.gradient().empty());
  CHECK(frozen.parameters().data() == numbers.data());
}

TEST_CASE("copies of a full tensor have memory of their own, and moves keep it") {
  full_tensor<float> first("a", {2}, {1, 2});
  first.gradient()[1] = 7;
  full_tensor<float> copy = first;
  copy.parameters()[0] = 5;
  CHECK(first.parameters()[0] == 1);
  CHECK(copy.gradient()[1] == 7);
  const float* const memory = first.parameters().data();
  const full_tensor<float> moved = std::move(first);
  CHECK(moved.parameters().data() == memory);
  copy = moved;
  CHECK(copy.parameters()[0] == 1);
  CHECK(copy.parameters().data() != memory);
}

TEST_CASE("numbers that don't fit a full tensor's shape are refused") {
  std::vector<float> three(3), two(2);
  CHECK_ERROR(sbora::shape_error, "'a' has 2 values, its shape has 3", full_tensor<float>("a", {3}, two));
  CHECK_ERROR(sbora::shape_error, "-1 x 3", full_tensor<float>("a", {-1, 3}, three));
  CHECK_ERROR(sbora::shape_error, "3 parameters needed, the span given has 2",
              full_tensor<float>("a", {3}, std::span(two), std::span(three)));
  CHECK_ERROR(sbora::shape_error, "3 gradients needed, the span given has 2",
              full_tensor<float>("a", {3}, std::span(three), std::span(two)));
}
