// Adapters of weights whose rows lie in another order: the same update, moved to the last bit.

#include <numeric>

#include <Eigen/Core>
#include <sbora/merge/merger.hpp>
#include <sbora/model/make_adapter.hpp>
#include <sbora/model/row_order.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::index_t;

namespace {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

const std::vector<index_t> places = {2, 0, 5, 1, 4, 3};

std::vector<index_t> places_of(const std::string& module, index_t d_out) {
  if (module == "turned") REQUIRE(d_out == 6);
  return module == "turned" ? places : std::vector<index_t>();
}

matrix moved(const matrix& from) {
  matrix to(from.rows(), from.cols());
  for (index_t row = 0; row < from.rows(); ++row) to.row(places[static_cast<std::size_t>(row)]) = from.row(row);
  return to;
}

}  // namespace

TEST_CASE("merged into the moved weight, the moved adapter is the moved merge") {
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    sbora::adapter_config config;
    config.kind = kind;
    config.r = 3;
    config.use_rslora = true;
    config.target_modules.names = {"turned", "other"};
    const std::vector<sbora::model_module> modules = {{"turned", 6, 5}, {"other", 6, 5}};
    auto adapter = sbora::make_adapter(config, modules, 8);
    fill_random(adapter.parameters(), 4);
    adapter.set_base_fingerprint("turned", 7);
    adapter.set_multiplier(0.5);
    adapter.set_full_tensors({{"turned.bias", {6}, {0, 1, 2, 3, 4, 5}}, {"norm.weight", {2}, {8, 9}}});
    const auto turned = sbora::with_rows_at(adapter, places_of);
    CHECK(turned.kind() == kind);
    CHECK_FALSE(turned.base_fingerprint("turned"));
    CHECK(std::ranges::equal(turned.full_tensors()[0].parameters(), std::vector<float>{8, 9}));
    CHECK(std::ranges::equal(turned.full_tensors()[1].parameters(), std::vector<float>{1, 3, 0, 5, 4, 2}));
    for (const auto& module : modules) {
      matrix weight(6, 5);
      fill_random(std::span(weight.data(), 30), 5);
      matrix other = module.name == "turned" ? moved(weight) : weight;
      const auto merge = [&](matrix& into, const auto& from) {
        from.visit(module.name, [&](const auto& part) { sbora::merger{sbora::weight_view{into}}.merge(part); });
      };
      merge(weight, adapter);
      merge(other, turned);
      CHECK(other == (module.name == "turned" ? moved(weight) : weight));
    }
  }
}
