// Merging beside a weight: bits of the enabled adapter, undone exactly, the weight untouched.

#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

#include "support/catch.hpp"
#include "support/fp8_codes.hpp"
#include "support/ggml_blocks.hpp"
#include "support/layer_problem.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;

namespace {

const layer_case size{48, 96, 6, 21, sbora::storage::out_by_in, 0, true, 0};

template <adapter_kind Kind>
sbora::basic_adapter<Kind, float> trained(std::vector<index_t> indices, std::uint64_t seed) {
  sbora::basic_adapter<Kind, float> adapter(
      size.d_out, size.d_in, sbora::region(Kind == adapter_kind::fa ? size.d_in : size.d_out, std::move(indices)),
      {.alpha = 3});
  fill_random(adapter.parameters(), seed);
  return adapter;
}

template <class Layer>
padded_matrix<float> forward(const Layer& layer, index_t tokens,
                             std::span<const sbora::weight_delta<float>> deltas = {}) {
  padded_matrix<float> x(tokens, size.d_in), y(tokens, size.d_out);
  x.randomise(5);
  sbora::workspace memory;
  layer.forward(activation(std::as_const(x)), activation(y), deltas, memory);
  return y;
}

bool same(const padded_matrix<float>& a, const padded_matrix<float>& b) { return same_bits(a.memory(), b.memory()); }

/// check(weight) of NF4, fp8 and ggml's codes; each has a view().
template <class Check>
void of_codes(Check&& check) {
  const layer_problem<adapter_kind::fa, float> p(size);
  const sbora::weight_view<const float> source(p.weight.data(), size.d_out, size.d_in);
  check(sbora::four_bit_weight(source));
  check(sbora::four_bit_weight(source, {.nested = true}));
  check(fp8_codes(size.d_out, size.d_in, sbora::fp8_scaling::row, 3));
  check(ggml_blocks(size.d_out, size.d_in, sbora::ggml_type::q5_0, 3));
}

template <class Weight>
void check_overlay(const Weight& weight) {
  const auto first = trained<adapter_kind::fa>({3, 90, 41}, 1);
  const auto second = trained<adapter_kind::fa>({7, 2}, 2);
  const std::array deltas = {first.delta(), second.delta()};
  for (const index_t tokens : {1, 21}) {
    const sbora::linear plain(weight.view());
    sbora::linear layer(weight.view());
    sbora::overlay<float> merged(size.d_out, size.d_in);
    layer.set_overlay(&merged.deltas());
    CHECK(same(forward(layer, tokens), forward(plain, tokens)));
    merged.merge(first);
    merged.merge(second);
    CHECK(merged.merged_count() == 2);
    CHECK(merged.is_merged(first));
    CHECK(same(forward(layer, tokens), forward(plain, tokens, deltas)));
    CHECK_FALSE(same(forward(layer, tokens), forward(plain, tokens)));

    // An adapter on top, and the way back.
    const auto third = trained<adapter_kind::fb>({4, 9}, 3);
    const std::array top = {third.delta()};
    const std::array all = {deltas[0], deltas[1], third.delta()};
    CHECK(same(forward(layer, tokens, top), forward(plain, tokens, all)));

    merged.unmerge(first);
    CHECK(same(forward(layer, tokens), forward(plain, tokens, {&deltas[1], 1})));
    merged.unmerge_all();
    CHECK(same(forward(layer, tokens), forward(plain, tokens)));
  }
}

template <class Weight>
void check_export(const Weight& weight) {
  padded_matrix<float> values(size.d_out, size.d_in), out(size.d_out, size.d_in, 1);
  sbora::dequantize(weight.view(), sbora::weight_view<float>(values.data(), size.d_out, size.d_in));
  const auto adapter = trained<adapter_kind::fa>({3, 90, 41}, 1);
  const std::array deltas = {adapter.delta()};
  const sbora::weight_view<float> view(out.data(), size.d_out, size.d_in, out.stride());
  sbora::export_merged(weight.view(), deltas, view);
  CHECK(out.padding_intact());
  sbora::merger<float> merger(sbora::weight_view<float>(values.data(), size.d_out, size.d_in));
  merger.merge(adapter);
  for (index_t o = 0; o < size.d_out; ++o) {
    for (index_t i = 0; i < size.d_in; ++i) {
      if (out(o, i) != values(o, i)) FAIL("row " << o << ", column " << i);
    }
  }
  padded_matrix<Eigen::bfloat16> narrow(size.d_in, size.d_out);  // the other order
  sbora::export_merged(
      weight.view(), deltas,
      sbora::weight_view<Eigen::bfloat16>(narrow.data(), size.d_out, size.d_in, size.d_out, sbora::storage::in_by_out));
  for (index_t o = 0; o < size.d_out; ++o) {
    for (index_t i = 0; i < size.d_in; ++i) {
      if (narrow(i, o) != static_cast<Eigen::bfloat16>(values(o, i))) FAIL("row " << o << ", column " << i);
    }
  }
  CHECK_ERROR(
      sbora::shape_error, "the output 96 x 48",
      sbora::export_merged(weight.view(), deltas, sbora::weight_view<float>(out.data(), size.d_in, size.d_out)));
}

}  // namespace

TEST_CASE("what is merged beside codes gives the bits of the enabled adapters, and goes without a trace") {
  of_codes([](const auto& weight) { check_overlay(weight); });
}

TEST_CASE("training over an overlay is training over the sum") {
  layer_problem<adapter_kind::fb, float> p(size), q(size);
  const auto under = trained<adapter_kind::fa>({3, 90, 41}, 1);
  sbora::overlay<float> merged(size.d_out, size.d_in);
  merged.merge(under);
  padded_matrix<float> sum(size.d_out, size.d_in);
  sbora::export_merged(sbora::weight_view<const float>(p.weight.data(), size.d_out, size.d_in), merged.deltas(),
                       sbora::weight_view<float>(sum.data(), size.d_out, size.d_in));
  sbora::workspace memory;
  const auto step = [&](auto& layer, auto& problem, padded_matrix<float>& y, padded_matrix<float>& dx) {
    sbora::fb_saved<float> saved;
    layer.set_delta_path(sbora::delta_path::on_pack);
    layer.forward(activation(std::as_const(problem.x)), activation(y), problem.adapter, saved, memory);
    layer.backward(activation(std::as_const(problem.dy)), activation(dx), problem.adapter, saved, memory);
  };
  auto layer = p.layer();
  layer.set_overlay(&merged.deltas());
  sbora::linear dense(sbora::weight_view<const float>(sum.data(), size.d_out, size.d_in),
                      std::span<const float>(q.bias));
  padded_matrix<float> y = p.empty_y(), expected_y = p.empty_y(), dx = p.empty_dx(), expected_dx = p.empty_dx();
  step(layer, p, y, dx);
  step(dense, q, expected_y, expected_dx);
  CHECK(same(y, expected_y));
  CHECK(same(dx, expected_dx));
  CHECK(same_bits<float>(p.adapter.gradient(), q.adapter.gradient()));
}

TEST_CASE("10,000 merges and unmerges leave codes and scales as they were") {
  const layer_problem<adapter_kind::fa, float> p(size);
  const sbora::four_bit_weight weight(sbora::weight_view<const float>(p.weight.data(), size.d_out, size.d_in),
                                      {.nested = true});
  const auto view = weight.view();
  const std::vector<std::uint8_t> codes(view.codes().begin(), view.codes().end());
  const auto scales_of = [&] {
    std::vector<float> all(view.scales().nested_absmax.begin(), view.scales().nested_absmax.end());
    for (const std::uint8_t code : view.scales().absmax_codes) all.push_back(code);
    all.push_back(view.scales().nested_offset);
    return all;
  };
  const std::vector<float> scales = scales_of();
  sbora::overlay<float> merged(size.d_out, size.d_in);
  sbora::linear layer(view);
  layer.set_overlay(&merged.deltas());
  const auto adapter = trained<adapter_kind::fa>({3, 90, 41}, 1);
  const padded_matrix<float> before = forward(layer, 21);
  for (int i = 0; i < 10000; ++i) {
    merged.merge(adapter);
    merged.unmerge(adapter);
  }
  CHECK(same(forward(layer, 21), before));
  CHECK(std::equal(codes.begin(), codes.end(), view.codes().begin()));
  CHECK(scales == scales_of());
}

TEST_CASE("an overlay refuses what a merger refuses") {
  sbora::overlay<float> merged(size.d_out, size.d_in);
  const auto first = trained<adapter_kind::fa>({3, 90, 41}, 1);
  merged.merge(first);
  CHECK_ERROR(sbora::merge_error, "merged already", merged.merge(first));
  CHECK_ERROR(sbora::merge_error, "shares 1 index with one that is merged, the first is 90",
              merged.merge(trained<adapter_kind::fa>({90, 1}, 2)));
  CHECK_ERROR(sbora::merge_error, "FA columns cross FB rows", merged.merge(trained<adapter_kind::fb>({1}, 2)));
  CHECK_ERROR(sbora::merge_error, "no adapter on this region is merged, 1 on others",
              merged.unmerge(trained<adapter_kind::fa>({5}, 2)));
  const sbora::fa_adapter<float> other(4, 4, sbora::region(4, {1}));
  CHECK_ERROR(sbora::shape_error, "4 x 4", merged.merge(other));
  CHECK_ERROR(sbora::shape_error, "0 x 4", sbora::overlay<float>(0, 4));

  auto broken = trained<adapter_kind::fa>({5, 8}, 2);
  broken.matrix()(7, 1) = std::numeric_limits<float>::infinity();
  CHECK_ERROR(sbora::not_finite_error, "row 7, column 8", merged.merge(broken));
  auto broken_rows = trained<adapter_kind::fb>({5, 8}, 2);
  broken_rows.matrix()(1, 9) = std::numeric_limits<float>::quiet_NaN();
  merged.unmerge(first);
  CHECK_ERROR(sbora::not_finite_error, "row 8, column 9", merged.merge(broken_rows));
  CHECK(merged.merged_count() == 0);

  padded_matrix<float> weight(4, 4);
  sbora::linear layer(sbora::weight_view<const float>(weight.data(), 4, 4));
  merged.merge(first);
  CHECK_ERROR(sbora::shape_error, "48 x 96", layer.set_overlay(&merged.deltas()));
}

TEST_CASE("export_merged is the sum, rounded once") {
  of_codes([](const auto& weight) { check_export(weight); });
}

TEST_CASE("an overlay for another weight is refused by every call, also where it was empty when it was set") {
  const layer_problem<adapter_kind::fa, float> p(size);
  const sbora::weight_view<const float> source(p.weight.data(), size.d_out, size.d_in);
  sbora::linear layer(source);
  sbora::overlay<float> other(size.d_out / 2, size.d_in);
  layer.set_overlay(&other.deltas());
  sbora::fa_adapter<float> narrow(size.d_out / 2, size.d_in, sbora::region(size.d_in, {3}));
  other.merge(narrow);
  CHECK_THROWS_AS(forward(layer, 21), sbora::assertion_error);
  padded_matrix<float> x(21, size.d_in), y(21, size.d_out), dx(x);
  auto adapter = trained<adapter_kind::fa>({3, 90}, 1);
  sbora::workspace memory;
  sbora::fa_saved<float> saved;
  CHECK_THROWS_AS(layer.forward(activation(std::as_const(x)), activation(y), adapter, saved, memory),
                  sbora::assertion_error);
  CHECK_THROWS_AS(layer.backward(activation(std::as_const(y)), activation(dx), adapter, saved, memory),
                  sbora::assertion_error);
}
