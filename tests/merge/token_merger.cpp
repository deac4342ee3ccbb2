// Rows that are put into a table and taken out again: the bits of what was trained, and of what was there.

#include <sbora/layers/embedding.hpp>
#include <sbora/layers/linear.hpp>
#include <sbora/merge/token_merger.hpp>
#include <sbora/regions/sample.hpp>

#include "support/catch.hpp"
#include "support/guarded_buffer.hpp"
#include "support/layer_problem.hpp"
#include "support/merge_problem.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::token_merger;
using sbora::trainable_tokens;

namespace {

template <class Scalar>
trainable_tokens trained_tokens(merge_problem<Scalar>& p, sbora::region rows, std::uint64_t seed) {
  trainable_tokens made(p.view(), std::move(rows));
  fill_random(made.parameters(), seed);
  return made;
}

}  // namespace

TEMPLATE_TEST_CASE("1,000 sequences of merges and unmerges of tokens", "", float, Eigen::bfloat16, Eigen::half) {
  for (const sbora::storage order : both_orders) {
    merge_problem<TestType> p(50, 21, order);
    p.at(p.weight, 7, 3) = p.at(p.original, 7, 3) = padding<TestType>();  // a NaN of its own bits
    std::vector<trainable_tokens> tokens;
    for (const sbora::region& rows : sbora::partition_regions(50, {1, 4, 9, 36}, 1)) {
      tokens.push_back(trained_tokens(p, rows, 10 + tokens.size()));
    }
    padded_matrix<TestType> all_merged = p.original;
    for (const trainable_tokens& t : tokens) {
      for (index_t j = 0; j < t.target().rank(); ++j) {
        for (index_t k = 0; k < 21; ++k) {
          p.at(all_merged, t.target().indices()[static_cast<std::size_t>(j)], k) =
              TestType(t.parameters()[static_cast<std::size_t>(j * 21 + k)]);
        }
      }
    }
    token_merger merger(p.view());
    sbora::random_stream random(2);
    int wrong = 0;
    for (int sequence = 0; sequence < 1000; ++sequence) {
      const trainable_tokens& t = tokens[static_cast<std::size_t>(random.below(4))];
      merger.is_merged(t) ? merger.unmerge(t) : merger.merge(t);
      padded_matrix<TestType> expected = p.original;
      for (const trainable_tokens& one : tokens) {
        if (!merger.is_merged(one)) continue;
        for (const index_t row : one.target().indices()) {
          for (index_t k = 0; k < 21; ++k) p.at(expected, row, k) = p.at(all_merged, row, k);
        }
      }
      wrong += !p.weight_is(expected);
    }
    CHECK(wrong == 0);
    for (const trainable_tokens& t : tokens) {
      if (merger.is_merged(t)) merger.unmerge(t);
    }
    CHECK(p.weight_is_original());
  }
}

TEST_CASE("merged tokens are those of the embedding and of the head beside the table") {
  merge_problem<float> p(40, 24, sbora::storage::out_by_in);
  const trainable_tokens tokens = trained_tokens(p, sbora::sample_region(40, 6, 1), 2);
  const sbora::embedding input(p.view());
  const sbora::linear head(p.view());
  std::vector<index_t> ids(30);
  for (std::size_t t = 0; t < ids.size(); ++t) ids[t] = static_cast<index_t>(t * 7 % 40);
  padded_matrix<float> x(30, 24), merged_x(30, 24), y(30, 40), merged_y(30, 40);
  sbora::workspace memory;
  input.forward(ids, activation(x), tokens);
  head.forward(activation(x), activation(y), memory);
  replaced_forward(tokens, activation(x), activation(y), memory);
  token_merger merger(p.view());
  merger.merge(tokens);
  input.forward(ids, activation(merged_x));
  head.forward(activation(merged_x), activation(merged_y), memory);
  CHECK(same_bits(merged_x.memory(), x.memory()));
  for (index_t t = 0; t < 30; ++t) {
    for (index_t v = 0; v < 40; ++v)
      CHECK(std::abs(merged_y(t, v) - y(t, v)) <= 24 * 26 * 0x1p-23F);  // terms of at most 1
  }
}

TEST_CASE("what can't be merged changes nothing") {
  merge_problem<Eigen::half> p(20, 10, sbora::storage::out_by_in);
  trainable_tokens tokens = trained_tokens(p, sbora::region(20, {3, 9, 4}), 1);
  const trainable_tokens others = trained_tokens(p, sbora::region(20, {5, 9}), 2);
  token_merger merger(p.view());
  CHECK_ERROR(sbora::merge_error, "no adapter on this region is merged", merger.unmerge(tokens));
  tokens.parameters()[10 + 6] = 70000;  // no half
  CHECK_ERROR(sbora::not_finite_error, "row 9, column 6 of the table", merger.merge(tokens));
  CHECK(p.weight_is_original());
  tokens.parameters()[10 + 6] = 7;
  merger.merge(tokens);
  const padded_matrix<Eigen::half> merged = p.weight;
  CHECK_ERROR(sbora::merge_error, "is merged already", merger.merge(tokens));
  CHECK_ERROR(sbora::merge_error, "shares 1 index with one that is merged, the first is 9", merger.merge(others));
  merge_problem<Eigen::half> wider(20, 11, sbora::storage::out_by_in);
  CHECK_ERROR(sbora::shape_error, "20 x 11, the weight is 20 x 10",
              merger.merge(trained_tokens(wider, sbora::region(20, {1}), 3)));
  CHECK(p.weight_is(merged));
  merger.unmerge(tokens);
  CHECK(p.weight_is_original());
}
