// Files of an adapter with FA in some modules and FB in others.

#include <sbora/io/adapter/adapter_files.hpp>
#include <sbora/io/adapter/peft_lora.hpp>

#include "io/adapter/adapter_folder.hpp"
#include "support/catch.hpp"

using namespace sbora_tests;
using sbora::adapter_config;
using sbora::adapter_kind;
using sbora::model_module;
using lines = std::vector<std::string>;

namespace {

const std::vector<model_module> model = {{"m.0.k", 4, 5}, {"m.0.q", 6, 5}, {"m.1.k", 4, 5}, {"m.1.q", 6, 5}};

/// k is FB, but of the last layer.
adapter_config config_of(adapter_kind usual) {
  const bool fa = usual == adapter_kind::fa;
  adapter_config config;
  config.kind = usual;
  config.kind_pattern = {{"1\\.k", adapter_kind::fa}, {"k", adapter_kind::fb}};
  if (!fa) config.kind_pattern.emplace_back(".*q", adapter_kind::fa);
  config.r = 2;
  config.rank_pattern = {{"0.q", 3}};
  config.lora_alpha = 3;
  config.target_modules.names = {"q", "k"};
  return config;
}

sbora::model_adapter<float> mixed(adapter_kind usual = adapter_kind::fa) {
  auto adapter = sbora::make_adapter(config_of(usual), model, 3);
  fill_random(adapter.parameters(), 4);
  return adapter;
}

}  // namespace

TEST_CASE("an adapter of both kinds comes back from sbora's files and PEFT's") {
  const temporary_directory folder;
  for (const adapter_kind usual : {adapter_kind::fa, adapter_kind::fb}) {
    auto adapter = mixed(usual);
    REQUIRE_FALSE(adapter.kind());
    adapter.set_base_fingerprint("m.0.k", 77);
    save_sbora(adapter, folder / "native");
    save_peft_lora(adapter, folder / "peft");
    for (const bool with_model : {true, false}) {
      const auto modules = with_model ? std::span<const model_module>(model) : std::span<const model_module>();
      const auto native = load_sbora(folder / "native", modules).adapter;
      CHECK(same_adapter(native, adapter));
      CHECK(native.base_fingerprint("m.0.k") == 77);
      CHECK(native.config().kind == usual);
      CHECK(native.config().kind_pattern == adapter.config().kind_pattern);
      const auto peft = load_peft_lora(folder / "peft", modules).adapter;
      CHECK(same_adapter(peft, adapter));
      // And again from there.
      save_sbora(peft, folder / "again");
      CHECK(same_adapter(load_sbora(folder / "again", modules).adapter, adapter));
      save_peft_lora(native, folder / "lora");
      CHECK(same_adapter(load_adapter(folder / "lora", modules).adapter, adapter));
    }
    CHECK_ERROR(sbora::config_error, "one kind for all modules; this adapter has FA and FB",
                save_sbora(adapter, folder / "official", sbora::sbora_layout::official));
    CHECK_FALSE(std::filesystem::exists(folder / "official"));
  }
}

TEST_CASE("a module whose trained half could be the one-hot one keeps its kind in PEFT's files") {
  const temporary_directory folder;
  auto adapter = mixed(adapter_kind::fb);
  adapter.for_each([](const std::string&, auto& part) {
    part.matrix().setZero();
    for (index_t i = 0; i < part.rank(); ++i) part.matrix()(i, i) = 1;
  });
  for (int again = 0; again < 2; ++again) {
    save_peft_lora(adapter, folder.path());
    auto loaded = load_peft_lora(folder.path(), model).adapter;
    CHECK(same_adapter(loaded, adapter));
    CHECK(loaded.config().kind_pattern.size() == adapter.config().kind_pattern.size() + (again == 0 ? 1 : 0));
    adapter = std::move(loaded);
  }
}

TEST_CASE("kinds that no pattern gave are written as patterns") {
  std::vector<sbora::adapter_part> parts;
  for (std::size_t i = 0; i < model.size(); ++i) {
    const bool fa = i != 0;
    parts.push_back({model[i].name,
                     model[i].d_out,
                     model[i].d_in,
                     sbora::region(fa ? model[i].d_in : model[i].d_out, {1, 3}),
                     8,
                     {},
                     fa ? adapter_kind::fa : adapter_kind::fb});
  }
  sbora::model_adapter<float> adapter(adapter_kind::fb, {}, std::move(parts));
  fill_random(adapter.parameters(), 4);
  const temporary_directory folder;
  save_sbora(adapter, folder.path());
  const auto loaded = load_sbora(folder.path(), model).adapter;
  CHECK(same_adapter(loaded, adapter));
  CHECK(loaded.config().kind == adapter_kind::fa);  // of most
  CHECK(loaded.config().kind_pattern ==
        std::vector<sbora::module_pattern<adapter_kind>>{{"m\\.0\\.k", adapter_kind::fb}});
  const sbora::read_config read = sbora::load_adapter_config(folder.path());
  CHECK(read.config == loaded.config());
}

TEST_CASE("a file whose tensors aren't of the kinds that it says is refused") {
  const temporary_directory folder;
  save_sbora(mixed(), folder / "native");
  save_peft_lora(mixed(), folder / "peft");
  const auto with = [&](const char* of, const std::string& from, const std::string& to) {
    std::filesystem::remove_all(folder / "changed");
    std::filesystem::copy(folder / of, folder / "changed");
    std::string text = read_file(folder / "changed/adapter_config.json");
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    write_file(folder / "changed/adapter_config.json", text.replace(at, from.size(), to));
    return problems_of([&] { sbora::load_adapter(folder / "changed", model); });
  };
  const std::string k = R"("k": "sbora_fb")", last = "base_model.model.m.0.k.lora_";
  CHECK(with("native", k, R"("k": "sbora_fa")") ==
        lines{"missing tensor '" + last + "A'", "missing tensor '" + last + "B.weight'",
              "unexpected tensor '" + last + "A.weight'", "unexpected tensor '" + last + "B'"});
  const lines peft = with("peft", k, R"("k": "sbora_fa")");
  REQUIRE(peft.size() == 1);
  CHECK_THAT(peft[0], contains("module 'm.0.k' isn't FA, as the config says: row 0 has "));
  for (const char* of : {"native", "peft"}) {
    CHECK(with(of, k, R"("k": "sbora_fc")") ==
          lines{R"(kind_pattern['k']: expected sbora_fa or sbora_fb, got "sbora_fc")"});
    CHECK(with(of, k, R"("k": 3)") == lines{"kind_pattern['k']: expected sbora_fa or sbora_fb, got 3"});
  }
}
