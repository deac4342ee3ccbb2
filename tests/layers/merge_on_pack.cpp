// Adding ΔW while the weight is packed gives the bits of merging it first, for any number of adapters.

#include <array>

#include <sbora/executors/thread_pool.hpp>

#include "support/layer_problem.hpp"
#include "support/catch.hpp"
#include "support/merge_problem.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::delta_path;
using sbora::region;

namespace {

constexpr auto fa = adapter_kind::fa, fb = adapter_kind::fb;

template <class T>
struct both_ways {
  padded_matrix<T> y, dx;
};

/// y and dx of a layer over `view` with these deltas.
template <class View, class T>
both_ways<T> run(View view, delta_path path, std::span<const sbora::weight_delta<T>> deltas, const padded_matrix<T>& x,
                 const padded_matrix<T>& dy) {
  sbora::linear layer(view);
  layer.set_delta_path(path);
  sbora::workspace memory;
  both_ways<T> r{{x.rows(), dy.cols(), 1}, {x.rows(), x.cols(), 1}};
  layer.forward(activation(x), activation(r.y), deltas, memory);
  layer.backward(activation(dy), activation(r.dx), deltas, memory);
  return r;
}

template <class Scalar>
void check_same_as_merged(sbora::storage order, index_t tokens) {
  using T = typename merge_problem<Scalar>::T;
  merge_problem<Scalar> p(131, 277, order);  // no size a multiple of a tile
  const auto columns = p.template adapter<fa>(sbora::sample_region(277, 9, 1), 2);
  const auto rows = p.template adapter<fb>(sbora::sample_region(131, 6, 3), 4);
  auto scaled = p.template adapter<fa>(sbora::sample_region(277, 30, 5), 6);
  scaled.set_multiplier(-0.625);
  auto disabled = p.template adapter<fb>(sbora::sample_region(131, 8, 7), 8);
  disabled.set_enabled(false);
  padded_matrix<T> x(tokens, 277, 2), dy(tokens, 131, 2);
  x.randomise(9);
  dy.randomise(10);

  const std::array deltas = {columns.delta(), rows.delta(), scaled.delta(), disabled.delta()};
  const both_ways<T> on_pack = run<sbora::weight_view<Scalar>, T>(p.view(), delta_path::on_pack_rounded, deltas, x, dy);
  CHECK(p.weight_is_original());

  p.merge_into(p.weight, columns);
  p.merge_into(p.weight, rows);
  p.merge_into(p.weight, scaled);
  // Forced onto the packing path by a delta of nothing, where there are few tokens.
  std::vector<T> zeros(static_cast<std::size_t>(131));
  const sbora::fa_adapter<T> none(131, 277, region(277, {5}), {}, zeros, {});
  const std::array nothing = {none.delta()};
  const both_ways<T> merged = run<sbora::weight_view<Scalar>, T>(p.view(), delta_path::on_pack_rounded, nothing, x, dy);
  CHECK(same_bits(on_pack.y.memory(), merged.y.memory()));
  CHECK(same_bits(on_pack.dx.memory(), merged.dx.memory()));
  if (tokens > sbora::detail::few_tokens) {
    const both_ways<T> frozen = run<sbora::weight_view<Scalar>, T>(p.view(), delta_path::automatic, {}, x, dy);
    CHECK(same_bits(on_pack.y.memory(), frozen.y.memory()));
    CHECK(same_bits(on_pack.dx.memory(), frozen.dx.memory()));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("deltas added on pack give the bits of the merged weight", "", float, double, Eigen::bfloat16,
                   Eigen::half) {
  const sbora::isa before = sbora::active_isa();
  for (const sbora::isa level : sbora::all_levels) {
    if (!sbora::is_supported(level)) continue;
    sbora::force_isa(level);
    for (const sbora::storage order : both_orders) {
      for (const index_t tokens : {1, 17, 40, 67}) {
        CAPTURE(sbora::to_string(level), order == sbora::storage::out_by_in, tokens);
        check_same_as_merged<TestType>(order, tokens);
      }
    }
  }
  sbora::force_isa(before);
}

TEMPLATE_TEST_CASE("the paths agree within their roundings, for several adapters", "", float, double, Eigen::bfloat16) {
  using T = typename merge_problem<TestType>::T;
  for (const sbora::storage order : both_orders) {
    for (const index_t tokens : {3, 33}) {
      merge_problem<TestType> p(60, 90, order);
      const auto columns = p.template adapter<fa>(sbora::sample_region(90, 9, 1), 2);
      const auto rows = p.template adapter<fb>(sbora::sample_region(60, 6, 3), 4);
      const std::array deltas = {rows.delta(), columns.delta()};
      padded_matrix<T> x(tokens, 90, 0), dy(tokens, 60, 0);
      x.randomise(5);
      dy.randomise(6);
      exact_matrix w(60, 90), magnitude(60, 90);
      for (index_t o = 0; o < 60; ++o) {
        for (index_t i = 0; i < 90; ++i) {
          w(o, i) = static_cast<long double>(p.at(p.weight, o, i));
          magnitude(o, i) = std::abs(w(o, i));
        }
      }
      const auto add = [&](index_t o, index_t i, double scale, T trained) {
        const long double delta = static_cast<long double>(static_cast<T>(scale)) * trained;
        w(o, i) += delta;
        magnitude(o, i) += std::abs(delta);
      };
      for (index_t j = 0; j < 9; ++j) {
        const index_t at = columns.target().indices()[static_cast<std::size_t>(j)];
        for (index_t o = 0; o < 60; ++o) add(o, at, columns.scale(), columns.matrix()(o, j));
      }
      for (index_t j = 0; j < 6; ++j) {
        const index_t at = rows.target().indices()[static_cast<std::size_t>(j)];
        for (index_t i = 0; i < 90; ++i) add(at, i, rows.scale(), rows.matrix()(j, i));
      }
      const exact_matrix exact_x = exact_of(x), exact_dy = exact_of(dy);
      for (const delta_path path : {delta_path::automatic, delta_path::on_pack, delta_path::separate}) {
        CAPTURE(order == sbora::storage::out_by_in, tokens, static_cast<int>(path));
        const both_ways<T> r = run<sbora::weight_view<TestType>, T>(p.view(), path, deltas, x, dy);
        // Depth, two trained halves and alpha, as layer_problem::roundings.
        CHECK(first_difference(r.y, exact_product(exact_x, w.transpose()),
                               exact_product(exact_x.cwiseAbs(), magnitude.transpose()),
                               gamma_of<T>(90 + 9 + 6 + 16)) == "");
        CHECK(first_difference(r.dx, exact_product(exact_dy, w), exact_product(exact_dy.cwiseAbs(), magnitude),
                               gamma_of<T>(60 + 9 + 6 + 16)) == "");
      }
    }
  }
}

TEST_CASE("deltas on pack give the same bits for 1 to 8 threads") {
  merge_problem<float> p(150, 300, sbora::storage::out_by_in);
  const auto columns = p.adapter<fa>(sbora::sample_region(300, 9, 1), 2);
  const auto rows = p.adapter<fb>(sbora::sample_region(150, 6, 3), 4);
  const std::array deltas = {columns.delta(), rows.delta()};
  for (const index_t tokens : {5, 70}) {
    padded_matrix<float> x(tokens, 300, 0), dy(tokens, 150, 0);
    x.randomise(5);
    dy.randomise(6);
    const both_ways<float> serial =
        run<sbora::weight_view<float>, float>(p.view(), delta_path::automatic, deltas, x, dy);
    for (int threads = 1; threads <= 8; ++threads) {
      sbora::thread_pool pool(threads);
      const sbora::linear layer(p.view());
      sbora::workspace memory;
      both_ways<float> r{{tokens, 150, 1}, {tokens, 300, 1}};
      layer.forward(activation(x), activation(r.y), deltas, memory, pool);
      layer.backward(activation(dy), activation(r.dx), deltas, memory, pool);
      CAPTURE(tokens, threads);
      CHECK(same_bits(r.y.memory(), serial.y.memory()));
      CHECK(same_bits(r.dx.memory(), serial.dx.memory()));
    }
  }
}
