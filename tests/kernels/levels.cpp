#include <cstdlib>
#include <string>

#include "support/catch.hpp"
#include "support/levels.hpp"

using namespace sbora_tests;
using sbora::all_levels;
using sbora::isa;

TEST_CASE("SBORA_FORCE_ISA takes effect, and is what these tests run", "[kernels]") {
  const char* const forced = std::getenv("SBORA_FORCE_ISA");
  const isa active = sbora::active_isa();
  if (forced != nullptr && *forced != '\0') {
    CHECK(std::string(sbora::to_string(active)) == forced);
    CHECK(tested_levels() == std::vector<isa>{active});
  } else {
    // A build for one target may lack the processor's best.
    CHECK(active == (sbora::is_supported(sbora::detected_isa()) ? sbora::detected_isa() : sbora::detail::best_isa()));
    CHECK(tested_levels().front() == isa::scalar);
  }
  for (const isa level : tested_levels()) CHECK(sbora::is_supported(level));
}

TEST_CASE("every level that this build has runs kernels of its own", "[kernels]") {
  const auto packing = [](isa level) {
    return &sbora::detail::get_kernels<sbora::detail::packing_kernels<float>>(level);
  };
  const auto weight = [](isa level) { return &sbora::detail::get_kernels<sbora::detail::merge_kernels<float>>(level); };
  const auto conversion = [](isa level) {
    return &sbora::detail::get_kernels<sbora::detail::conversion_kernels<float>>(level);
  };
  const std::vector<isa> levels = tested_levels();
  for (const isa level : levels) {
    INFO(sbora::to_string(level));
    CHECK(packing(level)->tile_columns % lanes<float>(level) == 0);
    CHECK(packing(level)->tile_columns >= lanes<float>(level));
    if (level == isa::scalar) continue;
    CHECK(packing(level) != packing(isa::scalar));
    CHECK(weight(level) != weight(isa::scalar));
    CHECK(conversion(level) != conversion(isa::scalar));
  }
  if (sbora::is_supported(isa::avx2) && sbora::is_supported(isa::avx512)) {
    CHECK(packing(isa::avx2) != packing(isa::avx512));
    CHECK(weight(isa::avx2) != weight(isa::avx512));
  }
  for (const isa level : {isa::avx512_bf16, isa::avx512_amx}) {
    if (!sbora::is_supported(level)) continue;
    CHECK(packing(level) == packing(isa::avx512));
    CHECK(weight(level) == weight(isa::avx512));
  }
}

TEST_CASE("force_isa picks supported levels and refuses others", "[kernels]") {
  const isa before = sbora::active_isa();
  for (const isa level : all_levels) {
    INFO(sbora::to_string(level));
    if (sbora::is_supported(level)) {
      sbora::force_isa(level);
      CHECK(sbora::active_isa() == level);
      CHECK(&sbora::detail::get_kernels<sbora::detail::packing_kernels<float>>() ==
            &sbora::detail::get_kernels<sbora::detail::packing_kernels<float>>(level));
    } else {
      const isa kept = sbora::active_isa();
      CHECK_THROWS_AS(sbora::force_isa(level), sbora::config_error);
      CHECK(sbora::active_isa() == kept);
    }
  }
  sbora::force_isa(before);
}

TEST_CASE("levels have names", "[kernels]") {
  for (const isa level : all_levels) CHECK(sbora::isa_from_string(sbora::to_string(level)) == level);
  CHECK_THROWS_AS(sbora::isa_from_string("avx"), sbora::config_error);
  CHECK_THROWS_AS(sbora::isa_from_string(""), sbora::config_error);
}
