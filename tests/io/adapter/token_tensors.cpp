// Trained tokens and embeddings in adapter files: every layout and back, by PEFT's names, alone and beside a LoRA, tied
// heads, merged into files; what is refused.

#include <sbora/io/adapter/adapter_files.hpp>
#include <sbora/io/adapter/peft_lora.hpp>
#include <sbora/io/merge/adapter_changes.hpp>
#include <sbora/io/merge/merge_in_place.hpp>

#include "io/adapter/adapter_folder.hpp"
#include "support/catch.hpp"

using namespace sbora_tests;
using sbora::adapter_config;
using sbora::adapter_kind;
using sbora::model_adapter;
using sbora::model_module;
using sbora::replaced_values;
using sbora::strictness;
using lines = std::vector<std::string>;

namespace {

const std::vector<model_module> model = {{"m.embed_tokens", 9, 5}, {"m.q", 4, 5}, {"lm_head", 9, 5}};
const std::vector<model_module> tied_model = {{"m.embed_tokens", 9, 5}, {"m.q", 4, 5}};

replaced_values<float> tokens_of(const std::vector<std::pair<std::string, std::vector<index_t>>>& tables) {
  static std::vector<std::vector<float>> memory;  // what is given is copied
  replaced_values<float> replaced;
  for (const auto& [module, tokens] : tables) {
    auto& values = memory.emplace_back(random_vector<float>(5 * std::ssize(tokens), module.size()));
    replaced.tokens.push_back({module, {9, 5, sbora::region(9, tokens), values, {}}});
  }
  return replaced;
}

model_adapter<float> made(adapter_kind kind, const lines& targets = {"q"}) {
  adapter_config config;
  config.kind = kind;
  config.r = 2;
  config.target_modules.names = targets;
  auto adapter = sbora::make_adapter<float>(config, model, 3);
  fill_random(adapter.parameters(), 4);
  return adapter;
}

bool same_tokens(const model_adapter<float>& a, const model_adapter<float>& b) {
  return same_bits<float>(a.parameters(), b.parameters()) &&
         std::ranges::equal(a.tokens(), b.tokens(), [](const auto& one, const auto& other) {
           return one.module == other.module && one.tokens.target() == other.tokens.target();
         });
}

lines names_in(const std::filesystem::path& folder) {
  const auto file = sbora::safetensors_file::open(folder / "adapter_model.safetensors");
  lines names;
  for (const auto& tensor : file.tensors()) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  return names;
}

/// An adapter by hand with tokens 7 and 2 of the embedding, and what `more` says in its config.
adapter_by_hand by_hand(const std::string& more, const std::string& table = "m.embed_tokens") {
  adapter_by_hand files;
  files.config(R"({"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q"], )" + more + "}");
  files.tensor<float>("base_model.model.m.q.lora_A.weight", {1, 5}, {0, 1, 0, 0, 0});
  files.tensor<float>("base_model.model.m.q.lora_B.weight", {4, 1}, {1, 2, 3, 4});
  files.tensor<float>("base_model.model." + table + ".token_adapter.trainable_tokens_delta", {2, 5},
                      random_vector<float>(10, 1));
  return files;
}

lines refusals(const adapter_by_hand& files, const std::vector<model_module>& of = model) {
  const temporary_directory folder;
  files.write(folder.path());
  return problems_of([&] { sbora::load_adapter(folder.path(), of); });
}

}  // namespace

TEST_CASE("tokens come back from sbora's layout and PEFT's") {
  const temporary_directory folder;
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    model_adapter<float> adapter = made(kind);
    adapter.set_replaced(tokens_of({{"m.embed_tokens", {7, 2, 5}}, {"lm_head", {1}}}));
    save_sbora(adapter, folder / "native");
    save_peft_lora(adapter, folder / "peft");
    CHECK(same_tokens(sbora::load_adapter(folder / "native").adapter, adapter));  // its record has the tables
    for (const char* layout : {"native", "peft"}) {
      CAPTURE(layout);
      const auto loaded = sbora::load_adapter(folder / layout, model);
      CHECK(loaded.skipped.empty());
      CHECK(same_tokens(loaded.adapter, adapter));
      CHECK(same_adapter(loaded.adapter, adapter));
      CHECK(loaded.adapter.config().trainable_token_indices ==
            sbora::table_token_indices{{"lm_head", {1}}, {"m.embed_tokens", {7, 2, 5}}});
    }
    const std::string prefix = "base_model.model.", ending = ".token_adapter.trainable_tokens_delta";
    CHECK(names_in(folder / "peft") == lines{prefix + "lm_head" + ending, prefix + "m.embed_tokens" + ending,
                                             prefix + "m.q.lora_A.weight", prefix + "m.q.lora_B.weight"});
    const auto frozen = sbora::load_frozen_adapter(folder / "native");
    CHECK(same_tokens(*frozen, adapter));
    CHECK_ERROR(sbora::config_error, "no trained tokens",
                save_sbora(adapter, folder / "official", sbora::sbora_layout::official));
  }
}

TEST_CASE("an adapter of tokens alone is PEFT's TRAINABLE_TOKENS") {
  const temporary_directory folder;
  const model_adapter<float> adapter(adapter_kind::fb, {}, {}, tokens_of({{"m.embed_tokens", {7, 2}}}));
  save_peft_lora(adapter, folder / "peft");
  save_sbora(adapter, folder / "native");
  CHECK(names_in(folder / "peft") == lines{"base_model.model.m.embed_tokens.trainable_tokens_delta"});
  const auto config = sbora::load_adapter_config(folder / "peft").config;
  CHECK(config.peft_type == "TRAINABLE_TOKENS");
  CHECK(config.trainable_token_indices == sbora::table_token_indices{{"m.embed_tokens", {7, 2}}});
  CHECK(sbora::parse_adapter_config(adapter_config_text(config)).config == config);
  for (const char* layout : {"native", "peft"}) {
    CAPTURE(layout);
    const auto loaded = sbora::load_adapter(folder / layout, model);
    CHECK(loaded.skipped.empty());
    CHECK(loaded.adapter.size() == 0);
    CHECK(same_tokens(loaded.adapter, adapter));
    save_peft_lora(loaded.adapter, folder / "again");
    CHECK(same_tokens(sbora::load_adapter(folder / "again", model).adapter, adapter));
  }
  const model_adapter<float> others(adapter_kind::fb, {}, {}, tokens_of({{"m.embed_tokens", {7}}, {"lm_head", {1}}}));
  CHECK_ERROR(sbora::config_error, "the same tokens", save_peft_lora(others, folder / "others"));
  save_sbora(others, folder / "others");
  CHECK(same_tokens(sbora::load_adapter(folder / "others").adapter, others));
}

TEST_CASE("tokens by the names of PEFT and of whole states; a tied head's copy is left out") {
  const auto tokens = [](const adapter_by_hand& files, const std::vector<model_module>& of) {
    const temporary_directory folder;
    files.write(folder.path());
    const auto loaded = sbora::load_adapter(folder.path(), of).adapter;
    REQUIRE(loaded.tokens().size() == 1);
    CHECK(same_bits<float>(loaded.tokens()[0].tokens.parameters(), random_vector<float>(10, 1)));
    return loaded.tokens()[0].module + " " + std::to_string(loaded.tokens()[0].tokens.target().indices()[0]);
  };
  CHECK(tokens(by_hand(R"("trainable_token_indices": [7, 2])"), model) == "m.embed_tokens 7");
  CHECK(tokens(by_hand(R"("trainable_token_indices": {"embed_tokens": [2, 7], "x": [2, 7]})"), model) ==
        "m.embed_tokens 2");
  CHECK(tokens(by_hand(R"("trainable_token_indices": {"embed_tokens": [2, 7], "lm_head": [2, 7]})"), tied_model) ==
        "m.embed_tokens 2");
  auto state = by_hand(R"("trainable_token_indices": [7, 2])");
  state.drop("base_model.model.m.embed_tokens.token_adapter.trainable_tokens_delta")
      .drop("base_model.model.m.q.lora_A.weight")
      .drop("base_model.model.m.q.lora_B.weight");
  state.tensor<float>("base_model.model.m.embed_tokens.token_adapter.trainable_tokens_delta.mine", {2, 5},
                      random_vector<float>(10, 1));
  state.tensor<float>("base_model.model.m.q.lora_A.mine.weight", {1, 5}, {0, 1, 0, 0, 0});
  state.tensor<float>("base_model.model.m.q.lora_B.mine.weight", {4, 1}, {1, 2, 3, 4});
  CHECK(tokens(state, model) == "m.embed_tokens 7");

  adapter_by_hand alone;
  alone.config(R"({"peft_type": "TRAINABLE_TOKENS", "token_indices": [7, 2], "target_modules": ["embed_tokens"]})");
  for (const char* table : {"m.embed_tokens", "lm_head"}) {
    alone.tensor<float>(std::string("base_model.model.") + table + ".trainable_tokens_delta", {2, 5},
                        random_vector<float>(10, 1));
  }
  CHECK(tokens(alone, tied_model) == "m.embed_tokens 7");
}

TEST_CASE("tokens that the config or the model contradicts are refused") {
  const std::string name = "tensor 'base_model.model.m.embed_tokens.token_adapter.trainable_tokens_delta' ";
  const auto first = [](const lines& problems) { return problems.empty() ? std::string("none") : problems[0]; };
  CHECK(first(refusals(by_hand(R"("bias": "none")"))) ==
        name + "is of a table that trainable_token_indices says nothing of");
  CHECK(first(refusals(by_hand(R"("trainable_token_indices": [7, 2, 1])"))) ==
        name + "is F32 [2, 5], expected F32, F16 or BF16 [3, 5]");
  CHECK_THAT(first(refusals(by_hand(R"("trainable_token_indices": [7, 7])"))), contains("tokens that are none"));
  CHECK_THAT(first(refusals(by_hand(R"("trainable_token_indices": [7, 9])"))), contains("outside [0, 9)"));
  CHECK_THAT(first(refusals(by_hand(R"("trainable_token_indices": [7, -1])"))), contains("expected token ids"));
  CHECK(first(refusals(by_hand(R"("trainable_token_indices": [7, 2])"), {})) ==
        name + "doesn't say how large its table is; give the model's modules");
  CHECK_THAT(first(refusals(by_hand(R"("trainable_token_indices": [7, 2])", "m.other"))),
             contains("module 'm.other' is none of the model's"));
  // Of sbora's own files, whose record knows the table that the model lacks.
  const temporary_directory folder;
  model_adapter<float> adapter = made(adapter_kind::fa);
  adapter.set_replaced(tokens_of({{"m.embed_tokens", {7, 2}}}));
  save_sbora(adapter, folder.path());
  CHECK_THAT(first(problems_of([&] {
               sbora::load_adapter(folder.path(), std::vector<model_module>{{"m.q", 4, 5}});
             })),
             contains("module 'm.embed_tokens' is none of the model's"));
  const auto both = R"("trainable_token_indices": {"embed_tokens": [7, 2], "lm_head": [1]})";
  CHECK(first(refusals(by_hand(both))) == "trainable_token_indices: no tensor of 'lm_head'");
  CHECK_THAT(first(refusals(adapter_by_hand(by_hand(R"("trainable_token_indices": [7, 2])"))
                                .tensor<float>("base_model.model.m.embed_tokens.trainable_tokens_delta", {2, 5},
                                               random_vector<float>(10, 1)))),
             contains("are for one place"));
}

TEST_CASE("an embedding's halves are a linear layer's, transposed, and written as PEFT has them") {
  const temporary_directory folder;
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    const model_adapter<float> adapter = made(kind, {"q", "embed_tokens", "lm_head"});
    save_peft_lora(adapter, folder.path());
    const auto file = sbora::safetensors_file::open(folder / "adapter_model.safetensors");
    const auto a = file.at("base_model.model.m.embed_tokens.lora_embedding_A"),
               b = file.at("base_model.model.m.embed_tokens.lora_embedding_B");
    CHECK(a.shape == std::vector<index_t>{2, 9});
    CHECK(b.shape == std::vector<index_t>{5, 2});
    // W + (B·A)ᵀ·scale is W + scale·ΔW of sbora's.
    const auto values_a = a.copy<float>(), values_b = b.copy<float>();
    adapter.visit("m.embed_tokens", [&](const auto& part) {
      for (index_t v = 0; v < 9; ++v) {
        for (index_t f = 0; f < 5; ++f) {
          float peft = 0, ours = 0;
          for (index_t j = 0; j < 2; ++j) {
            const auto at = [](const auto& values, index_t i) { return values[static_cast<std::size_t>(i)]; };
            peft += at(values_b, f * 2 + j) * at(values_a, j * 9 + v);
            const index_t index = at(part.target().indices(), j);
            if (kind == adapter_kind::fa && index == f) ours += part.matrix()(v, j);
            if (kind == adapter_kind::fb && index == v) ours += part.matrix()(j, f);
          }
          CHECK(peft == ours);
        }
      }
    });
    CHECK(file.find("base_model.model.lm_head.lora_A.weight") != nullptr);
    const auto loaded = sbora::load_adapter(folder.path(), model);
    CHECK(loaded.skipped.empty());
    CHECK(same_adapter(loaded.adapter, adapter));
  }
}

TEST_CASE("tables of other names, bases that PEFT saves beside them, and copies of tied heads") {
  const auto embedding = [](const std::string& table, const std::string& more) {
    adapter_by_hand files;
    files.config(R"({"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": [")" + table + "\"]" + more + "}");
    files.tensor<float>("base_model.model." + table + ".lora_embedding_A", {1, 3}, {0, 1, 0});
    files.tensor<float>("base_model.model." + table + ".lora_embedding_B", {2, 1}, {1, 2});
    return files;
  };
  const std::vector<model_module> tables = {{"m.codes", 3, 2}, {"m.embed_tokens", 3, 2}};
  const temporary_directory folder;
  embedding("m.codes", "").write(folder / "a");
  const auto codes = sbora::load_adapter(folder / "a", tables).adapter;
  CHECK(codes.kind() == adapter_kind::fb);
  CHECK(codes.fb("m.codes").target().indices()[0] == 1);
  CHECK(codes.config().embedding_modules == lines{"m.codes"});
  save_sbora(codes, folder / "native");
  save_peft_lora(sbora::load_adapter(folder / "native").adapter, folder / "again");
  CHECK(names_in(folder / "again") ==
        lines{"base_model.model.m.codes.lora_embedding_A", "base_model.model.m.codes.lora_embedding_B"});

  auto tied = embedding("m.embed_tokens", R"(, "ensure_weight_tying": true)");
  tied.tensor<float>("base_model.model.m.embed_tokens.base_layer.weight", {3, 2}, std::vector<float>(6, 1.0F));
  tied.tensor<float>("base_model.model.lm_head.lora_A.weight", {1, 2}, {1, 2});
  tied.tensor<float>("base_model.model.lm_head.lora_B.weight", {3, 1}, {0, 1, 0});
  tied.write(folder / "tied");
  const auto loaded = sbora::load_adapter(folder / "tied", tables);
  CHECK(loaded.adapter.modules() == lines{"m.embed_tokens"});
  CHECK(loaded.skipped == lines{"tensor 'base_model.model.m.embed_tokens.base_layer.weight' is the base's own, which "
                                "PEFT saves beside adapters of embeddings"});
  CHECK(loaded.adapter.config().ensure_weight_tying);
  tied.tensor<float>("base_model.model.lm_head.lora_A.weight", {1, 2}, {1, 3});
  CHECK(refusals(tied, tables) == lines{"tensors of module 'lm_head', which the config doesn't choose"});
  auto mixed = embedding("m.embed_tokens", "");
  mixed.tensor<float>("base_model.model.m.embed_tokens.lora_B.weight", {3, 1}, {0, 1, 0});
  CHECK(refusals(mixed, tables)[0] == "unexpected tensor 'base_model.model.m.embed_tokens.lora_embedding_A'");

  auto whole = embedding("m.codes", R"(, "modules_to_save": ["embed_tokens"], "ensure_weight_tying": true)");
  for (const char* name : {"m.embed_tokens.weight", "lm_head.weight"}) {
    whole.tensor<float>(std::string("base_model.model.") + name, {3, 2}, {1, 2, 3, 4, 5, 6});
  }
  whole.write(folder / "whole");
  const auto saved = sbora::load_adapter(folder / "whole", tables).adapter;
  REQUIRE(saved.full_tensors().size() == 1);
  CHECK(saved.full_tensors()[0].name() == "m.embed_tokens.weight");
}

TEMPLATE_TEST_CASE("tokens are merged into files, and come out again", "", float, Eigen::bfloat16, Eigen::half) {
  const temporary_directory folder;
  const auto file = folder / "model.safetensors";
  const auto table = random_vector<TestType>(9 * 5, 1), q = random_vector<TestType>(4 * 5, 2);
  const auto type = sbora::dtype_of<TestType>;
  const std::vector<sbora::tensor_view> tensors = {
      {"m.embed_tokens.weight", type, {9, 5}, std::as_bytes(std::span(table))},
      {"m.q.weight", type, {4, 5}, std::as_bytes(std::span(q))}};
  sbora::write_safetensors(file, tensors);
  const std::string before = read_file(file);
  model_adapter<float> adapter = made(adapter_kind::fa);
  adapter.set_replaced(tokens_of({{"m.embed_tokens", {7, 2}}}));
  const sbora::weight_changes changes = adapter_changes(adapter);
  CHECK(changes.size() == 2);
  write_merged_checkpoint(sbora::checkpoint::open(file), changes, folder / "copy.safetensors");
  sbora::merge_in_place(file, changes);
  CHECK(read_file(file) == read_file(folder / "copy.safetensors"));
  auto expected = table;
  const auto rows = adapter.tokens("m.embed_tokens").parameters();
  for (std::size_t i = 0; i < 5; ++i) {
    expected[7 * 5 + i] = static_cast<TestType>(rows[i]);
    expected[2 * 5 + i] = static_cast<TestType>(rows[5 + i]);
  }
  const auto values = [&] {
    const auto merged = sbora::checkpoint::open(file);
    return merged.at("m.embed_tokens.weight").template copy<TestType>();
  };
  CHECK(same_bits<TestType>(values(), expected));
  sbora::unmerge_in_place(file);
  CHECK(read_file(file) == before);

  adapter.tokens("m.embed_tokens").parameters()[6] = std::numeric_limits<float>::infinity();
  CHECK_ERROR(sbora::not_finite_error, "row 2, column 1 of 'm.embed_tokens.weight'",
              sbora::merge_in_place(file, changes));
  sbora::weight_changes both = changes;
  both.at("m.embed_tokens.weight").deltas = both.at("m.q.weight").deltas;
  CHECK_ERROR(sbora::checkpoint_error, "in its place", sbora::merge_in_place(file, both));
  CHECK(read_file(file) == before);
}
