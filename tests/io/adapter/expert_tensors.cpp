// Adapters of stacks of experts in files: PEFT's two halves of a stack by their definition, two stacks of one module
// one around the other, round trips through every layout that can say them, what is refused.

#include <sbora/io/adapter/adapter_files.hpp>
#include <sbora/io/adapter/peft_lora.hpp>

#include "io/adapter/adapter_folder.hpp"
#include "support/catch.hpp"

using namespace sbora_tests;
using sbora::adapter_config;
using sbora::adapter_kind;
using sbora::model_adapter;
using sbora::model_module;
using lines = std::vector<std::string>;

namespace {

constexpr index_t experts = 3;
const std::string gate_up = "m.0.mlp.experts.gate_up_proj", down = "m.0.mlp.experts.down_proj";

std::string member(const std::string& stack, index_t e) { return stack + "[" + std::to_string(e) + "]"; }

std::vector<model_module> model() {
  std::vector<model_module> modules = {{"m.0.q", 4, 5}};
  for (index_t e = 0; e < experts; ++e) modules.push_back({member(gate_up, e), 6, 5});
  for (index_t e = 0; e < experts; ++e) modules.push_back({member(down, e), 5, 3});
  return modules;
}

model_adapter<float> made(adapter_kind kind, const lines& parameters = {"gate_up_proj", "experts.down_proj"}) {
  adapter_config config;
  config.kind = kind;
  config.r = 2;
  config.lora_alpha = 3;
  config.target_modules.names = {"q"};
  config.target_parameters = parameters;
  config.rank_pattern = {{"experts\\.gate_up_proj", 3}};
  auto adapter = sbora::make_adapter<float>(config, model(), 3);
  fill_random(adapter.parameters(), 4);
  return adapter;
}

std::vector<float> values(const sbora::safetensors_file& file, const std::string& name,
                          const std::vector<index_t>& shape) {
  const sbora::tensor_view& tensor = file.at("base_model.model." + name);
  CHECK(tensor.shape == shape);
  return tensor.copy<float>();
}

/// Halves of one stack by hand, all FA with column e: A's row is one-hot, and B's columns count up.
adapter_by_hand by_hand(const std::string& config, const std::string& module = "m.0.mlp.experts") {
  adapter_by_hand files;
  files.config(R"({"peft_type": "LORA", "r": 1, "lora_alpha": 1, )" + config + "}");
  files.tensor<float>("base_model.model." + module + ".lora_A.weight", {3, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1});
  std::vector<float> b(15);
  for (std::size_t i = 0; i < 15; ++i) b[i] = static_cast<float>(i);
  files.tensor<float>("base_model.model." + module + ".lora_B.weight", {5, 3}, b);
  return files;
}

lines refusals(const adapter_by_hand& files, const std::vector<model_module>& of = model()) {
  const temporary_directory folder;
  files.write(folder.path());
  return problems_of([&] { sbora::load_adapter(folder.path(), of); });
}

}  // namespace

TEST_CASE("PEFT's halves of a stack: an expert's rows of A together, its columns of B apart") {
  const temporary_directory folder;
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    const model_adapter<float> adapter = made(kind);
    save_peft_lora(adapter, folder.path());
    const auto file = sbora::safetensors_file::open(folder / "adapter_model.safetensors");
    const auto check = [&](const std::string& stack, const std::string& owner, index_t rank, index_t d_out,
                           index_t d_in) {
      const auto a = values(file, owner + ".lora_A.weight", {experts * rank, d_in});
      const auto b = values(file, owner + ".lora_B.weight", {d_out, rank * experts});
      for (index_t e = 0; e < experts; ++e) {
        adapter.visit(member(stack, e), [&](const auto& part) {
          for (index_t o = 0; o < d_out; ++o) {
            for (index_t i = 0; i < d_in; ++i) {
              float theirs = 0, ours = 0;
              for (index_t j = 0; j < rank; ++j) {
                theirs += b[static_cast<std::size_t>(o * rank * experts + j * experts + e)] *
                          a[static_cast<std::size_t>((e * rank + j) * d_in + i)];
                const index_t hot = part.target().indices()[static_cast<std::size_t>(j)];
                if (kind == adapter_kind::fa && hot == i) ours += part.matrix()(o, j);
                if (kind == adapter_kind::fb && hot == o) ours += part.matrix()(j, i);
              }
              CHECK(theirs == ours);
            }
          }
        });
      }
    };
    check(gate_up, "m.0.mlp.experts.base_layer", 3, 6, 5);
    check(down, "m.0.mlp.experts", 2, 5, 3);
  }
}

TEST_CASE("adapters of experts come back from sbora's layout and PEFT's") {
  const temporary_directory folder;
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    const model_adapter<float> adapter = made(kind);
    CHECK(adapter.size() == 1 + 2 * experts);
    CHECK(adapter.visit(member(gate_up, 1), [](const auto& part) { return part.rank(); }) == 3);
    save_sbora(adapter, folder / "native");
    save_peft_lora(adapter, folder / "peft");
    CHECK(same_adapter(sbora::load_adapter(folder / "native").adapter, adapter));
    for (const char* layout : {"native", "peft"}) {
      CAPTURE(layout);
      const auto loaded = sbora::load_adapter(folder / layout, model());
      CHECK(loaded.skipped.empty());
      CHECK(same_adapter(loaded.adapter, adapter));
      CHECK(loaded.adapter.config().target_parameters == lines{"gate_up_proj", "experts.down_proj"});
      const auto config = loaded.adapter.config();
      CHECK(sbora::parse_adapter_config(adapter_config_text(config)).config == config);
    }
    CHECK_ERROR(sbora::config_error, "no stacks of experts",
                save_sbora(adapter, folder / "official", sbora::sbora_layout::official));
  }
}

TEST_CASE("adapters of some experts are sbora's own") {
  const temporary_directory folder;
  std::vector<sbora::adapter_part> parts;
  for (const index_t e : {0, 2}) parts.push_back({member(down, e), 5, 3, sbora::region(3, {e}), 2});
  const model_adapter<float> adapter(adapter_kind::fa, {}, std::move(parts));
  save_sbora(adapter, folder / "native");
  CHECK(same_adapter(sbora::load_adapter(folder / "native", model()).adapter, adapter));
  CHECK_ERROR(sbora::config_error, "'" + down + "[1]': PEFT has one rank", save_peft_lora(adapter, folder / "peft"));
  CHECK_FALSE(std::filesystem::exists(folder / "peft"));
}

TEST_CASE("which stack halves are of, is told by names, or by sizes") {
  const temporary_directory folder;
  const auto modules = [&](const adapter_by_hand& files, const std::vector<model_module>& of) {
    files.write(folder.path());
    return sbora::load_adapter(folder.path(), of).adapter.modules();
  };
  const lines expected = {member(down, 0), member(down, 1), member(down, 2)};
  CHECK(modules(by_hand(R"("target_parameters": ["experts.down_proj"])"), {}) == expected);
  CHECK(modules(by_hand(R"("target_parameters": ["down_proj"])"), model()) == expected);
  CHECK(modules(by_hand(R"("target_parameters": ["experts.gate_up_proj", "experts.down_proj"])"),
                {{member(down, 0), 5, 3}, {member(down, 1), 5, 3}, {member(down, 2), 5, 3}}) == expected);
  const auto adapter = sbora::load_adapter(folder.path(), model(), sbora::strictness::lenient).adapter;
  CHECK(adapter.fa(member(down, 1)).target().indices()[0] == 1);
  CHECK(adapter.fa(member(down, 1)).matrix()(2, 0) == 7);
  CHECK(modules(by_hand(R"("target_parameters": ["q.weight"], "rank_pattern": {"q.weight": 3})", "m.0.q"),
                {{"m.0.q", 5, 3}}) == lines{"m.0.q"});
}

TEST_CASE("halves of stacks that can't be told or don't fit are refused") {
  const std::string name = "tensor 'base_model.model.m.0.mlp.experts.lora_A.weight' ";
  const auto both = R"("target_parameters": ["experts.gate_up_proj", "experts.down_proj"])";
  CHECK(refusals(by_hand(both), {})[0] ==
        name + "may be of '" + gate_up + "' or '" + down + "'; give the model's modules");
  CHECK(refusals(by_hand(R"("target_parameters": ["experts.gate_up_proj"])"))[0] ==
        name + "is of none of the target_parameters that the model has with these sizes");
  CHECK(refusals(by_hand(R"("target_parameters": ["experts.down_proj"], "rank_pattern": {"down_proj": 2})"))[0] ==
        name + "is [3, 3], the config says rank 2: expected as many rows for each expert");
  auto fewer = by_hand(R"("target_parameters": ["experts.down_proj"])");
  fewer.tensor<float>("base_model.model.m.0.mlp.experts.lora_A.weight", {2, 3}, {1, 0, 0, 0, 1, 0});
  fewer.tensor<float>("base_model.model.m.0.mlp.experts.lora_B.weight", {5, 2}, std::vector<float>(10));
  CHECK(refusals(fewer)[0] == "missing tensor 'base_model.model." + member(down, 2) + ".lora_A.weight'");
  auto dense = by_hand(R"("target_parameters": ["experts.down_proj"])");
  dense.tensor<float>("base_model.model.m.0.mlp.experts.lora_A.weight", {3, 3}, {1, 0, 0, 0, 2, 0, 0, 0, 1});
  CHECK_THAT(refusals(dense)[0], contains("module '" + member(down, 1) + "' is no SBoRA adapter"));
  model_adapter<float> dropping = made(adapter_kind::fa);
  adapter_config config = dropping.config();
  config.lora_dropout = 0.5;
  const temporary_directory folder;
  CHECK_ERROR(sbora::config_error, "no dropout with stacks",
              save_peft_lora(model_adapter<float>(adapter_kind::fa, config, dropping.parts()), folder / "peft"));
}
