// Full tensors in adapter files: biases and modules_to_save as PEFT, the official code and sbora write them.

#include <sbora/io/adapter/adapter_files.hpp>
#include <sbora/io/adapter/peft_lora.hpp>

#include "io/adapter/adapter_folder.hpp"
#include "support/catch.hpp"

using namespace sbora_tests;
using sbora::adapter_config;
using sbora::adapter_kind;
using sbora::bias_training;
using sbora::checkpoint_error;
using sbora::full_tensor;
using sbora::model_adapter;
using sbora::model_module;
using sbora::strictness;
using lines = std::vector<std::string>;

namespace {

const std::vector<model_module> model = {{"m.0.q", 4, 5}, {"m.0.v", 3, 5}};

full_tensor<float> full(std::string name, std::vector<index_t> shape, std::uint64_t seed) {
  return {std::move(name), shape, random_vector<float>(*sbora::detail::size_product(shape), seed)};
}

/// On q alone: a bias of it, one of another module, a normalisation and a head.
model_adapter<float> made(adapter_kind kind = adapter_kind::fa) {
  adapter_config config;
  config.kind = kind;
  config.r = 2;
  config.target_modules.names = {"q"};
  auto adapter = sbora::make_adapter<float>(config, model, 3);
  fill_random(adapter.parameters(), 4);
  adapter.set_full_tensors({full("lm_head.weight", {7, 5}, 1), full("m.0.norm.weight", {5}, 2),
                            full("m.0.o.bias", {6}, 3), full("m.0.q.bias", {4}, 4)});
  return adapter;
}

bool same_full(const model_adapter<float>& a, const model_adapter<float>& b) {
  const auto same = [](const full_tensor<float>& one, const full_tensor<float>& other) {
    return one.name() == other.name() && one.shape() == other.shape() &&
           same_bits<float>(one.parameters(), other.parameters());
  };
  return std::equal(a.full_tensors().begin(), a.full_tensors().end(), b.full_tensors().begin(), b.full_tensors().end(),
                    same);
}

lines names_in(const std::filesystem::path& folder) {
  const auto file = sbora::safetensors_file::open(folder / "adapter_model.safetensors");
  lines names;
  for (const auto& tensor : file.tensors()) {
    if (tensor.name.find("lora_") == std::string::npos) names.push_back(tensor.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// A LoRA by hand on q, with what `whole` says in its config.
adapter_by_hand lora(const std::string& whole) {
  adapter_by_hand files;
  files.config(R"({"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q"])" + whole + "}");
  files.tensor<float>("base_model.model.m.0.q.lora_A.weight", {1, 5}, {0, 1, 0, 0, 0});
  files.tensor<float>("base_model.model.m.0.q.lora_B.weight", {4, 1}, {1, 2, 3, 4});
  return files;
}

lines full_names(const adapter_by_hand& files, strictness mode = strictness::strict) {
  const temporary_directory folder;
  files.write(folder.path());
  lines names;
  const auto loaded = sbora::load_adapter(folder.path(), model, mode);
  for (const auto& tensor : loaded.adapter.full_tensors()) {
    names.push_back(tensor.name());
  }
  return names;
}

lines refusals(const adapter_by_hand& files) {
  const temporary_directory folder;
  files.write(folder.path());
  return problems_of([&] { sbora::load_adapter(folder.path(), model); });
}

}  // namespace

TEST_CASE("full tensors come back from every layout, with configs that say them") {
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    const temporary_directory folder;
    const model_adapter<float> adapter = made(kind);
    save_sbora(adapter, folder / "native");
    save_sbora(adapter, folder / "official", sbora::sbora_layout::official);
    save_peft_lora(adapter, folder / "peft");
    for (const char* layout : {"native", "official", "peft"}) {
      CAPTURE(layout);
      const auto loaded = sbora::load_adapter(folder / layout, model);
      CHECK(loaded.skipped.empty());
      CHECK(same_adapter(loaded.adapter, adapter));
      CHECK(same_full(loaded.adapter, adapter));
      CHECK(loaded.adapter.config().bias == bias_training::all);  // m.0.o has no adapter
      CHECK(loaded.adapter.config().modules_to_save == lines{"lm_head", "m.0.norm"});
      // And again from there.
      save_peft_lora(loaded.adapter, folder / "again");
      CHECK(same_full(sbora::load_adapter(folder / "again", model).adapter, adapter));
    }
    const std::string prefix = "base_model.model.";
    CHECK(names_in(folder / "peft") == lines{prefix + "lm_head.weight", prefix + "m.0.norm.weight",
                                             prefix + "m.0.o.bias", prefix + "m.0.q.base_layer.bias"});
    CHECK(names_in(folder / "official").back() == prefix + "m.0.q.bias");
  }
}

TEST_CASE("a config says no more of biases than it takes") {
  const temporary_directory folder;
  model_adapter<float> adapter = made();
  adapter.set_full_tensors({full("m.0.q.bias", {4}, 1)});
  save_peft_lora(adapter, folder.path());
  const auto loaded = sbora::load_adapter(folder.path(), model).adapter;
  CHECK(loaded.config().bias == bias_training::adapted);
  CHECK(loaded.config().modules_to_save.empty());
  CHECK(same_full(loaded, adapter));
  adapter.set_full_tensors({});
  save_peft_lora(adapter, folder.path());
  CHECK(sbora::load_adapter_config(folder.path()).config.bias == bias_training::none);
}

TEST_CASE("full tensors by the names of PEFT, of whole states and of wrapped models; narrow ones widened") {
  auto files =
      lora(R"(, "bias": "lora_only", "modules_to_save": ["norm", "score"])");  // SEQ_CLS names what isn't there
  files.tensor<float>("base_model.model.m.0.q.base_layer.bias", {4}, {1, 2, 3, 4});
  files.tensor<Eigen::bfloat16>("base_model.model.m.0.input_layernorm.weight", {2},
                                {Eigen::bfloat16(1.5F), Eigen::bfloat16(-2.0F)});
  files.tensor<float>("base_model.model.m.norm.inner.gain", {}, {3});
  CHECK(full_names(files) == lines{"m.0.input_layernorm.weight", "m.0.q.bias", "m.norm.inner.gain"});

  auto state = lora(R"(, "modules_to_save": ["norm"])");
  state.tensor<float>("base_model.model.m.norm.modules_to_save.default.weight", {1}, {3});
  CHECK(full_names(state) == lines{"m.norm.weight"});
  auto compiled = lora(R"(, "bias": "all")");
  compiled.tensor<float>("base_model.model.m._orig_mod.0.o.bias", {1}, {3});
  CHECK(full_names(compiled) == lines{"m.0.o.bias"});

  const temporary_directory folder;
  files.write(folder.path());
  const auto loaded = sbora::load_adapter<double>(folder.path(), model).adapter;
  CHECK(std::ranges::equal(loaded.full_tensors()[0].parameters(), std::vector<double>{1.5, -2}));
  CHECK(loaded.full_tensors()[2].shape().empty());
}

TEST_CASE("what the config doesn't choose is refused, or left out") {
  const std::string bias = "base_model.model.m.0.q.base_layer.bias", other = "base_model.model.m.0.o.bias",
                    norm = "base_model.model.m.0.norm.weight";
  const auto with = [&](const std::string& whole) {
    auto files = lora(whole);
    return files.tensor<float>(bias, {1}, {1}).tensor<float>(other, {1}, {1}).tensor<float>(norm, {1}, {1});
  };
  const auto unexpected = [](const std::string& name) { return "unexpected tensor '" + name + "'"; };
  CHECK(refusals(with("")) == lines{unexpected(norm), unexpected(other), unexpected(bias)});
  CHECK(refusals(with(R"(, "bias": "lora_only")")) == lines{unexpected(norm), unexpected(other)});
  CHECK(refusals(with(R"(, "bias": "all")")) == lines{unexpected(norm)});
  CHECK(refusals(with(R"(, "modules_to_save": ["norm", "q"])")) == lines{unexpected(other)});
  CHECK(full_names(with(R"(, "bias": "all")"), strictness::lenient) == lines{"m.0.o.bias", "m.0.q.bias"});

  CHECK(refusals(lora(R"(, "modules_to_save": ["norm"])")) == lines{"modules_to_save: no tensor of 'norm'"});
  CHECK(full_names(lora(R"(, "bias": "all")")).empty());  // a model without any
  auto weight = lora(R"(, "modules_to_save": ["q"])");
  weight.tensor<float>("base_model.model.m.0.q.base_layer.weight", {4, 5}, std::vector<float>(20));
  CHECK(refusals(weight)[0] == unexpected("base_model.model.m.0.q.base_layer.weight"));
  auto twice = lora(R"(, "bias": "all")");
  twice.tensor<float>("base_model.model.m.0.q.base_layer.bias", {1}, {1})
      .tensor<float>("base_model.model.m.0.q.bias", {1}, {1});
  CHECK(refusals(twice)[0].ends_with("are for one place"));
  auto integers = lora(R"(, "bias": "all")");
  integers.tensor<std::int32_t>(bias, {2}, {1, 2});
  CHECK(refusals(integers) == lines{"tensor '" + bias + "' is I32 [2], expected F32, F16 or BF16"});
  auto original = lora(R"(, "modules_to_save": ["norm"])");
  original.tensor<float>("base_model.model.m.norm.original_module.weight", {1}, {1});
  CHECK(refusals(original)[0] == unexpected("base_model.model.m.norm.original_module.weight"));
  auto lora_bias = lora(R"(, "bias": "all")");
  lora_bias.tensor<float>("base_model.model.m.0.q.lora_B.bias", {4}, {1, 2, 3, 4});
  CHECK(refusals(lora_bias) == lines{unexpected("base_model.model.m.0.q.lora_B.bias")});
}

TEST_CASE("an adapter refuses full tensors that it can't have, and keeps its own") {
  model_adapter<float> adapter = made();
  CHECK_ERROR(sbora::config_error, "comes twice", adapter.set_full_tensors({full("a", {1}, 1), full("a", {1}, 2)}));
  CHECK_ERROR(sbora::config_error, "has no name", adapter.set_full_tensors({full("", {1}, 1)}));
  CHECK_ERROR(sbora::config_error, "the weight of a module that has an adapter",
              adapter.set_full_tensors({full("m.0.q.weight", {4, 5}, 1)}));
  CHECK_ERROR(sbora::shape_error, "has 2 values, its shape has 3", adapter.set_full_tensors({{"a", {3}, {1, 2}}}));
  CHECK_ERROR(sbora::shape_error, "-1 x 3", adapter.set_full_tensors({{"a", {-1, 3}, {}}}));
  CHECK(same_full(adapter, made()));
}
