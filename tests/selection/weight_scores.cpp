// Scores of weights alone, over every way of storing them.

#include <Eigen/Core>

#include <sbora/quantized.hpp>
#include <sbora/selection/weight_scores.hpp>

#include <sbora/executors/thread_pool.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

constexpr index_t d_out = 70, d_in = 1100;

/// Both scores of both kinds against the weight's own values.
template <class Weight>
void check_scores(const Weight& weight) {
  std::vector<float> dense(static_cast<std::size_t>(d_out * d_in));
  sbora::dequantize(weight, sbora::weight_view<float>(dense.data(), d_out, d_in));
  const auto norms = random_vector<double>(d_in, 4);
  sbora::thread_pool pool(3);
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    const bool columns = kind == adapter_kind::fa;
    const auto norm = weight_norm_scores(weight, kind), wanda = wanda_scores(weight, kind, norms);
    REQUIRE(std::ssize(norm) == (columns ? d_in : d_out));
    for (std::size_t j = 0; j < norm.size(); ++j) {
      long double squares = 0, sum = 0, magnitude = 0;
      for (index_t i = 0; i < (columns ? d_out : d_in); ++i) {
        const index_t row = columns ? i : static_cast<index_t>(j), column = columns ? static_cast<index_t>(j) : i;
        const long double w = dense[static_cast<std::size_t>(row * d_in + column)];
        squares += w * w;
        sum += std::abs(w) * norms[static_cast<std::size_t>(column)];
        magnitude += std::abs(w * norms[static_cast<std::size_t>(column)]);
      }
      CHECK(std::abs(norm[j] - std::sqrt(squares)) <= gamma_of<double>(d_in + 2) * std::sqrt(squares));
      CHECK(std::abs(wanda[j] - sum) <= gamma_of<double>(d_in + 2) * magnitude);
    }
    CHECK(same_bits<double>(weight_norm_scores(weight, kind, pool), norm));
    CHECK(same_bits<double>(wanda_scores(weight, kind, norms, pool), wanda));
  }
}

}  // namespace

TEST_CASE("weight_norm_scores and wanda_scores read any weight") {
  const auto values = random_vector<float>(d_out * d_in, 1);
  const sbora::weight_view<const float> dense(values.data(), d_out, d_in);
  check_scores(dense);
  check_scores(sbora::weight_view<const float>(values.data(), d_out, d_in, 0, sbora::storage::in_by_out));
  const auto half = random_vector<Eigen::bfloat16>(d_out * d_in, 2);
  check_scores(sbora::weight_view<const Eigen::bfloat16>(half.data(), d_out, d_in));
  const sbora::four_bit_weight nf4(dense);
  check_scores(nf4.view());
  const sbora::int8_weight int8(dense);
  check_scores(int8.view());
}

TEST_CASE("wanda_scores refuses another number of norms, and random_scores no columns") {
  const auto values = random_vector<float>(6, 1), norms = random_vector<float>(2, 1);
  const sbora::weight_view<const float> weight(values.data(), 2, 3);
  CHECK_ERROR(sbora::shape_error, "2 norms of x, d_in is 3",
              wanda_scores(weight, adapter_kind::fa, std::vector<double>(2)));
  CHECK_ERROR(sbora::region_error, "dim must be at least 1, got 0", sbora::random_scores(0, 1));
  const auto scores = sbora::random_scores(50, 7);
  CHECK(scores == sbora::random_scores(50, 7));
  CHECK(scores != sbora::random_scores(50, 8));
  for (const double score : scores) CHECK((score >= 0 && score < 1));
}
