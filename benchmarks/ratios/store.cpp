/// store_overhead   decoding with the adapters of a store that has room for 100 of 1,000, over the same with all of
///                  them in memory
/// 8 requests at a time, each of another adapter by Zipf's law (exponent 1) and 16 tokens long; one ends every second
/// step. Two layers of 4096 x 4096, f32, FA or FB of rank 8: 256 KiB an adapter, in a file each, which the system has
/// in memory. One thread, its own time: reading the files, evicting and copying are in it.

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <sbora/layers/mixed.hpp>
#include <sbora/model/adapter_store.hpp>
#include <sbora/model/instances.hpp>

#include "../support/linear_workload.hpp"
#include "registry.hpp"

namespace bench {
namespace {

constexpr index_t d = 4096, rank = 8, adapters = 1000, budgeted = 100, requests = 8, request_tokens = 16;
const std::vector<sbora::model_module> modules = {{"q", d, d}, {"v", d, d}};

/// One file for each adapter, removed at the end.
class adapter_files {
 public:
  adapter_files() {
    std::string name = (std::filesystem::temp_directory_path() / "sbora-store-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory " + name);
    folder_ = name;
    std::vector<float> values(2 * d * rank);
    for (index_t i = 0; i < adapters; ++i) {
      fill_uniform(std::span(values), static_cast<std::uint64_t>(i), 0.05F);
      std::ofstream file(path(i), std::ios::binary);
      file.write(static_cast<const char*>(static_cast<const void*>(values.data())), size_in_bytes);
      if (!file) throw std::runtime_error("can't write " + path(i).string());
    }
  }
  adapter_files(const adapter_files&) = delete;
  adapter_files& operator=(const adapter_files&) = delete;
  ~adapter_files() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  sbora::model_adapter<float> read(index_t number) const {
    const sbora::adapter_kind kind = number % 2 == 0 ? sbora::adapter_kind::fa : sbora::adapter_kind::fb;
    std::vector<sbora::adapter_part> parts;
    for (const sbora::model_module& m : modules) {
      parts.push_back({m.name, d, d, sbora::sample_region(d, rank, static_cast<std::uint64_t>(number)), 16});
    }
    sbora::model_adapter<float> adapter(kind, {}, std::move(parts));
    std::ifstream file(path(number), std::ios::binary);
    file.read(static_cast<char*>(static_cast<void*>(adapter.parameters().data())), size_in_bytes);
    if (!file) throw std::runtime_error("can't read " + path(number).string());
    return adapter;
  }

 private:
  static constexpr std::streamsize size_in_bytes = 2 * d * rank * sizeof(float);
  std::filesystem::path path(index_t number) const { return folder_ / std::to_string(number); }

  std::filesystem::path folder_;
};

/// Requests that come and go, over the same layers and inputs for both stores.
class decoder {
 public:
  decoder(const adapter_files& files, linear_workload& work, index_t budget) : work_(&work), store_(modules, budget) {
    double sum = 0;
    for (index_t i = 0; i < adapters; ++i) {
      upper_.push_back(sum += 1 / static_cast<double>(i + 1));
      store_.add(std::to_string(i), 1, [&files, i] { return files.read(i); });
    }
    held_.resize(requests);
    numbers_.resize(requests);
    for (index_t i = 0; i < requests; ++i) begin_request(i);
  }

  void load_all() {
    for (index_t i = 0; i < adapters; ++i) store_.get(std::to_string(i));
  }

  void step() {
    if (++steps_ % (request_tokens / requests) == 0) begin_request(next_++ % requests);
    for (index_t m = 0; m < 2; ++m) {
      deltas_.clear();
      for (const auto& handle : held_) deltas_.push_back(handle->delta(m));
      layers_[m].forward(work_->x(), work_->y(), memory_);
      sbora::mixed_forward(deltas_, rows_, work_->x(), work_->y(), memory_);
    }
  }

  sbora::store_statistics statistics() const { return store_.statistics(); }
  const std::vector<index_t>& numbers() const { return numbers_; }

 private:
  void begin_request(index_t at) {
    const double draw = static_cast<double>(splitmix64(state_) >> 11) * 0x1p-53 * upper_.back();
    const auto i = static_cast<std::size_t>(at);
    numbers_[i] =
        std::min<index_t>(std::upper_bound(upper_.begin(), upper_.end(), draw) - upper_.begin(), adapters - 1);
    held_[i] = store_.get(std::to_string(numbers_[i]));
  }

  linear_workload* work_;
  sbora::adapter_store<float> store_;
  sbora::linear<sbora::weight_view<float>> layers_[2] = {sbora::linear(work_->view()), sbora::linear(work_->view())};
  std::vector<double> upper_;
  std::vector<sbora::adapter_handle<float>> held_;
  std::vector<index_t> numbers_;
  sbora::delta_list<float> deltas_;
  sbora::adapter_rows rows_{std::vector<index_t>{0, 1, 2, 3, 4, 5, 6, 7}, requests};
  sbora::workspace memory_;
  std::uint64_t state_ = 71;
  index_t steps_ = 0, next_ = 0;
};

/// Throws unless a row of y is what its adapter, read anew, gives in a layer of its own.
void verify(const adapter_files& files, linear_workload& work, const decoder& of) {
  sbora::workspace memory;
  const sbora::linear layer(work.view());
  for (index_t row = 0; row < requests; ++row) {
    const sbora::model_adapter<float> adapter = files.read(of.numbers()[static_cast<std::size_t>(row)]);
    Eigen::Matrix<float, 1, Eigen::Dynamic, Eigen::RowMajor> x = work.x().row(row), y(d);
    adapter.visit("v", [&](const auto& part) { layer.forward(x, y, part, memory); });
    if (!((y - work.y().row(row)).cwiseAbs().maxCoeff() < 1e-3F)) throw std::runtime_error("a request's row is wrong");
  }
}

}  // namespace

double store_overhead() {
  const adapter_files files;
  linear_workload work({d, d, requests});
  index_t bytes = 0;
  {
    decoder one(files, work, index_t{1} << 40);
    bytes = one.statistics().bytes / one.statistics().resident;
  }
  decoder all(files, work, index_t{1} << 40), some(files, work, budgeted * bytes);
  all.load_all();
  for (int i = 0; i < 400; ++i) some.step();  // until it is full
  for (decoder* of : {&some, &all}) {
    of->step();
    verify(files, work, *of);
  }
  const sbora::store_statistics before = some.statistics();
  const alternation measured = alternate([&] { return arm(1, 4 * arm_seconds, [&] { some.step(); }); },
                                         [&] { return arm(1, 4 * arm_seconds, [&] { all.step(); }); });
  for (decoder* of : {&some, &all}) {
    of->step();
    verify(files, work, *of);
  }
  const sbora::store_statistics after = some.statistics();
  note(measured, "room for 100", "all in memory", 1e3, "ms");
  note(std::to_string(after.misses - before.misses) + " of " +
       std::to_string(after.hits + after.misses - before.hits - before.misses) + " requests loaded their adapter, " +
       std::to_string(after.bytes) + " bytes of " + std::to_string(after.budget));
  if (after.bytes > after.budget || after.evictions == before.evictions) {
    throw std::runtime_error("the budget doesn't hold, or nothing was evicted");
  }
  return measured.ratio();
}

}  // namespace bench
