// Eight threads decode with a store's adapters, by a choice as Zipf's law has it, while they load, replace, drop and
// pin them: every row of every batch has the bits of a fresh layer with a fresh adapter of that name and version, and
// the budget holds. Two seconds, or SBORA_STRESS_SECONDS. Under ThreadSanitizer this is the test of the store's read
// path.

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <thread>

#include <sbora/layers/linear.hpp>
#include <sbora/layers/mixed.hpp>
#include <sbora/model/adapter_store.hpp>
#include <sbora/model/instances.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"

using namespace sbora_tests;
using sbora::adapter_handle;
using sbora::adapter_store;
using sbora::model_adapter;
using sbora::model_module;

namespace {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

const std::vector<model_module> modules = {{"m.q", 24, 32}, {"m.v", 12, 32}};
constexpr index_t known = 1000, threads = 8, batch = 5;

/// An adapter as a function of its number and version.
model_adapter<float> made(index_t number, std::uint64_t version) {
  const std::uint64_t seed = static_cast<std::uint64_t>(number) * 1000003 + version;
  const index_t rank = 1 + number % 7;
  std::vector<sbora::adapter_part> parts;
  for (const model_module& m : modules) {
    const bool is_fa = (number + m.d_out) % 5 < 3;
    parts.push_back({m.name,
                     m.d_out,
                     m.d_in,
                     sbora::sample_region(is_fa ? m.d_in : m.d_out, rank, seed),
                     4,
                     {},
                     is_fa ? sbora::adapter_kind::fa : sbora::adapter_kind::fb});
  }
  model_adapter<float> adapter(sbora::adapter_kind::fa, {}, std::move(parts));
  fill_random(adapter.parameters(), seed);
  return adapter;
}

struct served {
  std::vector<matrix> weights;
  adapter_store<float> store;
  std::vector<std::atomic<std::uint64_t>> versions;  ///< of each number: the newest; 0 while it is dropped
  std::vector<std::atomic<bool>> changing;
  std::vector<double> upper;  ///< of the choice: cumulative weights
  std::atomic<std::uint64_t> next_version{1};
  std::atomic<index_t> rows{0}, wrong{0}, over_budget{0}, replaced{0};

  explicit served(index_t budget) : store(modules, budget), versions(known), changing(known) {
    for (const model_module& m : modules) {
      weights.emplace_back(m.d_out, m.d_in);
      fill_random(std::span(weights.back().data(), static_cast<std::size_t>(m.d_out * m.d_in)),
                  static_cast<std::uint64_t>(m.d_out));
    }
    double sum = 0;
    for (index_t i = 0; i < known; ++i) {
      upper.push_back(sum += 1 / std::pow(1.0 + static_cast<double>(i), 1.05));
      add(i);
    }
  }

  static std::string name(index_t number) { return "adapter " + std::to_string(number); }
  void add(index_t number) {
    const std::uint64_t version = next_version.fetch_add(1);
    store.add(name(number), version, [number, version] { return made(number, version); });
    versions[static_cast<std::size_t>(number)] = version;
  }
  index_t choose(sbora::random_stream& random) const {
    const double at = random.uniform() * upper.back();
    return std::min<index_t>(std::upper_bound(upper.begin(), upper.end(), at) - upper.begin(), known - 1);
  }

  /// Each row alone: a layer, an adapter and a workspace made for it.
  void check(const matrix& x, std::size_t module, index_t row, index_t number, std::uint64_t version,
             const matrix& result) {
    const model_adapter<float> fresh = made(number, version);
    sbora::linear layer{sbora::weight_view{std::as_const(weights[module])}};
    layer.set_batch_invariant(true);
    sbora::workspace memory;
    const matrix x1 = x.row(row);
    matrix y1(1, modules[module].d_out);
    sbora::delta_list<float> deltas = {fresh.delta(modules[module].name)};
    deltas[0].batch_invariant = true;
    const std::vector<index_t> ids = {0};
    layer.forward(x1, y1, memory);
    sbora::mixed_forward(deltas, sbora::adapter_rows(ids, 1), x1, y1, memory);
    const matrix got = result.row(row);
    ++rows;
    if (!same_bits<float>(std::span(got.data(), static_cast<std::size_t>(got.size())),
                          std::span(y1.data(), static_cast<std::size_t>(y1.size())))) {
      ++wrong;
    }
  }

  /// Replaces an adapter, or drops it for a while, unless another thread does.
  void change(index_t number, sbora::random_stream& random) {
    const auto at = static_cast<std::size_t>(number);
    if (changing[at].exchange(true)) return;
    const std::uint64_t old = versions[at];
    if (old == 0) {
      add(number);
    } else if (random.below(4) == 0) {
      versions[at] = 0;
      store.drop(name(number));
    } else {
      add(number);
      store.drop(name(number), old);
    }
    ++replaced;
    changing[at] = false;
  }

  void decode(std::uint64_t seed, std::chrono::steady_clock::time_point end) {
    sbora::random_stream random(seed);
    sbora::workspace memory;
    sbora::adapter_rows rows_of_batch;
    matrix x(batch, 32);
    while (std::chrono::steady_clock::now() < end) {
      std::vector<adapter_handle<float>> handles;
      std::vector<index_t> ids, numbers;
      for (index_t row = 0; row < batch; ++row) {
        const index_t number = choose(random);
        const std::uint64_t newest = versions[static_cast<std::size_t>(number)];
        numbers.push_back(number);
        try {
          handles.push_back(store.get(name(number)));
          ids.push_back(static_cast<index_t>(handles.size()) - 1);
          if (handles.back()->name() != name(number) || handles.back()->version() < newest) ++wrong;
        } catch (const sbora::unknown_adapter_error&) {  // somebody has dropped it
          ids.push_back(sbora::no_adapter);
        }
      }
      if (random.below(8) == 0) change(choose(random), random);
      if (random.below(64) == 0 && !handles.empty()) pin_for_a_moment(*handles.front());
      rows_of_batch.assign(ids, static_cast<index_t>(handles.size()));
      fill_random(std::span(x.data(), static_cast<std::size_t>(x.size())), static_cast<std::uint64_t>(random.next()));
      for (std::size_t m = 0; m < modules.size(); ++m) {
        sbora::delta_list<float> deltas;
        for (const auto& handle : handles) {
          deltas.push_back(handle->delta(static_cast<index_t>(m)));
          deltas.back().batch_invariant = true;
        }
        sbora::linear layer{sbora::weight_view{std::as_const(weights[m])}};
        layer.set_batch_invariant(true);
        matrix y(batch, modules[m].d_out);
        layer.forward(x, y, memory);
        sbora::mixed_forward(deltas, rows_of_batch, x, y, memory);
        for (index_t row = 0; row < batch; ++row) {
          const index_t id = ids[static_cast<std::size_t>(row)];
          if (id == sbora::no_adapter) continue;
          check(x, m, row, numbers[static_cast<std::size_t>(row)], handles[static_cast<std::size_t>(id)]->version(), y);
        }
      }
      const sbora::store_statistics now = store.statistics();
      if (now.bytes + now.held_bytes > now.budget + threads * largest) ++over_budget;
    }
  }

  void pin_for_a_moment(const sbora::stored_adapter<float>& adapter) {
    try {
      store.pin(adapter.name(), adapter.version());
      store.unpin(adapter.name(), adapter.version());
    } catch (const sbora::unknown_adapter_error&) {
    }
  }

  static inline index_t largest = 0;
};

void serve(std::chrono::seconds how_long) {
  served::largest = 0;
  adapter_store<float> sizes(modules, 1 << 20);
  for (index_t i = 0; i < 35; ++i) {  // all kinds and ranks
    sizes.add("a", static_cast<std::uint64_t>(i), made(i, 1));
    served::largest = std::max(served::largest, sizes.get("a")->bytes());
  }
  served s(100 * served::largest);
  const auto end = std::chrono::steady_clock::now() + how_long;
  std::vector<std::thread> decoders;
  for (index_t i = 0; i < threads; ++i) {
    decoders.emplace_back([&s, i, end] { s.decode(static_cast<std::uint64_t>(i) + 1, end); });
  }
  for (std::thread& decoder : decoders) decoder.join();
  const sbora::store_statistics now = s.store.statistics();
  INFO(s.rows.load() << " rows, " << s.replaced.load() << " changes, " << now.hits << " hits, " << now.misses
                     << " misses, " << now.loads << " loads, " << now.evictions << " evictions");
  CHECK(s.rows > 0);
  CHECK(s.wrong == 0);
  CHECK(s.over_budget == 0);
  CHECK(s.replaced > 0);
  CHECK(now.evictions > 0);
  CHECK(now.bytes <= now.budget);
  CHECK(now.held_bytes == 0);
}

}  // namespace

TEST_CASE("threads decode while adapters are loaded, replaced and dropped") {
  const char* const seconds = std::getenv("SBORA_STRESS_SECONDS");
  serve(std::chrono::seconds(seconds == nullptr ? 2 : std::atoi(seconds)));
}

TEST_CASE("several threads that ask for one adapter load it once") {
  adapter_store<float> store(modules, 1 << 20);
  std::atomic<int> loads{0}, got{0};
  store.add("a", 1, [&] {
    ++loads;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return made(1, 1);
  });
  std::vector<std::thread> askers;
  for (int i = 0; i < 6; ++i) {
    askers.emplace_back([&] { got += store.get("a")->version() == 1 ? 1 : 0; });
  }
  for (std::thread& asker : askers) asker.join();
  CHECK(loads == 1);
  CHECK(got == 6);
}
