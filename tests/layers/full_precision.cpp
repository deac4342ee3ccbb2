// The linear layer over float and double weights against dense one-hot products.

#include "layers/against_dense.hpp"

TEST_CASE("a layer over float weights is the dense one-hot product") {
  sbora_tests::check_sizes_against_dense<float>();
}

TEST_CASE("a layer over double weights is the dense one-hot product") {
  sbora_tests::check_sizes_against_dense<double>();
}
