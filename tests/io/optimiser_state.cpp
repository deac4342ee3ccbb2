// An optimiser's state saved and put back: the next steps are the same bits; what doesn't fit changes nothing.

#include <sbora/io/optimiser/optimiser_state.hpp>
#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/adamw_8bit.hpp>
#include <sbora/optimisers/lion.hpp>
#include <sbora/optimisers/muon.hpp>
#include <sbora/optimisers/sgd.hpp>

#include <limits>

#include "support/matrices.hpp"
#include "support/message.hpp"
#include "temporary_directory.hpp"

using namespace sbora_tests;
using sbora::checkpoint_error;

namespace {

const std::vector<sbora::parameter_block> blocks = {{0, 20, 30}, {600, 10, 7}};
constexpr index_t count = 670;

template <class Optimiser>
void check_round_trip(Optimiser whole, Optimiser first, Optimiser second) {
  using T = typename Optimiser::scalar;
  CAPTURE(Optimiser::name);
  const temporary_directory folder;
  const auto path = folder / "state.safetensors";
  std::vector<T> w = random_vector<T>(count, 1), resumed = w;
  for (std::uint64_t step = 0; step < 8; ++step) {
    const std::vector<T> g = random_vector<T>(count, 10 + step);
    whole.step(w, g);
    (step < 4 ? first : second).step(resumed, g);
    if (step != 3) continue;
    sbora::save_optimiser(path, first);
    sbora::load_optimiser(path, second);
    CHECK(second.steps() == 4);
  }
  CHECK(same_bits<T>(w, resumed));
}

/// A file of adamw<float>'s state over three parameters, with what `change` makes of it.
template <class Change>
sbora::safetensors_file changed_file(const temporary_directory& folder, Change&& change) {
  sbora::adamw<float> optimiser(3);
  std::vector<float> w(3), g = {1, 2, 3};
  optimiser.step(w, g);
  sbora::optimiser_tensors all = sbora::tensors_of(optimiser);
  change(all);
  sbora::write_safetensors(folder / "changed", all.tensors, all.metadata);
  return sbora::safetensors_file::open(folder / "changed");
}

}  // namespace

TEST_CASE("every optimiser goes on from a file as if nothing had happened") {
  const auto check = [](auto make) { check_round_trip(make(), make(), make()); };
  check([] { return sbora::adamw<float>(count); });
  check([] { return sbora::adamw<double>(count); });
  check([] { return sbora::adamw_8bit<float>(count); });
  check([] { return sbora::sgd<float>(count, {.momentum = 0.9, .dampening = 0.5}); });
  check([] { return sbora::sgd<double>(count); });
  check([] { return sbora::lion<float>(count); });
  check([] { return sbora::muon<double>(blocks); });
}

TEST_CASE("a state may lie in a file with other tensors") {
  const temporary_directory folder;
  sbora::lion<float> saved(3), loaded(3);
  std::vector<float> w(3), g = {1, 2, 3};
  saved.step(w, g);
  sbora::optimiser_tensors all = sbora::tensors_of(saved);
  all.tensors.push_back({"parameters", sbora::dtype::f32, {3}, std::as_bytes(std::span(w))});
  all.metadata["epoch"] = "7";
  sbora::write_safetensors(folder / "run", all.tensors, all.metadata);
  sbora::load_optimiser(folder / "run", loaded);
  CHECK(same_bits<float>(loaded.momentum(), saved.momentum()));
  CHECK(loaded.steps() == 1);
}

TEST_CASE("a state that doesn't fit is refused with all that is wrong, and nothing changes") {
  const temporary_directory folder;
  const float nan[3] = {0, std::numeric_limits<float>::quiet_NaN(), 0};
  const auto check = [&](const char* message, auto&& change) {
    CAPTURE(message);
    const auto file = changed_file(folder, change);
    sbora::adamw<float> optimiser(3);
    CHECK_ERROR(checkpoint_error, message, sbora::load_optimiser(file, optimiser));
    CHECK(optimiser.steps() == 0);
    for (const float m : optimiser.first_moment()) CHECK(m == 0);
    for (const float v : optimiser.second_moment()) CHECK(v == 0);
  };
  using all_of = sbora::optimiser_tensors;
  check("not a state of this optimiser; give the one that it saved:\n  no \"optimiser\" in its metadata",
        [](all_of& all) { all.metadata.erase("optimiser"); });
  check("it is of sbora::lion, this is sbora::adamw", [](all_of& all) { all.metadata["optimiser"] = "sbora::lion"; });
  for (const char* steps : {"", "-1", "1x", "1e3", " 1", "99999999999999999999"}) {
    check("\"optimiser.steps\" in its metadata is \"", [&](all_of& all) { all.metadata["optimiser.steps"] = steps; });
  }
  check("no tensor 'optimiser.second_moment'", [](all_of& all) { all.tensors.pop_back(); });
  check("tensor 'optimiser.second_moment' has numbers that aren't finite",
        [&](all_of& all) { all.tensors[1].data = std::as_bytes(std::span(nan)); });
  check("tensor 'optimiser.first_moment' is F32 [2], expected F32 [3]", [](all_of& all) {
    all.tensors[0].shape = {2};
    all.tensors[0].data = all.tensors[0].data.first(8);
  });
  check("tensor 'optimiser.first_moment' is I32 [3], expected F32 [3]",
        [](all_of& all) { all.tensors[0].type = sbora::dtype::i32; });
  check(
      "this is sbora::adamw\n  \"optimiser.steps\" in its metadata is \"\", expected a number that isn't negative\n  "
      "no tensor 'optimiser.first_moment'\n  no tensor 'optimiser.second_moment'",
      [](all_of& all) {
        all = {{}, {{"optimiser", "yours"}}};
      });
}
