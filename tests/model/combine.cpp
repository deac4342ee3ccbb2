// Several adapters as one, against dense matrices in double by the published definitions.

#include <sbora/merge/merger.hpp>
#include <sbora/model/combine.hpp>
#include <sbora/model/make_adapter.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::combination;
using sbora::combine_options;
using sbora::model_adapter;
using sbora::region;
using weighted = std::vector<sbora::weighted_adapter<float>>;
using dense = Eigen::MatrixXd;

namespace {

const std::vector<sbora::model_module> modules = {{"q", 9, 14}, {"v", 7, 14}};

/// FA on q's columns, FB on v's rows. Multiples of 1/64, so that equal magnitudes come.
model_adapter<float> adapter_on(std::vector<index_t> columns, std::vector<index_t> rows, std::uint64_t seed,
                                double alpha = 6) {
  std::vector<sbora::adapter_part> parts = {{"q", 9, 14, region(14, std::move(columns)), alpha, {}, adapter_kind::fa},
                                            {"v", 7, 14, region(7, std::move(rows)), alpha, {}, adapter_kind::fb}};
  model_adapter<float> adapter(adapter_kind::fa, {}, std::move(parts));
  sbora::random_stream random(seed);
  for (float& value : adapter.parameters()) value = static_cast<float>(random.below(129) - 64) / 64;
  return adapter;
}

/// What a merge adds, and which elements are the adapter's, flat as its trained half lies.
struct update {
  dense values;
  std::vector<std::pair<index_t, index_t>> places;

  update(const model_adapter<float>& adapter, const std::string& module) {
    const auto delta = adapter.delta(module);
    const auto geometry = delta.geometry();
    values = dense::Zero(delta.d_out, delta.d_in);
    for (index_t at = 0; at < geometry.rank * geometry.lines; ++at) {
      const bool fa = delta.kind == adapter_kind::fa;
      const index_t line = fa ? at / geometry.rank : at % geometry.lines;
      const index_t index =
          delta.target->indices()[static_cast<std::size_t>(fa ? at % geometry.rank : at / geometry.lines)];
      places.emplace_back(fa ? line : index, fa ? index : line);
      values(places.back().first, places.back().second) = static_cast<double>(delta.scale * delta.parameters[at]);
    }
  }

  /// The floor(density·size) of greatest magnitude stay, of equal ones the first.
  dense trimmed(double density) const {
    auto order = places;
    std::stable_sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
      return std::abs(values(a.first, a.second)) > std::abs(values(b.first, b.second));
    });
    order.resize(static_cast<std::size_t>(density * static_cast<double>(order.size())));
    dense kept = dense::Zero(values.rows(), values.cols());
    for (const auto& [row, column] : order) kept(row, column) = values(row, column);
    return kept;
  }

  dense dropped(double density, std::uint64_t seed, std::uint32_t number) const {
    dense kept = dense::Zero(values.rows(), values.cols());
    for (std::size_t at = 0; at < places.size(); ++at) {
      const auto words = sbora::philox4x32({static_cast<std::uint32_t>(at), 0, number, 0}, seed);
      const double draw = static_cast<double>((words[0] | std::uint64_t{words[1]} << 32) >> 11) * 0x1p-53;
      const auto [row, column] = places[at];
      if (draw < density) kept(row, column) = values(row, column) / density;
    }
    return kept;
  }
};

/// The published definitions, over whole matrices.
dense expected(const weighted& adapters, const std::string& module, const combine_options& options) {
  using enum combination;
  std::vector<std::pair<double, dense>> updates;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const update of(*adapters[i].adapter, module);
    const auto number = static_cast<std::uint32_t>(i);
    const bool trims = options.method == ties || options.method == magnitude_prune;
    const bool drops = options.method == dare_linear || options.method == dare_ties;
    updates.emplace_back(adapters[i].weight,
                         trims   ? of.trimmed(options.density)
                         : drops ? of.dropped(options.density, sbora::module_seed(options.seed, module, 2), number)
                                 : of.values);
  }
  dense sum = dense::Zero(updates[0].second.rows(), updates[0].second.cols());
  if (options.method != ties && options.method != dare_ties) {
    for (const auto& [weight, values] : updates) sum += weight * values;
    return sum;
  }
  dense direction = sum, count = sum;
  for (const auto& [weight, values] : updates)
    direction += options.signs_by_frequency ? dense(values.cwiseSign()) : values;
  for (index_t i = 0; i < sum.size(); ++i) {
    const double sign = direction.data()[i] >= 0 ? 1 : -1;
    for (const auto& [weight, values] : updates) {
      if (values.data()[i] * sign <= 0) continue;
      sum.data()[i] += weight * values.data()[i];
      count.data()[i] += 1;
    }
    if (count.data()[i] > 0) sum.data()[i] /= count.data()[i];
  }
  return sum;
}

dense dense_update(const model_adapter<float>& adapter, const std::string& module) {
  return update(adapter, module).values;
}

model_adapter<float> combined(const weighted& adapters, const combine_options& options = {}) {
  return combine(adapters, options);
}

/// Every element is the definition's, rounded once.
void check(const weighted& adapters, const combine_options& options) {
  const model_adapter<float> result = combined(adapters, options);
  for (const auto& module : modules) {
    const dense exact = expected(adapters, module.name, options), got = dense_update(result, module.name);
    for (index_t i = 0; i < exact.size(); ++i) {
      const double error = std::abs(got.data()[i] - exact.data()[i]);
      CHECK(error <= 0x1p-24 * std::abs(exact.data()[i]) + 1e-15);  // and sums in another order
    }
    result.visit(module.name, [](const auto& part) { CHECK(part.scale() == 1); });
  }
}

}  // namespace

TEST_CASE("combine is the dense definition, over disjoint, equal and overlapping regions") {
  const auto a = adapter_on({3, 0, 8}, {1, 4}, 1), b = adapter_on({8, 3, 0}, {4, 1}, 2, 4),
             c = adapter_on({8, 9, 10, 0}, {6, 4, 2}, 3), d = adapter_on({1, 2}, {0}, 4);
  const weighted sets[] = {{{&a, 1}, {&d, 1}},
                           {{&a, 0.5}, {&b, 0.25}},
                           {{&a, 1}, {&b, -0.75}, {&c, 2}},
                           {{&a, 1}, {&b, 1}, {&c, 1}, {&d, -1}},
                           {{&c, 3}}};
  using enum combination;
  for (const auto& set : sets) {
    check(set, {});
    for (const auto method : {magnitude_prune, ties, dare_linear, dare_ties}) {
      for (const double density : {1.0, 0.7, 0.3, 0.01}) {
        CAPTURE(static_cast<int>(method), density, set.size());
        check(set, {.method = method, .density = density, .seed = 5});
        check(set, {.method = method, .density = density, .signs_by_frequency = true, .seed = 6});
      }
    }
  }
}

TEST_CASE("disjoint adapters: merged one by one in any order, or their concatenation, are the same bits") {
  const model_adapter<float> adapters[] = {adapter_on({3, 0, 8}, {1, 4}, 1, 5), adapter_on({1, 2}, {0}, 2, 0.3),
                                           adapter_on({13}, {6, 5}, 3, 7)};
  const auto q = random_vector<float>(9 * 14, 4);
  const auto v = random_vector<Eigen::bfloat16>(7 * 14, 5);
  const auto merged = [&](const std::vector<const model_adapter<float>*>& order) {
    auto q_weight = q;
    auto v_weight = v;
    sbora::merger of_q{sbora::weight_view<float>(q_weight.data(), 9, 14)};
    sbora::merger of_v{sbora::weight_view<Eigen::bfloat16>(v_weight.data(), 7, 14)};
    for (const auto* adapter : order) of_q.merge(adapter->fa("q")), of_v.merge(adapter->fb("v"));
    std::pair result(q_weight, v_weight);
    of_q.unmerge_all(), of_v.unmerge_all();
    CHECK(same_bits<float>(q_weight, q));
    CHECK(same_bits<Eigen::bfloat16>(v_weight, v));
    return result;
  };
  std::vector<int> order = {0, 1, 2};
  const auto expected_bits = merged({&adapters[0], &adapters[1], &adapters[2]});
  do {
    std::vector<const model_adapter<float>*> one_by_one;
    weighted together;
    for (const int i : order) {
      one_by_one.push_back(&adapters[i]);
      together.push_back({&adapters[i]});
    }
    CHECK(merged(one_by_one) == expected_bits);
    const auto one = combined(together, {.method = combination::cat});
    CHECK(merged({&one}) == expected_bits);
    CHECK(one.fa("q").target() == region(14, {0, 1, 2, 3, 8, 13}));
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("an adapter of weight 0 isn't there") {
  const auto a = adapter_on({3, 0}, {1}, 1), b = adapter_on({5, 3}, {1, 2}, 2);
  const auto without = combined({{&a, 0.5}}), with_zero = combined({{&a, 0.5}, {&b, 0}});
  CHECK(with_zero.fa("q").target() == without.fa("q").target());
  CHECK(same_bits<float>(with_zero.parameters(), without.parameters()));
}

TEST_CASE("what the result is made of: modules of any, multipliers, one kind") {
  auto a = adapter_on({3, 0}, {1}, 1);
  const auto alone = sbora::make_adapter<float>({.kind = adapter_kind::fb, .r = 2, .target_modules = {{"k"}}},
                                                std::vector<sbora::model_module>{{"k", 4, 5}}, 1);
  const auto both = combined({{&a, 1}, {&alone, 1}});
  CHECK(both.modules() == std::vector<std::string>{"q", "v", "k"});
  CHECK_FALSE(both.kind());
  const auto once = dense_update(combined({{&a, 1}}), "q");
  a.set_multiplier(2);
  CHECK(dense_update(combined({{&a, 1}}), "q") == 2 * once);
}

TEST_CASE("combine names all that it refuses") {
  const auto a = adapter_on({3, 0}, {1}, 1), b = adapter_on({5, 3}, {1, 2}, 2);
  const auto other = sbora::make_adapter<float>({.kind = adapter_kind::fb, .r = 2, .target_modules = {{"q"}}},
                                                std::vector<sbora::model_module>{{"q", 9, 14}}, 1);
  const auto shape = sbora::make_adapter<float>({.kind = adapter_kind::fa, .r = 2, .target_modules = {{"q"}}},
                                                std::vector<sbora::model_module>{{"q", 9, 15}}, 1);
  auto full = adapter_on({1}, {0}, 3);
  full.set_full_tensors({{"norm", {2}, {1, 2}}});
  CHECK_ERROR(sbora::config_error, "no adapter has a weight other than 0", combined({{&a, 0}}));
  CHECK_ERROR(sbora::config_error, "no adapter has a weight", combined({}));
  CHECK_ERROR(sbora::config_error, "density", combined({{&a, 1}}, {.density = 0}));
  CHECK_ERROR(sbora::config_error, "density", combined({{&a, 1}}, {.density = 1.5}));
  CHECK_ERROR(sbora::config_error, "weight", combined({{&a, std::numeric_limits<double>::quiet_NaN()}}));
  try {
    combined({{&a, 1}, {&b, 1}, {&other, 1}, {&shape, 1}, {&full, 1}}, {.method = combination::cat});
    FAIL("nothing was thrown");
  } catch (const sbora::checkpoint_error& error) {
    CHECK(error.problems() ==
          std::vector<std::string>{
              "adapter 1: module 'q': it shares 1 columns with the adapters before it; combine them by another method",
              "adapter 1: module 'v': it shares 1 rows with the adapters before it; combine them by another method",
              "adapter 2: module 'q' is FB, another adapter's is FA; columns cross rows",
              "adapter 3: module 'q' is 9 x 14, the adapter is for 9 x 15",
              "adapter 4: it replaces whole tensors, such as 'norm', which can't be combined"});
  }
  auto huge = adapter_on({1}, {0}, 3);
  for (float& value : huge.parameters()) value = 3e38F;
  CHECK_ERROR(sbora::not_finite_error, "module 'q' row 0, column 1 would not be finite", combined({{&huge, 2}}));
}
