// Who owns what of a model, in memory.

#include <sbora/model/make_adapter.hpp>
#include <sbora/model/region_ledger.hpp>

#include <set>

#include "support/catch.hpp"
#include "support/message.hpp"

using sbora::adapter_kind;
using sbora::index_t;
using sbora::owned_region;
using sbora::region;
using sbora::region_ledger;
using sbora::region_request;

namespace {

const std::vector<sbora::model_module> modules = {{"a.q", 8, 12}, {"a.v", 6, 12}};

region_ledger empty(bool crossing = false) { return region_ledger(modules, 7, crossing); }

void claim(region_ledger& ledger, const std::string& task, std::vector<region_request> requests,
           const sbora::free_choice& choose = sbora::uniform_among_free(1)) {
  ledger.claim(task, requests, choose);
}

constexpr auto fa = adapter_kind::fa, fb = adapter_kind::fb;

/// Whether f throws and leaves the ledger as it was.
template <class Error, class Function>
std::string refused(region_ledger& ledger, Function&& f) {
  const region_ledger before = ledger;
  const std::string message = sbora_tests::message_of<Error>([&] { f(ledger); });
  CHECK(ledger == before);
  return message;
}

}  // namespace

TEST_CASE("claims are disjoint, and all can be claimed") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    region_ledger ledger = empty();
    std::set<index_t> columns, rows;
    for (int task = 0; task < 4; ++task) {
      const std::string name = "task" + std::to_string(task);
      claim(ledger, name, {{"a.q", fa, 3}, {"a.v", fb, 1}}, sbora::uniform_among_free(seed));
      const auto& q = ledger.target(name, "a.q");
      CHECK(q.dim() == 12);
      columns.insert(q.indices().begin(), q.indices().end());
      rows.insert(ledger.target(name, "a.v").indices()[0]);
    }
    CHECK(columns.size() == 12);
    CHECK(rows.size() == 4);
    CHECK(ledger.free_indices("a.q", fa).empty());
    CHECK(ledger.free_indices("a.v", fb).size() == 2);
    CHECK(ledger.capacity() == std::vector<sbora::module_capacity>{{"a.q", 0, 0}, {"a.v", 0, 2}});
  }
}

TEST_CASE("a claim that can't be met says what is left, of all modules") {
  region_ledger ledger = empty();
  claim(ledger, "first", {{"a.q", fa, 10}, {"a.v", fb, 1}});
  const std::string message = refused<sbora::checkpoint_error>(ledger, [](region_ledger& of) {
    claim(of, "second", {{"a.q", fa, 3}, {"a.v", fa, 1}, {"a.k", fa, 1}});
  });
  CHECK_THAT(message, sbora_tests::contains("module 'a.q': 3 columns asked for, 2 of 12 are left"));
  CHECK_THAT(message, sbora_tests::contains("module 'a.v': 1 columns asked for, 0 of 12 are left, since others own "
                                            "rows, which cross"));
  CHECK_THAT(message, sbora_tests::contains("module 'a.k' is none of the model's"));
  CHECK_THAT(refused<sbora::checkpoint_error>(ledger,
                                              [](auto& of) {
                                                claim(of, "second", {{"a.q", fa, 0}});
                                              }),
             sbora_tests::contains("0 columns asked for"));
  CHECK_THAT(refused<sbora::checkpoint_error>(ledger,
                                              [](auto& of) {
                                                claim(of, "first", {{"a.q", fa, 1}});
                                              }),
             sbora_tests::contains("task 'first': module 'a.q' comes twice"));
  CHECK_THAT(refused<sbora::checkpoint_error>(ledger,
                                              [](auto& of) {
                                                claim(of, "", {{"a.q", fa, 1}});
                                              }),
             sbora_tests::contains("a task without a name"));
  CHECK_THAT(refused<sbora::checkpoint_error>(ledger, [](auto& of) { claim(of, "none", {}); }),
             sbora_tests::contains("task 'none': owns nothing"));
}

TEST_CASE("columns and rows of a module cross, unless that is allowed") {
  const std::vector<owned_region> columns = {{"a.q", fa, region(12, {3})}}, rows = {{"a.q", fb, region(8, {3})}};
  region_ledger ledger = empty();
  ledger.claim("columns", columns);
  CHECK_THAT(refused<sbora::checkpoint_error>(ledger, [&](auto& of) { of.claim("rows", rows); }),
             sbora_tests::contains("module 'a.q': tasks 'columns' and 'rows' own columns and rows, which cross"));
  ledger.claim("rows", std::vector<owned_region>{{"a.v", fb, region(6, {0})}});  // another module

  region_ledger crossing = empty(true);
  crossing.claim("columns", columns);
  crossing.claim("rows", rows);
  CHECK(crossing.capacity()[0] == sbora::module_capacity{"a.q", 11, 7});
}

TEST_CASE("choices: blocks, the best scores, and wrong ones") {
  region_ledger ledger = empty();
  ledger.claim("first", std::vector<owned_region>{{"a.q", fa, region(12, {5, 11})}});
  claim(ledger, "blocks", {{"a.q", fa, 4}}, sbora::blocks_among_free(2, 3));
  for (std::size_t i = 0; i < 4; i += 2) {
    const auto indices = ledger.target("blocks", "a.q").indices();
    CHECK(indices[i] % 2 == 0);
    CHECK(indices[i + 1] == indices[i] + 1);
  }
  CHECK_THAT(refused<sbora::checkpoint_error>(ledger,
                                              [](auto& of) {
                                                claim(of, "more", {{"a.q", fa, 6}}, sbora::blocks_among_free(2, 3));
                                              }),
             sbora_tests::contains("3 blocks of 2 asked for, 2 are free as a whole"));
  CHECK_THAT(refused<sbora::checkpoint_error>(ledger,
                                              [](auto& of) {
                                                claim(of, "more", {{"a.q", fa, 3}}, sbora::blocks_among_free(2, 3));
                                              }),
             sbora_tests::contains("rank = 3 is not a multiple of block = 2"));

  const std::vector<double> scores = {1, 5, 2, 9, 8, 3};
  const auto best = sbora::best_among_free([&](std::string_view, adapter_kind) { return std::span(scores); });
  claim(ledger, "best", {{"a.v", fb, 2}}, best);
  CHECK(ledger.target("best", "a.v") == region(6, {3, 4}));
  claim(ledger, "next", {{"a.v", fb, 2}}, best);
  CHECK(ledger.target("next", "a.v") == region(6, {1, 5}));
  CHECK_THAT(refused<sbora::checkpoint_error>(ledger,
                                              [&](auto& of) {
                                                claim(of, "q", {{"a.q", fa, 2}}, best);
                                              }),
             sbora_tests::contains("6 scores, expected 12"));
  const auto taken = [](const region_request&, index_t, std::span<const index_t>) { return std::vector<index_t>{3}; };
  CHECK_THAT(refused<sbora::checkpoint_error>(ledger,
                                              [&](auto& of) {
                                                claim(of, "x", {{"a.v", fb, 1}}, taken);
                                              }),
             sbora_tests::contains("the choice isn't 1 of what is free"));
}

TEST_CASE("release, transfer and versions") {
  region_ledger ledger = empty();
  claim(ledger, "one", {{"a.q", fa, 2}, {"a.v", fb, 1}});
  claim(ledger, "two", {{"a.q", fa, 2}});
  const region of_one = ledger.target("one", "a.q");
  CHECK(ledger.at("one").version == 1);
  claim(ledger, "two", {{"a.v", fb, 1}});
  CHECK(ledger.at("two").version == 2);

  CHECK_THAT(refused<sbora::checkpoint_error>(ledger, [](auto& of) { of.transfer("one", "two"); }),
             sbora_tests::contains("task 'two': module 'a.q' comes twice"));
  ledger.release("two", std::vector<std::string>{"a.q", "a.v"});
  CHECK_FALSE(ledger.has("two"));
  ledger.transfer("one", "uno");
  CHECK(ledger.target("uno", "a.q") == of_one);
  CHECK(ledger.at("uno").version == 2);
  CHECK_FALSE(ledger.has("one"));
  ledger.claim("two",
               std::vector<owned_region>{{"a.v", fb, region(6, {(ledger.target("uno", "a.v").indices()[0] + 1) % 6})}});
  ledger.release("uno", std::vector<std::string>{"a.v"});
  ledger.transfer("uno", "two");
  CHECK(ledger.tasks().size() == 1);
  CHECK(ledger.at("two").regions.size() == 2);
  ledger.release("two");
  CHECK(ledger == empty());

  for (const auto& [part, f] : std::vector<std::pair<std::string, std::function<void(region_ledger&)>>>{
           {"no task 'x'; there are none", [](auto& of) { of.release("x"); }},
           {"no task 'x'", [](auto& of) { of.transfer("x", "y"); }},
           {"no task 'x'", [](auto& of) { of.set_adapter("x", "y"); }},
           {"module 'a.k' is none", [](auto& of) { static_cast<void>(of.free_indices("a.k", fa)); }}}) {
    CHECK_THAT(refused<sbora::config_error>(ledger, f), sbora_tests::contains(part));
  }
  claim(ledger, "t", {{"a.q", fa, 1}});
  CHECK_THAT(refused<sbora::config_error>(ledger,
                                          [](auto& of) {
                                            of.release("t", std::vector<std::string>{"a.q", "a.v"});
                                          }),
             sbora_tests::contains("task 't' owns nothing of module 'a.v'"));
  ledger.set_adapter("t", "adapters/t");
  CHECK(ledger.at("t").adapter == "adapters/t");
}

TEST_CASE("tasks that contradict one another are refused, all problems at once") {
  const std::vector<sbora::ledger_task> tasks = {
      {.name = "one", .regions = {{"a.q", fa, region(12, {0, 1, 2, 3, 4, 5})}, {"b", fa, region(3, {0})}}},
      {.name = "two", .regions = {{"a.q", fa, region(12, {5, 4, 3, 2, 1, 7})}, {"a.v", fb, region(5, {0})}}},
      {.name = "two", .regions = {{"a.v", fb, region(6, {0})}}}};
  try {
    const region_ledger ledger(modules, 7, false, tasks);
    FAIL("nothing was thrown");
  } catch (const sbora::checkpoint_error& error) {
    CHECK(error.problems() ==
          std::vector<std::string>{"task 'one': module 'b' is none of the model's",
                                   "task 'two': the region of module 'a.v' is of [0, 5), d_out is 6",
                                   "task 'two' comes twice",
                                   "module 'a.q': tasks 'one' and 'two' both own columns 1, 2, 3, 4 and 1 more"});
  }
  CHECK_THROWS_AS(region_ledger({{"a", 1, 1}, {"a", 1, 1}}, 1), sbora::config_error);
}

TEST_CASE("an adapter is made on what a task owns, and told from others") {
  region_ledger ledger = empty();
  claim(ledger, "task", {{"a.q", fa, 2}, {"a.v", fb, 3}});
  sbora::adapter_config config = {.kind = fa, .kind_pattern = {{"a.v", fb}}, .r = 2, .target_modules = {{"q", "v"}}};
  config.rank_pattern = {{"a.v", 3}};
  const auto owned = [&](const sbora::model_module& module, index_t, index_t, std::uint64_t) {
    return ledger.target("task", module.name);
  };
  const auto adapter = sbora::make_adapter<float>(config, modules, 1, owned);
  CHECK(ledger.adapter_problems("task", adapter).empty());
  CHECK(adapter.fa("a.q").target() == ledger.target("task", "a.q"));

  const auto other = sbora::make_adapter<float>({.kind = fb, .r = 1, .target_modules = {{"q"}}},
                                                std::vector<sbora::model_module>{{"a.q", 8, 12}, {"b.q", 8, 12}}, 1);
  CHECK(ledger.adapter_problems("task", other) ==
        std::vector<std::string>{"module 'a.q': the adapter is FB, the task owns columns",
                                 "module 'b.q': the adapter has a region that the task doesn't own",
                                 "module 'a.v': the adapter has nothing of it"});
  const auto shape = sbora::make_adapter<float>({.kind = fa, .r = 2, .target_modules = {{"q"}}},
                                                std::vector<sbora::model_module>{{"a.q", 8, 13}}, 1);
  CHECK_THAT(ledger.adapter_problems("task", shape)[0], sbora_tests::contains("the adapter is for 8 x 13"));
  ledger.release("task");
  ledger.claim("task", std::vector<owned_region>{{"a.q", fa, region(12, {0, 1})}});
  const auto moved = sbora::make_adapter<float>({.kind = fa, .r = 2, .target_modules = {{"q"}}}, modules, 1,
                                                [](const sbora::model_module&, index_t dim, index_t, std::uint64_t) {
                                                  return region(dim, {1, 2});
                                                });
  CHECK(ledger.adapter_problems("task", moved) ==
        std::vector<std::string>{
            "module 'a.q': the adapter's columns aren't the ones that the task owns: they differ in 0, 2"});
}
