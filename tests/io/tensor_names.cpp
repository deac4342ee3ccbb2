// Names as wrappers leave them: of adapters' tensors, of checkpoints', and what is said where they fit nothing.

#include <sbora/io/tensor_names.hpp>

#include "io/adapter/adapter_folder.hpp"
#include "io/merge/merge_case.hpp"

#include <sbora/io/checkpoint/checkpoint_weights.hpp>
#include <sbora/io/adapter/peft_lora.hpp>

using namespace sbora_tests;
using sbora::load_adapter;
using sbora::model_module;
using sbora::strictness;
using sbora::detail::without_wrappers;

namespace {

using lines = std::vector<std::string>;

const std::vector<model_module> model = {{"model.layers.0.q_proj", 6, 5}, {"model.layers.1.q_proj", 6, 5}};
const lines modules = {model[0].name, model[1].name};

/// An FA LoRA of both modules, its tensors named by name_of(module, "A" or "B").
template <class Name>
adapter_by_hand lora(Name&& name_of) {
  adapter_by_hand files;
  files.config(R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]})");
  for (const model_module& module : model) {
    files.tensor<float>(name_of(module.name, "A"), {2, 5}, {0, 0, 0, 1, 0, 1, 0, 0, 0, 0});
    files.tensor<float>(name_of(module.name, "B"), {6, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  }
  return files;
}

/// The same as SBoRA's authors have it.
template <class Name>
adapter_by_hand official(Name&& name_of) {
  adapter_by_hand files;
  files.config(
      R"({"peft_type": "SBORA", "adapter_name": "sbora_fa", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]})");
  for (const model_module& module : model) {
    files.tensor<std::int64_t>(name_of(module.name, "A"), {2}, {3, 0});
    files.tensor<float>(name_of(module.name, "B"), {6, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  }
  return files;
}

std::string said(const adapter_by_hand& files, std::span<const model_module> of = model,
                 strictness mode = strictness::strict) {
  const temporary_directory folder;
  files.write(folder.path());
  const std::string text = message_of<sbora::checkpoint_error>([&] { load_adapter(folder.path(), of, mode); });
  CHECK(std::count(text.begin(), text.end(), '\n') < 20);
  return text;
}

std::string plain(const std::string& module, const std::string& half) {
  return "base_model.model." + module + ".lora_" + half + ".weight";
}

}  // namespace

TEST_CASE("wrappers' parts go wherever they are, and prefixes where all names have them") {
  CHECK(without_wrappers({"_orig_mod.a.b", "c"}) == lines{"a.b", "c"});
  CHECK(without_wrappers({"a._orig_mod.b._checkpoint_wrapped_module.c", "_fsdp_wrapped_module.d"}) ==
        lines{"a.b.c", "d"});
  CHECK(without_wrappers({"module.a", "module.b.module"}) == lines{"a", "b.module"});
  CHECK(without_wrappers({"module.a", "b"}) == lines{"module.a", "b"});
  CHECK(without_wrappers({"module._orig_mod.base_model.model.module.a"}) == lines{"a"});
  CHECK(without_wrappers({"base_model.model.base_model.model.a.b"}) == lines{"a.b"});
  CHECK(without_wrappers({"base_model.model.", "module.", "_orig_mod", ""}) ==
        lines{"base_model.model.", "module.", "_orig_mod", ""});
  CHECK(without_wrappers({"a_orig_mod.b", "a._orig_mods.b"}) == lines{"a_orig_mod.b", "a._orig_mods.b"});
  CHECK(without_wrappers({}).empty());
}

TEST_CASE("an adapter is the same one whatever wraps its names") {
  const temporary_directory folder;
  lora(plain).write(folder / "plain");
  const auto expected = load_adapter(folder / "plain", model).adapter;
  const auto end = [](const std::string& half) { return ".lora_" + half + ".weight"; };
  const std::string peft = "base_model.model.";
  using name = std::function<std::string(const std::string&, const std::string&)>;
  const std::map<std::string, name> ways = {
      {"torch.compile", [&](auto& m, auto& h) { return "_orig_mod." + peft + m + end(h); }},
      {"torch.compile before PEFT", [&](auto& m, auto& h) { return peft + "_orig_mod." + m + end(h); }},
      {"DDP", [&](auto& m, auto& h) { return "module." + peft + m + end(h); }},
      {"DDP before PEFT", [&](auto& m, auto& h) { return peft + "module." + m + end(h); }},
      {"DDP of a compiled one", [&](auto& m, auto& h) { return "module._orig_mod." + peft + m + end(h); }},
      {"FSDP",
       [&](auto& m, auto& h) {
         return "_fsdp_wrapped_module." + peft + "model._fsdp_wrapped_module." + m.substr(6) + end(h);
       }},
      {"no prefix", [&](auto& m, auto& h) { return m + end(h); }},
      {"twice", [&](auto& m, auto& h) { return peft + peft + m + end(h); }},
      {"with its name", [&](auto& m, auto& h) { return peft + m + ".lora_" + h + ".default.weight"; }},
      {"all of it",
       [&](auto& m, auto& h) { return "module._orig_mod." + peft + peft + m + ".lora_" + h + ".my-first.weight"; }}};
  for (const auto& [way, name_of] : ways) {
    CAPTURE(way);
    lora(name_of).write(folder / way);
    CHECK(same_adapter(load_adapter(folder / way, model).adapter, expected));
    if (way != "DDP before PEFT") CHECK(load_adapter(folder / way).adapter.modules() == modules);
  }
}

TEST_CASE("indices too, where SBoRA's authors' code saved a state") {
  const temporary_directory folder;
  official([](auto& m, auto& h) {
    return "base_model.model." + m + ".lora_" + h + (h == "B" ? ".weight" : "");
  }).write(folder / "plain");
  official([](auto& m, auto& h) {
    return "module.base_model.model." + m + ".lora_" + h + ".default" + (h == "B" ? ".weight" : "");
  }).write(folder / "state");
  CHECK(same_adapter(load_adapter(folder / "plain", model).adapter, load_adapter(folder / "state", model).adapter));
}

TEST_CASE("names are the files' own where only some have a wrapper's prefix") {
  const auto problem_of = [](const std::string& stray) {
    auto files = lora(plain);
    return said(files.tensor<float>(stray, {1}, {0}));
  };
  for (const std::string stray : {"model.layers.0.q_proj.lora_A.weight", "module.x.lora_A.weight", "lora_A.weight",
                                  "base_model.model.x.lora_B.bias", "base_model.model.x.lora_A.default.weight"}) {
    CHECK_THAT(problem_of(stray), contains("unexpected tensor '" + stray + "'"));
  }
  CHECK(problem_of("module." + plain("y", "A")).find("unexpected") == std::string::npos);  // in front of PEFT's own
}

TEST_CASE("a model that has a part called module keeps it") {
  const std::vector<model_module> own = {{"module.q_proj", 6, 5}};
  const temporary_directory folder;
  adapter_by_hand files;
  files.config(R"({"peft_type": "LORA", "r": 1, "target_modules": ["q_proj"]})")
      .tensor<float>(plain("module.q_proj", "A"), {1, 5}, {0, 0, 0, 1, 0})
      .tensor<float>(plain("module.q_proj", "B"), {6, 1}, {1, 2, 3, 4, 5, 6})
      .write(folder.path());
  CHECK(load_adapter(folder.path(), own).adapter.modules() == lines{"module.q_proj"});
  CHECK(load_adapter(folder.path()).adapter.modules() == lines{"module.q_proj"});
}

TEST_CASE("two adapters in one file, or two tensors for one place, are refused") {
  auto files = lora([](auto& m, auto& h) {
    return "base_model.model." + m + ".lora_" + h + (m.find('0') < m.size() ? ".one" : ".two") + ".weight";
  });
  CHECK_THAT(said(files), contains("is of the adapter 'two', others are of 'one': save one adapter alone"));
  auto twice = lora(plain);
  twice.tensor<float>("_orig_mod." + plain(model[0].name, "A"), {2, 5}, std::vector<float>(10));
  CHECK_THAT(said(twice), contains("are for one place"));
}

TEST_CASE("where all problems have one cause, that is said, once, with what helps") {
  CHECK_THAT(
      said(adapter_by_hand().config("{\"peft_type\": \"LORA\"}")),
      contains("can't be loaded: its file has no tensors, so nothing was trained or saved; save the adapter again"));
  adapter_by_hand gone;
  gone.config("{\"peft_type\": \"LORA\"}");
  for (const model_module& module : model)
    gone.tensor<float>(plain(module.name, "A"), {0}, {}).tensor<float>(plain(module.name, "B"), {0}, {});
  CHECK_THAT(said(gone), contains("its tensors have no elements, as DeepSpeed ZeRO-3 saves what it didn't gather"));
  adapter_by_hand whole;
  whole.config("{\"peft_type\": \"LORA\"}")
      .tensor<float>("model.norm.weight", {2}, {1, 1})
      .tensor<float>("lm_head.weight", {1, 1}, {1});
  CHECK_THAT(said(whole),
             contains("none of its 2 tensors, such as 'lm_head.weight', is MODULE.lora_A or MODULE.lora_B"));
  CHECK_THAT(
      said(lora(plain).config(R"({"peft_type": "LORA", "r": 2, "target_modules": ["v_proj"]})")),
      contains("choose none of the 2 modules that it has tensors of, such as 'model.layers.0.q_proj'; correct them"));
  const std::vector<model_module> headless = {{"layers.0.q_proj", 6, 5}, {"layers.1.q_proj", 6, 5}};
  CHECK_THAT(said(lora(plain), headless), contains("the names of its modules have 'model.' in front, unlike the "
                                                   "model's: 'model.layers.0.q_proj' is 'layers.0.q_proj' there"));
  const std::vector<model_module> deeper = {{"language.model.layers.0.q_proj", 6, 5}};
  CHECK_THAT(said(lora(plain), deeper), contains("the names of its modules lack 'language.' in front"));
  const std::vector<model_module> other = {{"transformer.h.0.c_attn", 6, 5}};
  CHECK_THAT(
      said(lora(plain).config(R"({"peft_type": "LORA", "r": 2, "base_model_name_or_path": "meta/llama"})"), other),
      contains("none of its 2 modules, such as 'model.layers.0.q_proj', is one of the model's 1, such as "
               "'transformer.h.0.c_attn'; give the base that it was trained on, 'meta/llama'"));
  CHECK_THAT(said(lora(plain), other, strictness::lenient), contains("none of its 2 modules"));
}

TEST_CASE("several hundred problems are a few lines, each kind counted") {
  adapter_by_hand files = lora(plain);
  for (int i = 0; i < 300; ++i) files.tensor<float>("base_model.model.layers." + std::to_string(i) + ".bias", {1}, {0});
  files.drop(plain(model[0].name, "B"));
  const std::string text = said(files);
  CHECK_THAT(text, contains("unexpected tensor 'base_model.model.layers.0.bias' (and 299 more like this)"));
  CHECK_THAT(text, contains("missing tensor '" + plain(model[0].name, "B") + "'"));
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
}

TEST_CASE("what an error says is at most 20 lines of readable text, whatever is in a file") {
  lines problems;
  for (int i = 0; i < 300; ++i) problems.push_back(std::string(static_cast<std::size_t>(i), 'x') + " of its own kind");
  const std::string many = sbora::checkpoint_error("many", problems).what();
  CHECK(std::count(many.begin(), many.end(), '\n') == 17);
  CHECK_THAT(many, contains("and 284 more problems"));
  const std::string named =
      sbora::checkpoint_error("named", {"tensor 'a\nb\nc' is \x1b[31m" + std::string(5000, 'y')}).what();
  CHECK(std::count(named.begin(), named.end(), '\n') == 1);
  CHECK_THAT(named, contains("'a b c' is \\x1b[31m"));
  CHECK(named.size() < 1200);
  std::string breaks;
  for (int i = 0; i < 40; ++i) breaks += "line\n";
  const std::string cut = sbora::config_error(breaks).what();
  CHECK(std::count(cut.begin(), cut.end(), '\n') == 19);
  CHECK_THAT(cut, contains("... and 22 lines more"));
  CHECK(std::string(sbora::config_error("one\ntwo").what()) == "one\ntwo");
  const std::string euros = sbora::config_error(std::string(999, 'a') + "\xE2\x82\xAC" + "b").what();
  CHECK(euros == std::string(999, 'a') + "\xE2\x82\xAC... (1 bytes more)");  // no half of a character
}

TEST_CASE("a checkpoint's tensors have the model's names, and merging finds them by either") {
  const temporary_directory folder;
  const small_model old;
  old.write_single(folder / "plain.safetensors");
  std::vector<sbora::tensor_view> tensors = old.tensors();
  for (sbora::tensor_view& tensor : tensors) tensor.name = "module._orig_mod." + tensor.name;
  write_safetensors(folder / "wrapped.safetensors", tensors, {});
  const auto wrapped = sbora::checkpoint::open(folder / "wrapped.safetensors");
  const auto plain_model = sbora::checkpoint::open(folder / "plain.safetensors");
  for (const auto& tensor : plain_model.tensors()) {
    REQUIRE(wrapped.find(tensor.name) != nullptr);
    CHECK(wrapped.at(tensor.name).name == tensor.name);
    CHECK(wrapped.find("module._orig_mod." + tensor.name) == wrapped.find(tensor.name));
    CHECK(wrapped.stored_name(wrapped.at(tensor.name)) == "module._orig_mod." + tensor.name);
  }
  const auto fa = random_fa(48, 40, 5, 1);
  for (const char* name : {"a.weight", "module._orig_mod.a.weight"}) {
    const sbora::weight_changes changes = {{name, {{fa.delta()}}}};
    write_merged_checkpoint(wrapped, changes, folder / "whole.safetensors");
    write_merged_tensors(wrapped, changes, folder / "changed.safetensors");
    for (const char* file : {"whole.safetensors", "changed.safetensors"}) {
      const auto merged = sbora::safetensors_file::open(folder / file);
      CHECK(bytes_of_tensor(merged.at("module._orig_mod.a.weight")) == merged_in_memory(old.w32, fa));
    }
    std::filesystem::copy_file(folder / "wrapped.safetensors", folder / "mine.safetensors");
    sbora::merge_in_place(folder / "mine.safetensors", changes);
    CHECK(read_file(folder / "mine.safetensors") == read_file(folder / "whole.safetensors"));
    std::filesystem::remove(folder / "mine.safetensors");
    std::filesystem::remove(folder / "mine.safetensors.originals");
  }
  // Names that would be the same ones stay as they are.
  tensors.resize(2);
  tensors[1].name = "_orig_mod.a.weight";
  tensors[0].name = "a.weight";
  write_safetensors(folder / "both.safetensors", tensors, {});
  const auto both = sbora::checkpoint::open(folder / "both.safetensors");
  CHECK(both.find("_orig_mod.a.weight") != nullptr);
}

TEST_CASE("an adapter of a head that is the embedding says so") {
  const std::vector<model_module> tied = {
      {"model.embed_tokens", 8, 5}, {"model.layers.0.q_proj", 6, 5}, {"model.layers.1.q_proj", 6, 5}};
  auto files = lora(plain);
  files.config(R"({"peft_type": "LORA", "r": 2, "target_modules": ["q_proj", "lm_head"]})")
      .tensor<float>(plain("lm_head", "A"), {2, 5}, {0, 0, 0, 1, 0, 1, 0, 0, 0, 0})
      .tensor<float>(plain("lm_head", "B"), {8, 2}, std::vector<float>(16, 1.0F));
  CHECK_THAT(said(files, tied), contains("module 'lm_head' is none of the model's, where the head is the embedding "
                                         "'model.embed_tokens' (tie_word_embeddings); save the base with a copy"));
}
