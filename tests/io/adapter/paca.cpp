// PEFT's PaCA, which is FA: folders made by hand are read, written ones come back bit for bit, and what it can't say is
// refused.

#include <sbora/io/adapter/peft_lora.hpp>

#include "io/adapter/adapter_folder.hpp"

using namespace sbora_tests;
using sbora::adapter_config;
using sbora::adapter_kind;
using sbora::load_adapter;
using sbora::model_adapter;
using sbora::model_module;
using sbora::region;
using sbora::sbora_layout;
using sbora::strictness;

namespace {

using lines = std::vector<std::string>;

const std::vector<model_module> model = {
    {"layers.0.q_proj", 4, 5}, {"layers.1.q_proj", 4, 5}, {"lm_head", 7, 5}, {"embed_tokens", 7, 5}};

const std::string config = R"({"auto_mapping": null, "base_model_name_or_path": "x", "exclude_modules": null,
  "inference_mode": true, "init_weights": true, "layers_pattern": null, "layers_to_transform": null,
  "modules_to_save": null, "paca_alpha": 6, "peft_type": "PACA", "peft_version": "0.22.0", "r": 2, "random_seed": 42,
  "revision": null, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"})";

const std::string q0 = "base_model.model.layers.0.q_proj.", q1 = "base_model.model.layers.1.q_proj.";

adapter_by_hand by_hand() {
  return adapter_by_hand()
      .config(config)
      .tensor<std::int64_t>(q0 + "paca_indices", {2}, {1, 4})
      .tensor<float>(q0 + "paca_delta", {4, 2}, {1, 2, 3, 4, 5, 6, 7, 8})
      .tensor<std::int64_t>(q1 + "paca_indices", {2}, {3, 0})
      .tensor<float>(q1 + "paca_delta", {4, 2}, {-1, 2, -3, 4, -5, 6, -0.0F, 8});
}

sbora::loaded_adapter<float> read(const adapter_by_hand& files, strictness mode = strictness::strict) {
  const temporary_directory folder;
  files.write(folder.path());
  return load_adapter(folder.path(), model, mode);
}

lines problems(const adapter_by_hand& files) {
  return problems_of([&] { read(files); });
}

model_adapter<float> made(adapter_config with) {
  auto adapter = sbora::make_adapter(std::move(with), model, 7);
  fill_random(adapter.parameters(), 5);
  return adapter;
}

adapter_config plain(adapter_kind kind = adapter_kind::fa) {
  adapter_config plain;
  plain.kind = kind;
  plain.r = 2;
  plain.lora_alpha = 3;
  plain.target_modules.names = {"q_proj"};
  return plain;
}

std::string refusal(const model_adapter<float>& adapter) {
  const temporary_directory folder;
  const std::string said =
      message_of<sbora::config_error>([&] { save_sbora(adapter, folder / "out", sbora_layout::paca); });
  CHECK(files_below(folder.path()).empty());
  return said;
}

}  // namespace

TEST_CASE("a PaCA of PEFT is an FA adapter") {
  const auto [adapter, skipped] = read(by_hand());
  CHECK(skipped.empty());
  CHECK(adapter.kind() == adapter_kind::fa);
  CHECK(adapter.modules() == lines{"layers.0.q_proj", "layers.1.q_proj"});
  const auto& part = adapter.fa("layers.1.q_proj");
  CHECK(part.target() == region(5, {3, 0}));  // in any order, as it was
  CHECK(part.scale() == 3);
  CHECK(part.options().dropout == 0);
  CHECK(part.matrix()(0, 1) == 2);
  CHECK(adapter.config().random_seed == 42);
  CHECK(read(by_hand().config(std::string(config).replace(config.find("42"), 2, "-1"))).skipped ==
        lines{"random_seed, -1"});
}

TEST_CASE("PaCA folders come back as they were, also by way of the native layout") {
  const temporary_directory folder;
  by_hand().write(folder / "peft");
  const auto first = load_adapter(folder / "peft", model).adapter;
  save_sbora(first, folder / "native");
  const auto native = load_adapter(folder / "native").adapter;
  CHECK(same_adapter(first, native));
  save_sbora(native, folder / "paca", sbora_layout::paca);
  const auto again = load_adapter(folder / "paca", model);
  CHECK(again.skipped.empty());
  CHECK(same_adapter(first, again.adapter));
  CHECK(again.adapter.config() == first.config());
  const auto before = sbora::open_adapter_tensors(folder / "peft"),
             after = sbora::open_adapter_tensors(folder / "paca");
  REQUIRE(after.tensors().size() == before.tensors().size());
  for (const sbora::tensor_view& tensor : before.tensors()) {
    CHECK(after.at(tensor.name).type == tensor.type);
    CHECK(after.at(tensor.name).shape == tensor.shape);
    CHECK(std::ranges::equal(after.at(tensor.name).data, tensor.data));
  }
}

TEST_CASE("PaCA's config has no key that PEFT's doesn't know") {
  adapter_config with = plain();
  with.use_rslora = true;
  with.lora_dropout = 0.1;
  with.modules_to_save = {"lm_head"};
  auto adapter = made(with);
  adapter.set_full_tensors({{"lm_head.weight", {7, 5}, std::vector<float>(35, 0.5F)}});
  const temporary_directory folder;
  save_sbora(adapter, folder.path(), sbora_layout::paca);
  CHECK(read_file(folder / "adapter_config.json") == R"({
  "base_model_name_or_path": null,
  "inference_mode": true,
  "modules_to_save": [
    "lm_head"
  ],
  "paca_alpha": 4.242640687119285,
  "peft_type": "PACA",
  "r": 2,
  "target_modules": [
    "q_proj"
  ],
  "task_type": null
}
)");
  const auto back = load_adapter(folder.path(), model).adapter;
  CHECK(same_bits(std::span<const float>(back.parameters()), std::span<const float>(adapter.parameters())));
  REQUIRE(back.full_tensors().size() == 1);
  CHECK(back.full_tensors()[0].name() == "lm_head.weight");
  const auto file = sbora::open_adapter_tensors(folder.path());
  CHECK_NOTHROW(file.at("base_model.model.lm_head.weight"));
}

TEST_CASE("what PaCA has none of is refused, and nothing written") {
  CHECK(refusal(made(plain(adapter_kind::fb))) ==
        "sbora: PaCA trains columns of weights, which is FA; this adapter is FB, which trains rows; save_sbora or "
        "save_peft_lora write it");
  adapter_config with = plain();
  with.rank_pattern = {{"layers.1.*", 3}};
  CHECK(refusal(made(with)).starts_with("sbora: PaCA has one rank and one scale for all modules; module 'layers.1"));
  with = plain();
  with.kind_pattern = {{"layers.1.*", adapter_kind::fb}};
  CHECK(refusal(made(with)).starts_with("sbora: PaCA has one kind for all modules"));
  with = plain();
  with.target_modules.names = {"embed_tokens"};
  CHECK(refusal(made(with)).find("no embeddings") != std::string::npos);
  with = plain();
  with.fan_in_fan_out = true;
  CHECK(refusal(made(with)).find("fan_in_fan_out") != std::string::npos);
  auto biased = made(plain());
  biased.set_full_tensors({{"layers.0.q_proj.bias", {4}, std::vector<float>(4, 0.5F)}});
  CHECK(refusal(biased).find("no biases") != std::string::npos);
}

TEST_CASE("broken PaCA folders are refused with what is wrong") {
  CHECK(problems(by_hand().drop(q0 + "paca_indices")) == lines{"missing tensor '" + q0 + "paca_indices'"});
  CHECK(problems(by_hand().drop(q1 + "paca_delta")) == lines{"missing tensor '" + q1 + "paca_delta'"});
  CHECK(problems(by_hand().tensor<std::int64_t>(q0 + "paca_indices", {2}, {4, 4})).size() == 1);
  CHECK(problems(by_hand().tensor<std::int64_t>(q0 + "paca_indices", {2}, {1, 5})).size() == 1);
  CHECK(problems(by_hand().tensor<float>(q0 + "paca_delta", {2, 4}, std::vector<float>(8))) ==
        lines{"tensor '" + q0 + "paca_delta' is F32 [2, 4], expected F32, F16 or BF16 [4, 2]"});
  CHECK(problems(by_hand().tensor<std::int64_t>(q0 + "paca_indices", {1}, {4})).size() == 2);
  // A LoRA's names under PaCA's config, PaCA's under a LoRA's, both for one module.
  CHECK(problems(by_hand()
                     .drop(q0 + "paca_indices")
                     .drop(q0 + "paca_delta")
                     .tensor<std::int64_t>(q0 + "lora_A", {2}, {1, 4})
                     .tensor<float>(q0 + "lora_B.weight", {4, 2}, std::vector<float>(8))) ==
        lines{"missing tensor '" + q0 + "paca_indices'", "missing tensor '" + q0 + "paca_delta'",
              "unexpected tensor '" + q0 + "lora_A'", "unexpected tensor '" + q0 + "lora_B.weight'"});
  CHECK(problems(
            by_hand().config(R"({"peft_type": "LORA", "r": 2, "lora_alpha": 6, "target_modules": ["q_proj"]})"))[0] ==
        "missing tensor '" + q0 + "lora_A'");
  CHECK(problems(by_hand().tensor<float>(q0 + "lora_B.weight", {4, 2}, std::vector<float>(8))) ==
        lines{"unexpected tensor '" + q0 + "lora_B.weight'"});
  CHECK(problems(by_hand().config(std::string(config).replace(config.find("6,"), 2, "0,"))) ==
        lines{"paca_alpha: expected a positive number, got 0"});
}
