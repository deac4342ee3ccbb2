// SBoRA folders, native and official: hand-made ones are read, written ones come back bit for bit, broken ones are
// refused with everything that is wrong.

#include "io/adapter/adapter_folder.hpp"

#include <limits>

using namespace sbora_tests;
using sbora::adapter_config;
using sbora::adapter_kind;
using sbora::checkpoint_error;
using sbora::file_error;
using sbora::format_error;
using sbora::load_sbora;
using sbora::model_adapter;
using sbora::model_module;
using sbora::region;
using sbora::save_sbora;
using sbora::sbora_layout;
using sbora::strictness;

namespace {

using lines = std::vector<std::string>;

const std::vector<model_module> model = {{"model.layers.0.self_attn.q_proj", 6, 5},
                                         {"model.layers.0.self_attn.k_proj", 3, 5},
                                         {"model.layers.1.self_attn.q_proj", 6, 5},
                                         {"lm_head", 7, 5}};

const std::string q0 = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
const std::string q1 = "base_model.model.model.layers.1.self_attn.q_proj.lora_";

std::string official(const char* adapter_name) {
  return std::string(R"({"adapter_name": ")") + adapter_name + R"(", "base_model_name_or_path": "x", "bias": "none",
    "enable_lora": null, "fan_in_fan_out": false, "inference_mode": true, "lora_alpha": 4, "lora_dropout": 0.05,
    "merge_weights": false, "modules_to_save": null, "peft_type": "SBORA", "r": 2, "target_modules": ["q_proj"],
    "task_type": "CAUSAL_LM"})";
}

/// 1, 2, 3 … from `first`.
std::vector<float> counting(index_t count, float first = 1) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = first++;
  return values;
}

adapter_by_hand official_fa() {
  return adapter_by_hand()
      .config(official("sbora_fa"))
      .tensor<std::int64_t>(q0 + "A", {2}, {4, 1})
      .tensor<float>(q0 + "B.weight", {6, 2}, counting(12))
      .tensor<std::int64_t>(q1 + "A", {2}, {0, 3})
      .tensor<float>(q1 + "B.weight", {6, 2}, counting(12, 100));
}

adapter_by_hand official_fb() {
  return adapter_by_hand()
      .config(official("sbora_fb"))
      .tensor<float>(q0 + "A.weight", {2, 5}, counting(10))
      .tensor<std::int64_t>(q0 + "B", {2}, {5, 2})
      .tensor<float>(q1 + "A.weight", {2, 5}, counting(10, 100))
      .tensor<std::int64_t>(q1 + "B", {2}, {0, 1});
}

lines problems(const adapter_by_hand& files, strictness mode = strictness::strict) {
  const temporary_directory folder;
  files.write(folder.path());
  return problems_of([&] { load_sbora(folder.path(), model, mode); });
}

sbora::loaded_adapter<float> leniently(const adapter_by_hand& files) {
  const temporary_directory folder;
  files.write(folder.path());
  return load_sbora(folder.path(), model, strictness::lenient);
}

/// With everything that a native file can say.
model_adapter<float> rich(adapter_kind kind) {
  adapter_config config;
  config.kind = kind;
  config.r = 2;
  config.lora_alpha = 3;
  config.lora_dropout = 0.1;
  config.use_rslora = true;
  config.target_modules.names = {"q_proj", "k_proj"};
  config.rank_pattern = {{"k_proj", 3}};
  config.alpha_pattern = {{"layers.1.*", 0.3}};
  config.base_model_name_or_path = "some/model";
  auto adapter = sbora::make_adapter(config, model, 77);
  fill_random(adapter.parameters(), 5);
  adapter.parameters()[0] = -0.0F;
  adapter.parameters()[1] = std::numeric_limits<float>::denorm_min();
  adapter.parameters()[2] = std::numeric_limits<float>::quiet_NaN();
  adapter.set_base_fingerprint(model[1].name, 0xfedcba9876543210U);
  return adapter;
}

}  // namespace

TEST_CASE("an official FA checkpoint is read") {
  const temporary_directory folder;
  official_fa().write(folder.path());
  const auto [adapter, skipped] = load_sbora(folder.path(), model);
  CHECK(skipped.empty());
  CHECK(adapter.kind() == adapter_kind::fa);
  CHECK(adapter.modules() == lines{model[0].name, model[2].name});
  const auto& part = adapter.fa(model[0].name);
  CHECK(part.target() == region(5, {4, 1}));  // unsorted, as it was
  CHECK(part.scale() == 2);
  CHECK(part.options().dropout == 0.05);
  CHECK(part.matrix()(0, 1) == 2);
  CHECK(part.matrix()(5, 0) == 11);
  CHECK(adapter.fa(model[2].name).matrix()(0, 0) == 100);
}

TEST_CASE("an official FB checkpoint is read") {
  const temporary_directory folder;
  official_fb().write(folder.path());
  const auto [adapter, skipped] = load_sbora(folder.path(), model);
  CHECK(adapter.kind() == adapter_kind::fb);
  const auto& part = adapter.fb(model[0].name);
  CHECK(part.target() == region(6, {5, 2}));
  CHECK(part.matrix()(1, 0) == 6);
  CHECK(adapter.config().base_model_name_or_path == "x");
}

TEST_CASE("QSBoRA's folders are read, and FA or FB inferred") {
  const char* const config = R"({"auto_mapping": null, "base_model_name_or_path": "x", "bias": "none",
    "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "layers_pattern": null,
    "layers_to_transform": null, "lora_alpha": 4.0, "lora_dropout": 0.1, "modules_to_save": null,
    "peft_type": "LORA", "r": 2, "revision": null, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"})";
  const temporary_directory folder;
  official_fa().config(config).write(folder / "adapter_model/SB_FA_sampleMul");
  for (const char* at : {"", "adapter_model", "adapter_model/SB_FA_sampleMul"}) {
    CHECK(load_sbora(folder / at, model).adapter.kind() == adapter_kind::fa);
  }
  official_fb().config(config).write(folder / "adapter_model/SB_FA_sampleMul");
  CHECK(load_sbora(folder.path(), model).adapter.kind() == adapter_kind::fb);
  official_fb().config(config).write(folder / "adapter_model/SB_FA");
  CHECK(problems_of([&] { load_sbora(folder.path(), model); }) ==
        lines{(folder / "adapter_model/SB_FA").string(), (folder / "adapter_model/SB_FA_sampleMul").string()});
  CHECK_NOTHROW(load_sbora(folder / "adapter_model/SB_FA", model));
}

TEST_CASE("indices may be I32, trained halves F16 or BF16") {
  std::vector<Eigen::half> half(12);
  std::vector<Eigen::bfloat16> bfloat(12);
  for (std::size_t i = 0; i < 12; ++i) {
    half[i] = Eigen::half(0.1F * static_cast<float>(i));
    bfloat[i] = Eigen::bfloat16(0.1F * static_cast<float>(i));
  }
  const auto adapter = leniently(official_fa()
                                     .tensor<std::int32_t>(q0 + "A", {2}, {4, 1})
                                     .tensor<Eigen::half>(q0 + "B.weight", {6, 2}, half)
                                     .tensor<Eigen::bfloat16>(q1 + "B.weight", {6, 2}, bfloat));
  CHECK(adapter.skipped.empty());
  CHECK(adapter.adapter.fa(model[0].name).target() == region(5, {4, 1}));
  for (std::size_t i = 0; i < 12; ++i) {
    CHECK(adapter.adapter.fa(model[0].name).parameters()[i] == static_cast<float>(half[i]));
    CHECK(adapter.adapter.fa(model[2].name).parameters()[i] == static_cast<float>(bfloat[i]));
  }
}

TEST_CASE("what is written comes back bit for bit, with and without the model") {
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    const temporary_directory folder;
    const auto adapter = rich(kind);
    save_sbora(adapter, folder / "new/folder");
    CHECK(files_below(folder / "new/folder") == lines{"adapter_config.json", "adapter_model.safetensors"});
    for (const auto& loaded : {load_sbora(folder.path()), load_sbora(folder.path(), model)}) {
      CHECK(loaded.skipped.empty());
      CHECK(same_adapter(loaded.adapter, adapter));
      CHECK(loaded.adapter.config().sbora->seed == 77);
      loaded.adapter.visit(model[2].name, [](const auto& part) {
        CHECK(part.options().dropout_seed == sbora::module_seed(77, model[2].name, 1));
      });
      CHECK(loaded.adapter.config().rank_pattern == adapter.config().rank_pattern);
      CHECK(loaded.adapter.base_fingerprint(model[1].name) == 0xfedcba9876543210U);
      CHECK_FALSE(loaded.adapter.base_fingerprint(model[0].name));
    }
    const std::string tensors = read_file(folder / "new/folder/adapter_model.safetensors");
    const std::string config = read_file(folder / "new/folder/adapter_config.json");
    save_sbora(load_sbora(folder.path()).adapter, folder / "again");
    CHECK(read_file(folder / "again/adapter_model.safetensors") == tensors);
    CHECK(read_file(folder / "again/adapter_config.json") == config);
  }
}

TEST_CASE("an adapter of doubles comes back") {
  const temporary_directory folder;
  adapter_config config;
  config.kind = adapter_kind::fb;
  config.target_modules.names = {"q_proj"};
  config.r = 2;
  auto adapter = sbora::make_adapter<double>(config, model, 1);
  fill_random(adapter.parameters(), 5);
  save_sbora(adapter, folder.path());
  CHECK(same_adapter(load_sbora<double>(folder.path()).adapter, adapter));
  CHECK(problems_of([&] { load_sbora<float>(folder.path()); }).size() == 2);  // F64 isn't rounded silently
}

TEST_CASE("written files have the official names, types and shapes") {
  for (const sbora_layout layout : {sbora_layout::native, sbora_layout::official}) {
    const temporary_directory folder;
    official_fa().write(folder / "in");
    const auto adapter = load_sbora(folder / "in", model).adapter;
    save_sbora(adapter, folder / "out", layout);
    const auto file = sbora::safetensors_file::open(folder / "out/adapter_model.safetensors");
    REQUIRE(file.tensors().size() == 4);
    CHECK(file.at(q0 + "A").copy<std::int64_t>() == std::vector<std::int64_t>{4, 1});
    CHECK(file.at(q0 + "B.weight").shape == std::vector<index_t>{6, 2});
    CHECK(file.at(q0 + "B.weight").copy<float>() == counting(12));
    CHECK(file.metadata().at("format") == "pt");
    CHECK(file.metadata().size() == (layout == sbora_layout::native ? 2 : 1));
    const auto config = sbora::parse_adapter_config(read_file(folder / "out/adapter_config.json")).config;
    CHECK(config.peft_type == "SBORA");
    CHECK(config.kind == adapter_kind::fa);
    CHECK(config.sbora.has_value() == (layout == sbora_layout::native));
    CHECK(config.target_modules.names == lines{"q_proj"});
    CHECK(same_adapter(load_sbora(folder / "out", model).adapter, adapter));
  }
}

TEST_CASE("the official layout folds rsLoRA into alpha and refuses what it can't say") {
  adapter_config config;
  config.kind = adapter_kind::fa;
  config.r = 3;
  config.lora_alpha = 7;
  config.use_rslora = true;
  config.target_modules.regex = "all-linear";
  config.exclude_modules.names = {"lm_head"};
  const temporary_directory folder;
  const auto adapter = sbora::make_adapter(config, model, 1);
  save_sbora(adapter, folder.path(), sbora_layout::official);
  const auto loaded = load_sbora(folder.path(), model).adapter;
  CHECK(same_adapter(loaded, adapter));
  CHECK_FALSE(loaded.config().use_rslora);
  CHECK(loaded.config().target_modules.names == adapter.modules());
  CHECK(loaded.config().exclude_modules.empty());

  const std::string before = read_file(folder / "adapter_config.json");
  CHECK_ERROR(sbora::config_error,
              "one rank and one scale for all modules; module 'model.layers.0.self_attn.q_proj' has rank 2",
              save_sbora(rich(adapter_kind::fb), folder.path(), sbora_layout::official));
  CHECK(read_file(folder / "adapter_config.json") == before);

  // A pattern that changes nothing is no reason.
  config.exclude_modules.names = {"lm_head", "k_proj"};
  config.rank_pattern = {{"q_proj", 2}};
  save_sbora(sbora::make_adapter(config, model, 1), folder.path(), sbora_layout::official);
  CHECK(load_sbora(folder.path(), model).adapter.config().r == 2);
}

TEST_CASE("an adapter whose config doesn't describe it is written with one that does") {
  // One name ends with another, and their values differ.
  const std::vector<model_module> modules = {{"a.b", 4, 5}, {"x.a.b", 4, 5}, {"y.a.b", 4, 5}, {"c+d", 4, 5}};
  model_adapter<float> adapter(adapter_kind::fa, {},
                               {{"a.b", 4, 5, region(5, {1}), 1},
                                {"x.a.b", 4, 5, region(5, {1, 2}), 2},
                                {"y.a.b", 4, 5, region(5, {1, 3}), 2},
                                {"c+d", 4, 5, region(5, {4, 0}), 3}});
  fill_random(adapter.parameters(), 1);
  const temporary_directory folder;
  save_sbora(adapter, folder.path());
  CHECK(same_adapter(load_sbora(folder.path()).adapter, adapter));
  CHECK(same_adapter(load_sbora(folder.path(), modules).adapter, adapter));
  const auto config = sbora::parse_adapter_config(read_file(folder / "adapter_config.json")).config;
  CHECK(config.r == 2);
  CHECK(config.rank_pattern.back() == sbora::module_pattern<index_t>("a\\.b", 1));
}

TEST_CASE("everything wrong with the tensors is listed at once") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(problems(official_fa()
                     .drop(q0 + "A")
                     .tensor<float>(q0 + "B.weight", {2, 6}, counting(12))
                     .drop(q1 + "B.weight")
                     .tensor<std::int64_t>(q1 + "A", {2}, {0, 5})
                     .tensor<float>("base_model.model.lm_head.lora_B.weight", {7, 2}, counting(14))
                     .tensor<float>("base_model.model.model.embed.weight", {1}, {nan})
                     .tensor<float>("model.layers.0.self_attn.q_proj.lora_A.weight", {1}, {nan})
                     .tensor<float>(q0 + "magnitude_vector", {6}, counting(6))) ==
        lines{"unexpected tensor 'base_model.model.model.embed.weight'",
              "unexpected tensor '" + q0 + "magnitude_vector'",
              "unexpected tensor 'model.layers.0.self_attn.q_proj.lora_A.weight'", "missing tensor '" + q0 + "A'",
              "tensor '" + q0 + "B.weight' is F32 [2, 6], expected F32, F16 or BF16 [6, 2]",
              "missing tensor '" + q1 + "B.weight'",
              "tensor '" + q1 + "A' isn't a region: sbora::region: index 5 at position 1 is outside [0, 5)",
              "unexpected tensor 'base_model.model.lm_head.lora_B.weight'"});
}

TEST_CASE("each thing wrong with a tensor is refused, and its module left out when lenient") {
  const auto refused = [](const adapter_by_hand& files, const std::string& problem) {
    CAPTURE(problem);
    CHECK(problems(files) == lines{problem});
    const auto [adapter, skipped] = leniently(files);
    CHECK(skipped == lines{problem});
    CHECK(adapter.modules() == lines{model[2].name});
    CHECK(adapter.fa(model[2].name).matrix()(0, 0) == 100);
    const temporary_directory folder;  // what is left is whole
    save_sbora(adapter, folder.path());
    CHECK(same_adapter(load_sbora(folder.path(), model).adapter, adapter));
  };
  refused(official_fa().drop(q0 + "B.weight"), "missing tensor '" + q0 + "B.weight'");
  refused(official_fa().tensor<std::int64_t>(q0 + "A", {2}, {4, 4}),
          "tensor '" + q0 + "A' isn't a region: sbora::region: index 4 comes twice, again at position 1");
  refused(official_fa().tensor<std::int64_t>(q0 + "A", {2}, {4, -1}),
          "tensor '" + q0 + "A' isn't a region: sbora::region: index -1 at position 1 is outside [0, 5)");
  refused(official_fa().tensor<std::int64_t>(q0 + "A", {2}, {4, std::numeric_limits<std::int64_t>::min()}),
          "tensor '" + q0 +
              "A' isn't a region: sbora::region: index -9223372036854775808 at position 1 is outside "
              "[0, 5)");
  refused(official_fa().tensor<float>(q0 + "A", {2}, {4, 1}),
          "tensor '" + q0 + "A' is F32 [2], expected I64 or I32 [rank]");
  refused(official_fa().tensor<std::int64_t>(q0 + "A", {1, 2}, {4, 1}),
          "tensor '" + q0 + "A' is I64 [1, 2], expected I64 or I32 [rank]");
  refused(official_fa().tensor<double>(q0 + "B.weight", {6, 2}, std::vector<double>(12)),
          "tensor '" + q0 + "B.weight' is F64 [6, 2], expected F32, F16 or BF16 [6, 2]");
  refused(official_fa().tensor<float>(q0 + "B.weight", {12}, counting(12)),
          "tensor '" + q0 + "B.weight' is F32 [12], expected F32, F16 or BF16 [6, 2]");
}

TEST_CASE("FA's half where FB is expected, and both at once") {
  CHECK(problems(official_fa().config(official("sbora_fb")))[0] == "the config says FB, the tensors are FA");
  std::string config = official("sbora_fa");
  config.erase(1, config.find(',')).erase(0, 0);
  CHECK(problems(official_fa().config(config).tensor<std::int64_t>(q0 + "B", {2}, {0, 1})) ==
        lines{"indices in both lora_A and lora_B: FA and FB in one file", "unexpected tensor '" + q0 + "B'"});
  CHECK(problems(official_fa().config(config).drop(q0 + "A").drop(q1 + "A"))[0] ==
        "no tensor of indices: neither lora_A nor lora_B without .weight");
  CHECK(problems(official_fa().tensor<float>(q0 + "A.weight", {2, 5}, counting(10))) ==
        lines{"unexpected tensor '" + q0 + "A.weight'"});
}

TEST_CASE("a rank that isn't the config's is refused; leniently the tensors' counts") {
  const auto files =
      official_fa().tensor<std::int64_t>(q0 + "A", {1}, {4}).tensor<float>(q0 + "B.weight", {6, 1}, counting(6));
  const lines expected = {"tensor '" + q0 + "A' has 1 indices, the config says rank 2"};
  CHECK(problems(files) == expected);
  const auto [adapter, skipped] = leniently(files);
  CHECK(skipped == expected);
  CHECK(adapter.fa(model[0].name).rank() == 1);
  CHECK(adapter.fa(model[0].name).scale() == 4);
}

TEST_CASE("nothing whole is an error in either mode") {
  const auto files = adapter_by_hand().config(official("sbora_fa")).tensor<float>("x", {1}, {1});
  CHECK(problems(files).size() == 5);
  CHECK(problems(files, strictness::lenient) == lines{"there is no module with all that it takes"});
}

TEST_CASE("official files need the model; a model has to fit a native file") {
  const temporary_directory folder;
  official_fa().write(folder / "official");
  CHECK(problems_of([&] { load_sbora(folder / "official"); })[0] ==
        "these files don't say how large the weights are; give the model's modules");
  save_sbora(rich(adapter_kind::fa), folder / "native");
  std::vector<model_module> other = model;
  other[0].d_in = 6;
  other.erase(other.begin() + 1);
  const lines expected = {"module 'model.layers.0.self_attn.q_proj' is 6 x 6, the adapter is for 6 x 5",
                          "module 'model.layers.0.self_attn.k_proj' is none of the model's"};
  CHECK(problems_of([&] { load_sbora(folder / "native", other); }) == expected);
  const auto [adapter, skipped] = load_sbora(folder / "native", other, strictness::lenient);
  CHECK(skipped == expected);
  CHECK(adapter.modules() == lines{model[2].name});
}

TEST_CASE("the official code's looser suffixes are accepted in its files") {
  const temporary_directory folder;
  std::string config = official("sbora_fa");
  config.replace(config.find("\"q_proj\""), 8, "\"_proj\"");
  official_fa().config(config).write(folder.path());
  CHECK(problems_of([&] { load_sbora(folder.path(), model); }) ==
        lines{"missing tensor 'base_model.model.model.layers.0.self_attn.k_proj.lora_A'",
              "missing tensor 'base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight'"});
}

TEST_CASE("modules whose names look like the format's own parts are kept apart") {
  const std::vector<model_module> modules = {{"lora_A", 4, 5}, {"lora_A.lora_A", 4, 5}, {"base_model.model.x", 4, 5},
                                             {"x", 4, 5},      {"x.weight", 4, 5},      {"default.x", 4, 5}};
  std::vector<sbora::adapter_part> parts;
  for (const model_module& module : modules) parts.push_back({module.name, 4, 5, region(5, {1, 2}), 1});
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    if (kind == adapter_kind::fb)
      for (auto& part : parts) part.target = region(4, {3, 0});
    model_adapter<float> adapter(kind, {}, parts);
    fill_random(adapter.parameters(), 1);
    const temporary_directory folder;
    save_sbora(adapter, folder / "lora_A");  // an adapter's name is a folder's only, never part of a key
    CHECK(same_adapter(load_sbora(folder / "lora_A", modules).adapter, adapter));
  }
}

TEST_CASE("files that can't be read say which and why") {
  const temporary_directory folder;
  CHECK_ERROR(file_error, "no adapter_config.json there or in a folder below", load_sbora(folder.path()));
  CHECK_ERROR(file_error, "no adapter_config.json", load_sbora(folder / "missing"));
  write_file(folder / "adapter_config.json", official("sbora_fa"));
  CHECK_ERROR(file_error, "adapter_model.safetensors", load_sbora(folder.path()));
  write_file(folder / "adapter_model.bin", "pickle");
  CHECK_ERROR(file_error, "there is only adapter_model.bin, a pickle", load_sbora(folder.path()));
  write_file(folder / "adapter_model.safetensors", "nonsense");
  CHECK_ERROR(format_error, "adapter_model.safetensors", load_sbora(folder.path()));
  write_file(folder / "adapter_config.json", "{");
  official_fa().config("{").write(folder.path());
  CHECK_ERROR(format_error, "adapter_config.json", load_sbora(folder.path()));
  official_fa().config(R"({"peft_type": "SBORA", "use_dora": true, "r": 0})").write(folder.path());
  CHECK(problems_of([&] { load_sbora(folder.path()); }).size() == 2);
}

TEST_CASE("an interrupted save leaves the new adapter, never a mixture") {
  const temporary_directory folder;
  save_sbora(rich(adapter_kind::fa), folder / "old");
  adapter_config config;
  config.kind = adapter_kind::fb;
  config.r = 1;
  config.target_modules.names = {"lm_head"};
  const auto newer = sbora::make_adapter(config, model, 1);
  save_sbora(newer, folder / "new");
  // As if it had stopped between the two renames.
  std::filesystem::copy_file(folder / "new/adapter_model.safetensors", folder / "old/adapter_model.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(same_adapter(load_sbora(folder / "old", model).adapter, newer));
  write_file(folder / "old/adapter_config.json", R"({"peft_type": "LORA", "use_dora": true})");
  CHECK(same_adapter(load_sbora(folder / "old", model).adapter, newer));
  // A config that somebody edited afterwards counts.
  std::string text = read_file(folder / "new/adapter_config.json");
  text.replace(text.find("\"lora_alpha\": 8"), 15, "\"lora_alpha\": 9");
  write_file(folder / "new/adapter_config.json", text);
  const auto loaded = load_sbora(folder / "new", model);
  CHECK(loaded.adapter.fb("lm_head").scale() == 9);
}

TEST_CASE("a save that is killed leaves the old adapter or the new one") {
  const temporary_directory folder;
  const auto fa = rich(adapter_kind::fa), fb = rich(adapter_kind::fb);
  save_sbora(fa, folder / "adapter");
  const int loaded = kill_savers([&](int i) { save_sbora(i % 2 == 0 ? fb : fa, folder / "adapter"); },
                                 [&] {
                                   const auto found = load_sbora(folder / "adapter", model).adapter;
                                   CHECK((same_adapter(found, fa) || same_adapter(found, fb)));
                                   return true;
                                 });
  CHECK(loaded == 40);
}

TEST_CASE("saving over an adapter replaces both files and leaves others") {
  for (const sbora_layout layout : {sbora_layout::native, sbora_layout::official}) {
    const temporary_directory folder;
    official_fa().write(folder / "in");
    write_file(folder / "in/README.md", "mine");
    const auto fa = load_sbora(folder / "in", model).adapter;
    adapter_config config;
    config.kind = adapter_kind::fb;
    config.r = 1;
    config.target_modules.names = {"lm_head"};
    const auto fb = sbora::make_adapter(config, model, 1);
    save_sbora(fb, folder / "in", layout);
    CHECK(same_adapter(load_sbora(folder / "in", model).adapter, fb));
    CHECK(files_below(folder / "in") == lines{"README.md", "adapter_config.json", "adapter_model.safetensors"});
    CHECK(read_file(folder / "in/README.md") == "mine");
  }
}

TEST_CASE("a save that fails leaves what was there") {
  const temporary_directory folder;
  write_file(folder / "file", "not a folder");
  CHECK_THROWS_AS(save_sbora(rich(adapter_kind::fa), folder / "file"), file_error);
  CHECK_THROWS_AS(save_sbora(rich(adapter_kind::fa), folder / "file/below"), file_error);
  CHECK(read_file(folder / "file") == "not a folder");
  // The tensors can't be put where a folder is.
  std::filesystem::create_directories(folder / "in/adapter_model.safetensors/x");
  write_file(folder / "in/adapter_config.json", "old");
  CHECK_THROWS(save_sbora(rich(adapter_kind::fa), folder / "in"));
  CHECK(files_below(folder / "in") ==
        lines{"adapter_config.json", "adapter_model.safetensors", "adapter_model.safetensors/x"});
  CHECK(read_file(folder / "in/adapter_config.json") == "old");
}
