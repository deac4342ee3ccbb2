// The linear layer over bfloat16 and half weights, computed in float, against dense one-hot products.

#include "layers/against_dense.hpp"

TEST_CASE("a layer over bfloat16 weights is the dense one-hot product") {
  sbora_tests::check_sizes_against_dense<Eigen::bfloat16>();
}

TEST_CASE("a layer over half weights is the dense one-hot product") {
  sbora_tests::check_sizes_against_dense<Eigen::half>();
}
