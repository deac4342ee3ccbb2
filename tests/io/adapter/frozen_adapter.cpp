// Adapters for serving whose numbers stay in their file: where they can, where they are copied, in a store, and when
// the file is replaced.

#include <fstream>

#include <sbora/io/adapter/peft_lora.hpp>
#include <sbora/model/adapter_store.hpp>

#include "io/adapter/adapter_folder.hpp"
#include "support/catch.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::frozen_adapter;
using sbora::model_adapter;

namespace {

/// Their names aren't in the order of the model.
const std::vector<sbora::model_module> modules = {{"m.z", 24, 32}, {"m.b", 12, 32}, {"m.o", 32, 24}};

model_adapter<float> made(std::uint64_t seed, adapter_kind kind = adapter_kind::fa) {
  sbora::adapter_config config;
  config.kind = kind;
  config.kind_pattern = {{"o", adapter_kind::fb}};
  config.r = 4;
  config.target_modules.names = {"z", "b", "o"};
  auto adapter = sbora::make_adapter<float>(config, modules, seed);
  fill_random(adapter.parameters(), seed);
  adapter.set_full_tensors(
      {{"m.norm.weight", {32}, random_vector<float>(32, seed)}, {"m.a.bias", {3}, random_vector<float>(3, seed)}});
  return adapter;
}

/// Whether memory is a mapping of this file.
bool is_mapped_from(const void* memory, const std::filesystem::path& file) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx", &begin, &end) != 2) continue;
    const auto at = reinterpret_cast<std::uintptr_t>(memory);
    if (at >= begin && at < end) return line.find(file.string()) != line.npos;
  }
  return false;
}

bool same(const frozen_adapter<float>& a, const model_adapter<float>& b) {
  return same_adapter(*a, b) && a->full_tensors().size() == b.full_tensors().size();
}

}  // namespace

TEST_CASE("what sbora saves is served from its file") {
  const temporary_directory folder;
  const auto file = folder / "adapter_model.safetensors";
  const model_adapter<float> adapter = made(1);
  save_sbora(adapter, folder.path());
  const frozen_adapter<float> frozen = sbora::load_frozen_adapter(folder.path());
  CHECK(is_mapped_from(frozen->parameters().data(), file));
  CHECK(is_mapped_from(frozen->full_tensors()[1].parameters().data(), file));
  CHECK(frozen->delta("m.b").parameters == std::as_const(*frozen).fa("m.b").parameters().data());
  CHECK(is_mapped_from(frozen->delta("m.o").parameters, file));
  CHECK(frozen->gradient().empty());
  CHECK(same(frozen, adapter));
  // Another adapter in its place leaves it; this program puts none there while it is served.
  CHECK_ERROR(sbora::file_error, "mapped into memory; close it first", save_sbora(made(2), folder.path()));
  save_sbora(made(2), folder / "next");
  for (const char* name : {"adapter_model.safetensors", "adapter_config.json"}) {
    std::filesystem::rename(folder / "next" / name, folder / name);
  }
  CHECK(same(frozen, adapter));
  CHECK(same(sbora::load_frozen_adapter(folder.path()), made(2)));
}

TEST_CASE("what can't be used in place is copied") {
  const temporary_directory folder;
  const model_adapter<float> adapter = made(1);
  const auto check = [&](const std::filesystem::path& path) {
    const frozen_adapter<float> frozen = sbora::load_frozen_adapter(path, modules);
    CHECK_FALSE(is_mapped_from(frozen->parameters().data(), path));
    CHECK(frozen->gradient().empty());
    CHECK(same(frozen, adapter));
  };
  save_peft_lora(adapter, folder / "peft");
  check(folder / "peft");
  // Of another type, and by name.
  save_sbora(adapter, folder / "native");
  const frozen_adapter<double> wider = sbora::load_frozen_adapter<double>(folder / "native");
  CHECK(wider->parameters()[5] == static_cast<double>(adapter.parameters()[5]));
  const auto tensors = sbora::safetensors_file::open(folder / "native/adapter_model.safetensors");
  std::filesystem::create_directories(folder / "by_name");
  std::filesystem::copy(folder / "native/adapter_config.json", folder / "by_name");
  sbora::write_safetensors(folder / "by_name/adapter_model.safetensors", tensors.tensors(), tensors.metadata());
  check(folder / "by_name");
}

TEST_CASE("a store serves adapters from their files, and puts them out") {
  const temporary_directory folder;
  for (const char* name : {"a", "b", "c"}) save_sbora(made(static_cast<std::uint64_t>(name[0])), folder / name);
  sbora::adapter_store<float> one(modules, 1 << 20);
  one.add("a", 1, made(1));
  const index_t bytes = one.statistics().bytes;
  sbora::adapter_store<float> store(modules, 2 * bytes);
  for (const char* name : {"a", "b", "c"}) {
    store.add(name, 1, [&folder, name] { return sbora::load_frozen_adapter(folder / name); });
  }
  const auto file = [&](const char* name) { return folder / (std::string(name) + "/adapter_model.safetensors"); };
  const float* first = nullptr;
  {
    const auto handle = store.get("a");
    first = handle->delta(0).parameters;
    CHECK(is_mapped_from(first, file("a")));
    CHECK(handle->bytes() == bytes);
    CHECK(same_adapter(handle->adapter(), made('a')));
  }
  static_cast<void>(store.get("b"));
  static_cast<void>(store.get("c"));
  CHECK(store.statistics().evictions == 1);
  CHECK(store.statistics().bytes == 2 * bytes);
  CHECK_FALSE(is_mapped_from(first, file("a")));
  CHECK(is_mapped_from(store.get("b")->delta(2).parameters, file("b")));
  CHECK(same_adapter(store.get("a")->adapter(), made('a')));
}
