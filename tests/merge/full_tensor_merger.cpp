// An adapter's full tensors in the place of the model's, and back to the last bit.

#include <limits>

#include <Eigen/Core>

#include <sbora/merge/full_tensor_merger.hpp>

#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::full_tensor;
using sbora::full_tensor_merger;

TEMPLATE_TEST_CASE("a merged tensor is the adapter's, rounded, and an unmerged one the model's", "", float,
                   Eigen::bfloat16, Eigen::half) {
  std::vector<TestType> norm = random_vector<TestType>(40, 1);
  norm[3] = std::numeric_limits<TestType>::quiet_NaN();  // comes back too
  const std::vector<TestType> before = norm;
  full_tensor_merger<TestType> merger{std::span<TestType>(norm)};
  for (std::uint64_t seed = 2; seed < 5; ++seed) {
    const full_tensor<float> tensor = {"m.norm.weight", {40}, random_vector<float>(40, seed)};
    merger.merge(tensor);
    CHECK(merger.is_merged());
    for (std::size_t i = 0; i < norm.size(); ++i) CHECK(norm[i] == static_cast<TestType>(tensor.parameters()[i]));
    CHECK_ERROR(sbora::merge_error, "unmerge that first", merger.merge(tensor));
    merger.unmerge();
    CHECK(same_bits<TestType>(norm, before));
  }
}

TEST_CASE("what can't be merged leaves the model's tensor") {
  std::vector<Eigen::half> head = random_vector<Eigen::half>(6, 1);
  const std::vector<Eigen::half> before = head;
  full_tensor_merger<Eigen::half> merger{std::span<Eigen::half>(head)};
  full_tensor<float> tensor = {"head", {2, 3}, {1, 2, 3, 4, 5, 70000}};
  CHECK_ERROR(sbora::not_finite_error, "column 5 of 'head'", merger.merge(tensor));
  tensor.parameters()[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(merger.merge(tensor), sbora::not_finite_error);
  const full_tensor<float> shorter = {"head", {5}, {1, 2, 3, 4, 5}};
  CHECK_ERROR(sbora::shape_error, "'head' has 5 elements, the model's has 6", merger.merge(shorter));
  CHECK_ERROR(sbora::merge_error, "nothing is merged", merger.unmerge());
  CHECK(same_bits<Eigen::half>(head, before));
}
