// Scorers against plain loops in long double, cut into any batches, on any threads, merged over processes.

#include <sbora/sbora.hpp>

#include <sbora/executors/thread_pool.hpp>
#include <sbora/selection/scorers.hpp>
#include <sbora/selection/usage_scorer.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::activation_view;
using sbora::adapter_kind;

namespace {

struct size_case {
  index_t tokens, d_out, d_in;
};
constexpr size_case sizes[] = {{1, 1, 1}, {7, 5, 300}, {33, 700, 9}, {20, 256, 257}};
constexpr adapter_kind kinds[] = {adapter_kind::fa, adapter_kind::fb};

template <class T>
padded_matrix<T> values_of(index_t rows, index_t cols, std::uint64_t seed) {
  padded_matrix<T> values(rows, cols, 3);
  values.randomise(seed);
  return values;
}

template <class T>
long double exact(T value) {
  return static_cast<long double>(static_cast<double>(value));
}

/// Tokens [begin, end).
template <class T>
auto part(const padded_matrix<T>& a, index_t begin, index_t end) {
  return activation_view<const T>(a.data() + begin * a.stride(), end - begin, a.cols(), a.stride());
}
template <class T>
auto all(const padded_matrix<T>& a) {
  return part(a, 0, a.rows());
}

/// Relative to `magnitude`, within so many roundings of double.
void check_sums(std::span<const double> sums, const std::vector<long double>& exact,
                const std::vector<long double>& magnitude, index_t roundings) {
  REQUIRE(sums.size() == exact.size());
  for (std::size_t j = 0; j < exact.size(); ++j) {
    const long double error = std::abs(static_cast<long double>(sums[j]) - exact[j]);
    CHECK(error <= gamma_of<double>(roundings) * magnitude[j]);
  }
}

template <class T>
long double squared(const padded_matrix<T>& a, index_t t) {
  long double sum = 0;
  for (index_t j = 0; j < a.cols(); ++j) sum += exact(a(t, j)) * exact(a(t, j));
  return sum;
}

/// What each scorer sums, by its definition: f(j) → terms over tokens.
template <class Term>
void check_terms(const sbora::feature_sums& scorer, index_t tokens, index_t roundings, const Term& term) {
  std::vector<long double> sums, magnitudes;
  for (index_t j = 0; j < scorer.dim(); ++j) {
    long double sum = 0, magnitude = 0;
    for (index_t t = 0; t < tokens; ++t) {
      sum += term(t, j);
      magnitude += std::abs(term(t, j));
    }
    sums.push_back(sum);
    magnitudes.push_back(magnitude);
  }
  CHECK(scorer.tokens() == tokens);
  check_sums(scorer.sums(), sums, magnitudes, roundings);
}

/// add(scorer, begin, end, executor) in one batch, in batches of other sizes, on threads, and as three processes.
template <class Scorer, class Add>
Scorer checked_splits(const Scorer& empty, index_t tokens, const Add& add) {
  Scorer whole = empty;
  add(whole, 0, tokens, sbora::any_executor());
  for (const index_t batch : {1, 3, 8, 13}) {
    Scorer parts = empty;
    for (index_t t = 0; t < tokens; t += batch) add(parts, t, std::min(tokens, t + batch), sbora::any_executor());
    CHECK(same_bits<double>(parts.sums(), whole.sums()));
    CHECK(parts.tokens() == tokens);
  }
  for (const int threads : {1, 2, 5}) {
    sbora::thread_pool pool(threads);
    Scorer threaded = empty;
    add(threaded, 0, tokens, sbora::any_executor(pool));
    CHECK(same_bits<double>(threaded.sums(), whole.sums()));
  }
  Scorer merged = empty;
  for (index_t i = 0; i < 3; ++i) {
    Scorer process = empty;
    add(process, tokens * i / 3, tokens * (i + 1) / 3, sbora::any_executor());
    merged.merge(process);
  }
  CHECK(merged.tokens() == tokens);
  return merged;
}

}  // namespace

TEMPLATE_TEST_CASE("activation_scorer is the norm over all tokens", "", float, double, Eigen::bfloat16) {
  for (const auto& size : sizes) {
    for (const adapter_kind kind : kinds) {
      const index_t dim = kind == adapter_kind::fa ? size.d_in : size.d_out;
      const auto a = values_of<TestType>(size.tokens, dim, 3);
      const auto term = [&](index_t t, index_t j) { return exact(a(t, j)) * exact(a(t, j)); };
      sbora::activation_scorer scorer(kind, size.d_out, size.d_in);
      scorer.add(all(a));
      check_terms(scorer, size.tokens, size.tokens + 1, term);
      const auto scores = scorer.scores();
      REQUIRE(scores.size() == scorer.sums().size());
      for (std::size_t j = 0; j < scores.size(); ++j) CHECK(scores[j] == std::sqrt(scorer.sums()[j]));
      const auto merged = checked_splits(sbora::activation_scorer(kind, size.d_out, size.d_in), size.tokens,
                                         [&](auto& s, index_t b, index_t e, auto pool) { s.add(part(a, b, e), pool); });
      check_terms(merged, size.tokens, size.tokens + 3, term);
    }
  }
}

TEMPLATE_TEST_CASE("gradient_scorer is the norm of the tokens' own gradients", "", float, double, Eigen::bfloat16) {
  for (const auto& size : sizes) {
    for (const adapter_kind kind : kinds) {
      const auto x = values_of<TestType>(size.tokens, size.d_in, 5);
      const auto dy = values_of<TestType>(size.tokens, size.d_out, 6);
      // Σ over the other axis of the squared element (i, j) of dyᵗ·xᵗᵀ.
      const auto term = [&](index_t t, index_t j) {
        const long double own = kind == adapter_kind::fa ? exact(x(t, j)) : exact(dy(t, j));
        return own * own * (kind == adapter_kind::fa ? squared(dy, t) : squared(x, t));
      };
      sbora::workspace memory;
      sbora::gradient_scorer scorer(kind, size.d_out, size.d_in);
      scorer.add(all(x), all(dy), memory);
      const index_t roundings = size.tokens + size.d_in + size.d_out + 4;
      check_terms(scorer, size.tokens, roundings, term);
      const auto scores = scorer.scores();
      REQUIRE(scores.size() == scorer.sums().size());
      for (std::size_t j = 0; j < scores.size(); ++j) CHECK(scores[j] == std::sqrt(scorer.sums()[j]));
      const auto merged = checked_splits(
          sbora::gradient_scorer(kind, size.d_out, size.d_in), size.tokens,
          [&](auto& s, index_t b, index_t e, auto pool) { s.add(part(x, b, e), part(dy, b, e), memory, pool); });
      check_terms(merged, size.tokens, roundings + 2, term);
    }
  }
}

TEMPLATE_TEST_CASE("snip_scorer is a product over all tokens", "", float, double, Eigen::bfloat16) {
  for (const auto& size : sizes) {
    const auto a = values_of<TestType>(size.tokens, size.d_in, 7), da = values_of<TestType>(size.tokens, size.d_in, 8);
    const auto term = [&](index_t t, index_t j) { return exact(a(t, j)) * exact(da(t, j)); };
    sbora::snip_scorer scorer(adapter_kind::fa, size.d_out, size.d_in);
    scorer.add(all(a), all(da));
    check_terms(scorer, size.tokens, size.tokens + 1, term);
    const auto scores = scorer.scores();
    for (std::size_t j = 0; j < scores.size(); ++j) CHECK(scores[j] == std::abs(scorer.sums()[j]));
    const auto merged =
        checked_splits(sbora::snip_scorer(adapter_kind::fa, size.d_out, size.d_in), size.tokens,
                       [&](auto& s, index_t b, index_t e, auto pool) { s.add(part(a, b, e), part(da, b, e), pool); });
    check_terms(merged, size.tokens, size.tokens + 3, term);
  }
}

TEST_CASE("snip_scorer is |w·gradient| of a layer's columns and rows") {
  using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  constexpr index_t tokens = 6, d_out = 5, d_in = 7;
  const matrix w = matrix::Random(d_out, d_in), x = matrix::Random(tokens, d_in), dy = matrix::Random(tokens, d_out);
  matrix y(tokens, d_out), dx(tokens, d_in);
  sbora::linear layer{sbora::weight_view{w}};
  sbora::workspace memory;
  layer.forward(x, y, memory);
  layer.backward(dy, dx, memory);
  sbora::snip_scorer columns(adapter_kind::fa, d_out, d_in), rows(adapter_kind::fb, d_out, d_in);
  columns.add(x, dx);
  rows.add(y, dy);
  const matrix product = w.cwiseProduct(dy.transpose() * x);
  for (index_t j = 0; j < d_in; ++j) {
    CHECK(std::abs(columns.scores()[static_cast<std::size_t>(j)] - std::abs(product.col(j).sum())) < 1e-13);
  }
  for (index_t i = 0; i < d_out; ++i) {
    CHECK(std::abs(rows.scores()[static_cast<std::size_t>(i)] - std::abs(product.row(i).sum())) < 1e-13);
  }
}

TEMPLATE_TEST_CASE("usage_scorer counts tokens, and tf_idf_scores weighs them", "", float, double, Eigen::bfloat16) {
  sbora::workspace memory;
  const index_t tokens = 40, dim = 300;
  const auto count = [&](const padded_matrix<TestType>& a, double threshold) {
    std::vector<double> counts(static_cast<std::size_t>(a.cols()));
    for (index_t t = 0; t < a.rows(); ++t) {
      double sum = 0;
      for (index_t j = 0; j < a.cols(); ++j) sum += static_cast<double>(a(t, j)) * static_cast<double>(a(t, j));
      const double limit = threshold * std::sqrt(sum / static_cast<double>(a.cols()));
      for (index_t j = 0; j < a.cols(); ++j) {
        counts[static_cast<std::size_t>(j)] += std::abs(static_cast<double>(a(t, j))) > limit ? 1 : 0;
      }
    }
    return counts;
  };
  const auto a = values_of<TestType>(tokens, dim, 11), b = values_of<TestType>(2 * tokens, dim, 12);
  const sbora::usage_scorer empty(adapter_kind::fa, 4, dim, 1.5);
  const auto task = checked_splits(
      empty, tokens, [&](auto& s, index_t begin, index_t end, auto pool) { s.add(part(a, begin, end), memory, pool); });
  auto reference = empty;
  reference.add(all(b), memory);
  const auto c = count(a, 1.5), n = count(b, 1.5);
  CHECK(same_bits<double>(task.sums(), c));
  CHECK(same_bits<double>(reference.sums(), n));
  double sum = 0;
  for (const double used : c) sum += used;
  REQUIRE(sum > 0);
  const auto scores = tf_idf_scores(task, reference);
  for (std::size_t j = 0; j < c.size(); ++j) {
    CHECK(scores[j] == c[j] / sum * std::log((2.0 * tokens + 1) / (n[j] + 1)));
  }
}

TEST_CASE("usage_scorer counts an embedding's ids, and nothing of zeros") {
  sbora::usage_scorer rows(adapter_kind::fb, 4, 2);
  rows.add_ids(std::vector<index_t>{3, 1, 3});
  CHECK(same_bits<double>(rows.sums(), std::vector<double>{0, 1, 0, 2}));
  CHECK(rows.tokens() == 3);
  CHECK_ERROR(sbora::region_error, "id 4 is outside [0, 4)", rows.add_ids(std::vector<index_t>{0, 4}));
  CHECK(rows.tokens() == 3);
  const sbora::usage_scorer none(adapter_kind::fb, 4, 2);
  CHECK(tf_idf_scores(none, rows) == std::vector<double>(4));
  CHECK_ERROR(sbora::shape_error, "counts are of 4 columns or rows, the reference's of 2",
              tf_idf_scores(rows, sbora::usage_scorer(adapter_kind::fa, 4, 2)));
  CHECK_ERROR(sbora::config_error, "threshold must be positive", sbora::usage_scorer(adapter_kind::fa, 1, 1, 0));
  const std::vector<float> zeros(4);
  sbora::workspace memory;
  rows.add(activation_view<const float>(zeros.data(), 1, 4), memory);
  CHECK(same_bits<double>(rows.sums(), std::vector<double>{0, 1, 0, 2}));
}

TEST_CASE("scorers refuse what doesn't fit, and a NaN reaches top_region") {
  const auto x = values_of<float>(3, 4, 1), dy = values_of<float>(2, 5, 2);
  sbora::workspace memory;
  sbora::gradient_scorer gradient(adapter_kind::fa, 5, 4);
  CHECK_ERROR(sbora::assertion_error, "different numbers of tokens", gradient.add(all(x), all(dy), memory));
  CHECK_ERROR(sbora::assertion_error, "d_in is 4", gradient.add(all(dy), all(dy), memory));
  CHECK_ERROR(sbora::assertion_error, "d_out is 5", gradient.add(all(x), all(x), memory));
  CHECK(gradient.tokens() == 0);
  sbora::activation_scorer activation(adapter_kind::fa, 5, 4);
  CHECK_ERROR(sbora::assertion_error, "the number of scores is 4", activation.add(all(dy)));
  CHECK_ERROR(sbora::shape_error, "both must be at least 1", sbora::snip_scorer(adapter_kind::fa, 0, 4));
  sbora::activation_scorer other(adapter_kind::fb, 5, 4);
  CHECK_ERROR(sbora::shape_error, "scores of 5 columns or rows can't be added to 4", activation.merge(other));

  auto with_nan = values_of<float>(3, 4, 1);
  with_nan(1, 2) = std::numeric_limits<float>::quiet_NaN();
  activation.add(all(with_nan));
  CHECK_ERROR(sbora::not_finite_error, "score 2 is NaN", sbora::top_region(activation.scores(), 2));
  activation.reset();
  CHECK(activation.tokens() == 0);
  activation.add(all(x));
  CHECK(sbora::top_region(activation.scores(), 2).rank() == 2);
}
