// The store of adapters for serving, one call at a time: names and versions, what is put out for the budget and in
// which order, what stays, what handles keep, every error. tests/executors/adapter_store.cpp has the threads.

#include <numeric>

#include <sbora/io/adapter/sbora_checkpoint.hpp>
#include <sbora/layers/linear.hpp>
#include <sbora/layers/mixed.hpp>
#include <sbora/merge/merger.hpp>
#include <sbora/model/adapter_store.hpp>
#include <sbora/model/make_adapter.hpp>

#include "io/temporary_directory.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_handle;
using sbora::adapter_kind;
using sbora::adapter_store;
using sbora::config_error;
using sbora::model_adapter;
using sbora::model_module;
using sbora::store_full_error;
using sbora::unknown_adapter_error;

namespace {

const std::vector<model_module> modules = {{"m.q", 24, 32}, {"m.v", 12, 32}, {"m.o", 32, 24}};

/// Of rank 4 on q and v, with numbers of this seed; the same bytes for every seed of one kind.
model_adapter<float> made(std::uint64_t seed, adapter_kind kind = adapter_kind::fa) {
  sbora::adapter_config config;
  config.kind = kind;
  config.r = 4;
  config.target_modules.names = {"q", "v"};
  model_adapter<float> adapter = sbora::make_adapter<float>(config, modules, seed);
  fill_random(adapter.parameters(), seed);
  return adapter;
}

index_t bytes_of_one() {
  adapter_store<float> store(modules, 1 << 20);
  store.add("a", 1, made(1));
  return store.statistics().bytes;
}

/// A store with sources for adapters named a, b, c …, that counts their loads.
struct counted_store {
  adapter_store<float> store;
  std::vector<std::string> loads = {};

  explicit counted_store(index_t adapters, const std::string& names = "abcdef")
      : store(modules, adapters * bytes_of_one()) {
    for (const char name : names) add(std::string(1, name), 1);
  }
  void add(const std::string& name, std::uint64_t version) {
    store.add(name, version, [this, name, version] {
      loads.push_back(name + std::to_string(version));
      return made(static_cast<std::uint64_t>(name[0]) * 100 + version);
    });
  }
  std::vector<std::string> resident(const std::string& names = "abcdef") const {
    std::vector<std::string> found;
    for (const char name : names) {
      if (store.find(std::string_view(&name, 1))) found.emplace_back(1, name);
    }
    return found;
  }
};

using names = std::vector<std::string>;

bool has_numbers_of(const adapter_handle<float>& handle, std::uint64_t seed) {
  const auto expected = random_vector<float>(handle->adapter().parameter_count(), seed);
  return same_bits<float>(handle->adapter().parameters(), expected);
}

}  // namespace

TEST_CASE("a handle has the adapter of its name and version, for inference") {
  adapter_store<float> store(modules, 1 << 20);
  store.add("math", 1, made(1));
  store.add("math", 3, [] { return made(3, adapter_kind::fb); });
  store.add("math", 2, made(2));
  CHECK(store.get("math")->version() == 3);
  CHECK(store.get("math", 2)->version() == 2);
  CHECK(store.get("math", 2)->name() == "math");
  CHECK(has_numbers_of(store.get("math"), 3));
  CHECK(has_numbers_of(store.get("math", 1), 1));
  CHECK(has_numbers_of(store.find("math", 2), 2));

  const adapter_handle<float> handle = store.get("math");
  CHECK(handle->adapter().gradient().empty());
  CHECK(handle->delta(1).parameters == handle->adapter().fb("m.v").parameters().data());
  CHECK(handle->delta(1).gradient == nullptr);
  CHECK(handle->delta(1).enabled);
  CHECK(handle->delta(1).d_out == 12);
  CHECK_FALSE(handle->delta(2).enabled);  // it isn't on m.o

  store.drop("math", 3);
  CHECK(store.get("math")->version() == 2);
  store.drop("math");
  CHECK_THROWS_AS(store.get("math"), unknown_adapter_error);
  CHECK(has_numbers_of(handle, 3));
}

TEST_CASE("a part's scale, multiplier and dropout come with it") {
  adapter_store<float> store(modules, 1 << 20);
  model_adapter<float> adapter = made(5);
  adapter.set_multiplier(0.5);
  adapter.fa("m.v").set_multiplier(2);
  store.add("a", 1, adapter);
  const adapter_handle<float> handle = store.get("a");
  CHECK(handle->delta(0).scale == adapter.delta("m.q").scale);
  CHECK(handle->delta(1).scale == adapter.delta("m.v").scale);
  CHECK(handle->delta(0).scale != handle->delta(1).scale);
}

TEST_CASE("those go first whose last use is longest ago") {
  counted_store s(3);
  for (const char* name : {"a", "b", "c"}) s.store.get(name);
  CHECK(s.loads == names{"a1", "b1", "c1"});
  s.store.get("a");
  s.store.get("d");  // b goes
  CHECK(s.resident() == names{"a", "c", "d"});
  for (const char* name : {"a", "c", "d"}) s.store.find(name);
  s.store.get("b");  // a goes
  CHECK(s.loads == names{"a1", "b1", "c1", "d1", "b1"});
  CHECK(s.resident() == names{"b", "c", "d"});
  s.add("c", 2);
  s.store.get("c");  // the new version is an adapter of its own: b goes, whose last use was before c1's and d's
  CHECK(s.store.find("c", 1));
  CHECK(s.resident() == names{"c", "d"});
  CHECK(has_numbers_of(s.store.get("c"), 'c' * 100 + 2));
}

TEST_CASE("the budget holds, and statistics count what happened") {
  counted_store s(2);
  const index_t one = bytes_of_one();
  for (const char* name : {"a", "a", "b", "c"}) s.store.get(name);
  CHECK(s.store.find("a") == nullptr);
  const sbora::store_statistics now = s.store.statistics();
  CHECK(now.hits == 1);
  CHECK(now.misses == 4);
  CHECK(now.loads == 3);
  CHECK(now.evictions == 1);
  CHECK(now.known == 6);
  CHECK(now.resident == 2);
  CHECK(now.bytes == 2 * one);
  CHECK(now.held_bytes == 0);
  CHECK(now.budget == 2 * one);

  const adapter_handle<float> b = s.store.get("b"), c = s.store.get("c");
  s.store.drop("b");
  CHECK(s.store.statistics().held_bytes == one);
  CHECK(s.store.statistics().bytes == one);
}

TEST_CASE("what is pinned, held or without a source stays") {
  counted_store s(3);
  CHECK(s.store.pin("a")->version() == 1);
  s.store.add("z", 1, made(9));
  for (const char* name : {"b", "c", "d", "e", "f"}) s.store.get(name);
  CHECK(s.resident("abcdefz") == names{"a", "f", "z"});

  const adapter_handle<float> f = s.store.get("f");
  CHECK_ERROR(store_full_error, "adapter 'b' of " + std::to_string(bytes_of_one()), s.store.get("b"));
  CHECK_ERROR(store_full_error, "pin and hold less", s.store.add("y", 1, made(8)));
  CHECK(s.resident("abcdefz") == names{"a", "f", "z"});  // nothing was put out for what doesn't fit
  CHECK(s.store.statistics().held_bytes == 0);
  CHECK_THROWS_AS(s.store.get("y"), unknown_adapter_error);

  s.store.unpin("a", 1);
  s.store.get("b");
  CHECK(s.resident("abcdefz") == names{"b", "f", "z"});
  s.store.pin("b", 1);
  s.store.drop("b");  // an order, pinned or not
  CHECK_THROWS_AS(s.store.get("b"), unknown_adapter_error);
}

TEST_CASE("what was dropped or replaced counts against the budget while it is held") {
  counted_store s(2, "abc");
  adapter_handle<float> old = s.store.get("a");
  s.add("a", 2);
  s.store.drop("a", 1);
  CHECK(s.store.get("a")->version() == 2);
  CHECK(has_numbers_of(old, 'a' * 100 + 1));
  const adapter_handle<float> held = s.store.get("a");
  CHECK_THROWS_AS(s.store.get("b"), store_full_error);
  old.reset();
  s.store.get("b");
  CHECK(s.resident("ab") == names{"a", "b"});
}

TEST_CASE("a handle outlives the store") {
  adapter_handle<float> handle;
  {
    adapter_store<float> store(modules, 1 << 20);
    store.add("a", 1, made(4));
    handle = store.get("a");
  }
  CHECK(has_numbers_of(handle, 4));
}

TEST_CASE("what a store refuses leaves it as it was") {
  adapter_store<float> store(modules, 1 << 20);
  store.add("a", 1, made(1));
  store.add("a", 4, made(4));
  CHECK_ERROR(unknown_adapter_error, "no adapter 'b' among 2; add it", store.get("b"));
  CHECK_ERROR(unknown_adapter_error, "no adapter ''", store.get(""));
  CHECK_ERROR(unknown_adapter_error, "adapter 'a' has no version 2, only 1, 4", store.get("a", 2));
  CHECK_ERROR(unknown_adapter_error, "no adapter 'b'", store.find("b"));
  CHECK_ERROR(unknown_adapter_error, "no version 5", store.find("a", 5));
  CHECK_ERROR(unknown_adapter_error, "no adapter 'b'", store.pin("b"));
  CHECK_ERROR(unknown_adapter_error, "no version 2", store.unpin("a", 2));
  CHECK_ERROR(unknown_adapter_error, "no adapter 'b'", store.drop("b"));
  CHECK_ERROR(unknown_adapter_error, "no version 2", store.drop("a", 2));
  CHECK_ERROR(config_error, "'a' has a version 1 already", store.add("a", 1, made(2)));
  CHECK_ERROR(config_error, "'a' has a version 4 already", store.add("a", 4, [] { return made(2); }));
  CHECK_ERROR(config_error, "name is empty", store.add("", 1, made(2)));
  CHECK_ERROR(config_error, "empty source", store.add("b", 1, sbora::adapter_source<float>()));
  CHECK(store.statistics().known == 2);
  CHECK(has_numbers_of(store.get("a", 1), 1));

  CHECK_ERROR(config_error, "budget of -1 bytes", adapter_store<float>(modules, -1));
  CHECK_ERROR(config_error, "comes twice", adapter_store<float>({{"m", 2, 2}, {"m", 2, 2}}, 0));
  CHECK_ERROR(sbora::shape_error, "0 x 2", adapter_store<float>({{"m", 0, 2}}, 0));

  adapter_store<float> of_others({{"m.q", 24, 31}, {"m.v", 12, 32}}, 1 << 20);
  CHECK_ERROR(sbora::checkpoint_error, "module 'm.q' is 24 x 31", of_others.add("a", 1, made(1)));
  of_others.add("a", 1, [] { return made(1); });
  CHECK_ERROR(sbora::checkpoint_error, "module 'm.q' is 24 x 31", of_others.get("a"));
  CHECK(of_others.statistics().resident == 0);
  CHECK(of_others.statistics().held_bytes == 0);
}

TEST_CASE("a source that throws is asked again") {
  adapter_store<float> store(modules, 1 << 20);
  int calls = 0;
  store.add("a", 1, [&] {
    if (++calls == 1) throw std::runtime_error("no such file");
    return made(1);
  });
  CHECK_ERROR(std::runtime_error, "no such file", store.get("a"));
  CHECK(store.find("a") == nullptr);
  CHECK(has_numbers_of(store.get("a"), 1));
  CHECK(calls == 2);
}

TEST_CASE("an adapter that is dropped while it is loaded is given to who asked before, and not kept") {
  adapter_store<float> store(modules, 1 << 20);
  store.add("a", 1, [&] {
    store.drop("a");  // a source may use the store
    return made(1);
  });
  CHECK(has_numbers_of(store.get("a"), 1));
  CHECK(store.statistics().known == 0);
  CHECK(store.statistics().held_bytes == 0);
}

TEST_CASE("adapters in files, a few of them in memory") {
  const temporary_directory folder;
  counted_store s(3, "");
  for (int i = 0; i < 20; ++i) {
    const auto path = folder / std::to_string(i);
    sbora::save_sbora(made(static_cast<std::uint64_t>(i), i % 2 == 0 ? adapter_kind::fa : adapter_kind::fb), path);
    s.store.add(std::to_string(i), 1, [path] { return sbora::load_sbora(path, modules).adapter; });
  }
  sbora::random_stream random(5);
  for (int i = 0; i < 100; ++i) {
    const auto which = static_cast<std::uint64_t>(random.below(20));
    CHECK(has_numbers_of(s.store.get(std::to_string(which)), which));
  }
  CHECK(s.store.statistics().bytes <= s.store.statistics().budget);
}

TEST_CASE("one adapter merged for a while beside others on the fly") {
  using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  counted_store s(2);
  matrix w(24, 32), x(6, 32), y(6, 24), expected(6, 24);
  fill_random(std::span(w.data(), 24 * 32), 1);
  fill_random(std::span(x.data(), 6 * 32), 2);
  const matrix before = w;
  sbora::linear layer{sbora::weight_view{w}};
  sbora::workspace memory;
  {
    const adapter_handle<float> style = s.store.get("a");  // held: it stays while it is merged
    sbora::merger merger{sbora::weight_view{w}};
    style->adapter().visit("m.q", [&](const auto& part) { merger.merge(part); });
    for (const char* name : {"b", "c", "d"}) {
      const adapter_handle<float> own = s.store.get(name);  // the others come and go
      const sbora::delta_list<float> adapters = {own->delta(0)};
      const std::vector<index_t> ids = {0, 0, sbora::no_adapter, 0, sbora::no_adapter, 0};
      const sbora::adapter_rows rows(ids, 1);
      layer.forward(x, y, memory);
      sbora::mixed_forward(adapters, rows, x, y, memory);
      matrix merged = before;
      merged.setZero();
      own->adapter().visit("m.q", [&](const auto& part) {
        for (index_t j = 0; j < part.rank(); ++j) {
          merged.col(part.target().indices()[static_cast<std::size_t>(j)]) +=
              static_cast<float>(part.scale()) * part.matrix().col(j);
        }
      });
      expected = x * w.transpose();
      for (const index_t row : {0, 1, 3, 5}) expected.row(row) += x.row(row) * merged.transpose();
      CHECK((y - expected).cwiseAbs().maxCoeff() < 1e-4F);
    }
    CHECK(s.store.find("a") == style);
    style->adapter().visit("m.q", [&](const auto& part) { merger.unmerge(part); });
  }
  CHECK(same_bits<float>(std::span(w.data(), 24 * 32), std::span(before.data(), 24 * 32)));
}
