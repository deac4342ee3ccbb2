// Whether an adapter's base is the one it was trained on.

#include "io/adapter/adapter_folder.hpp"

#include <sbora/io/adapter/base_fingerprint.hpp>

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::base_fingerprint;
using sbora::region;
using sbora::weight_view;

namespace {

constexpr index_t d_out = 7, d_in = 5;

/// FNV-1a over the region's elements, by the definition.
std::uint64_t expected(const std::vector<float>& weight, adapter_kind kind, const region& target) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&](index_t row, index_t column) {
    std::uint32_t bits;
    std::memcpy(&bits, &weight[static_cast<std::size_t>(row * d_in + column)], 4);
    for (int i = 0; i < 4; ++i) hash = (hash ^ (bits >> (8 * i) & 255U)) * 0x100000001b3U;
  };
  if (kind == adapter_kind::fa) {
    for (index_t row = 0; row < d_out; ++row) {
      for (const index_t column : target.indices()) add(row, column);
    }
  } else {
    for (const index_t row : target.indices()) {
      for (index_t column = 0; column < d_in; ++column) add(row, column);
    }
  }
  return hash;
}

}  // namespace

TEST_CASE("a fingerprint is of the region's elements and of no others") {
  const std::vector<float> weight = random_vector<float>(d_out * d_in, 1);
  for (const auto& [kind, target] :
       {std::pair(adapter_kind::fa, region(d_in, {3, 0})), std::pair(adapter_kind::fb, region(d_out, {6, 2, 4}))}) {
    const weight_view<const float> view(weight.data(), d_out, d_in);
    const std::uint64_t whole = base_fingerprint(view, kind, target);
    CHECK(whole == expected(weight, kind, target));
    const std::vector<sbora::any_weight> pieces = {weight_view<const float>(weight.data(), 4, d_in),
                                                   weight_view<const float>(weight.data() + 4 * d_in, d_out - 4, d_in)};
    CHECK(base_fingerprint(pieces, kind, target) == whole);
    for (index_t i = 0; i < d_out * d_in; ++i) {
      std::vector<float> changed = weight;
      changed[static_cast<std::size_t>(i)] += 1;
      const bool inside = target.contains(kind == adapter_kind::fa ? i % d_in : i / d_in);
      CHECK((base_fingerprint(weight_view<const float>(changed.data(), d_out, d_in), kind, target) != whole) == inside);
    }
  }
}

TEST_CASE("types that hold the same numbers, and both storage orders, have one fingerprint") {
  const std::vector<Eigen::bfloat16> half = random_vector<Eigen::bfloat16>(d_out * d_in, 1);
  std::vector<float> full(half.size()), transposed(half.size());
  for (index_t row = 0; row < d_out; ++row) {
    for (index_t column = 0; column < d_in; ++column) {
      const auto at = static_cast<std::size_t>(row * d_in + column);
      full[at] = transposed[static_cast<std::size_t>(column * d_out + row)] = static_cast<float>(half[at]);
    }
  }
  const region target(d_in, {4, 1});
  const std::uint64_t one = base_fingerprint(weight_view(full.data(), d_out, d_in), adapter_kind::fa, target);
  CHECK(base_fingerprint(weight_view(half.data(), d_out, d_in), adapter_kind::fa, target) == one);
  CHECK(base_fingerprint(weight_view(transposed.data(), d_out, d_in, 0, sbora::storage::in_by_out), adapter_kind::fa,
                         target) == one);
  CHECK_ERROR(sbora::shape_error, "the region is of [0, 5), the weight is 7 x 5",
              base_fingerprint(weight_view(full.data(), d_out, d_in), adapter_kind::fb, target));
}

TEST_CASE("pieces of different weights have no fingerprint") {
  const std::vector<float> weight = random_vector<float>(12, 1);
  const std::vector<sbora::any_weight> pieces = {weight_view<const float>(weight.data(), 2, 3),
                                                 weight_view<const float>(weight.data() + 6, 3, 2)};
  CHECK_ERROR(sbora::shape_error, "pieces with d_in 3 and 2", base_fingerprint(pieces, adapter_kind::fb, {5, {4}}));
}

TEST_CASE("an adapter for another base is refused by module") {
  sbora::model_adapter<float> adapter(adapter_kind::fb, {},
                                      {{"a", d_out, d_in, region(d_out, {1}), 1},
                                       {"b", d_out, d_in, region(d_out, {2}), 1},
                                       {"c", d_out, d_in, region(d_out, {3}), 1}});
  std::vector<float> weight = random_vector<float>(d_out * d_in, 1);
  const weight_view view(weight.data(), d_out, d_in);
  for (const char* module : {"a", "b"}) adapter.set_base_fingerprint(module, base_fingerprint(view, adapter, module));
  const temporary_directory folder;
  save_sbora(adapter, folder.path());
  const auto loaded = sbora::load_sbora(folder.path()).adapter;
  const auto check = [&] {
    require_same_base(loaded, [&](const std::string& module) { return base_fingerprint(view, loaded, module); });
  };
  CHECK(problems_of(check) == std::vector<std::string>{"module 'c': no fingerprint of the base was recorded"});
  weight[2 * d_in] += 1;
  CHECK(problems_of(check) ==
        std::vector<std::string>{"module 'b': the weight isn't the one that the adapter was trained on",
                                 "module 'c': no fingerprint of the base was recorded"});
  adapter.set_base_fingerprint("b", base_fingerprint(view, adapter, "b"));
  adapter.set_base_fingerprint("c", base_fingerprint(view, adapter, "c"));
  const auto of_view = [&](const std::string& module) { return base_fingerprint(view, adapter, module); };
  CHECK_NOTHROW(require_same_base(adapter, of_view));
}
