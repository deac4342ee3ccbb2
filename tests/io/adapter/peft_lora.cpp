// SBoRA adapters as PEFT LoRAs and back: the same numbers, the same scale, and no LoRA taken for what it isn't.

#include "io/adapter/adapter_folder.hpp"

#include <sbora/io/adapter/peft_lora.hpp>
#include <sbora/model/describe_adapter.hpp>
#include <sbora/model/make_adapter.hpp>
#include <sbora/layers/linear.hpp>

#include <limits>

using namespace sbora_tests;
using sbora::adapter_config;
using sbora::adapter_kind;
using sbora::load_adapter;
using sbora::load_peft_lora;
using sbora::load_sbora;
using sbora::model_adapter;
using sbora::model_module;
using sbora::region;
using sbora::save_peft_lora;
using sbora::strictness;

namespace {

using lines = std::vector<std::string>;

const std::vector<model_module> model = {{"m.layers.0.q", 6, 5}, {"m.layers.0.k", 3, 5}, {"m.layers.1.q", 6, 5}};

model_adapter<float> made(adapter_kind kind, bool rslora, std::uint64_t seed = 3) {
  adapter_config config;
  config.kind = kind;
  config.r = 3;
  config.lora_alpha = 7;
  config.use_rslora = rslora;
  config.target_modules.names = {"q", "k"};
  config.rank_pattern = {{"k", 2}};
  config.alpha_pattern = {{"layers.1.q", 0.3}};
  auto adapter = sbora::make_adapter(config, model, seed);
  fill_random(adapter.parameters(), seed);
  return adapter;
}

const std::string q0 = "base_model.model.m.layers.0.q.lora_";

const char* const lora_config = R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q"]})";

/// FA by lora_A's rows e3, e0.
adapter_by_hand lora() {
  return adapter_by_hand()
      .config(lora_config)
      .tensor<float>(q0 + "A.weight", {2, 5}, {0, 0, 0, 1, 0, 1, 0, -0.0F, 0, 0})
      .tensor<float>(q0 + "B.weight", {6, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
}

lines problems(const adapter_by_hand& files, std::span<const model_module> modules = {}) {
  const temporary_directory folder;
  files.write(folder.path());
  return problems_of([&] { load_peft_lora(folder.path(), modules); });
}

/// What PEFT computes: x·Wᵀ is left out, (x·Aᵀ)·Bᵀ·(alpha / r).
struct peft_module {
  Eigen::MatrixXd a, b;
  double scaling;
};

peft_module peft_of(const std::filesystem::path& folder, const std::string& module) {
  const auto file = sbora::safetensors_file::open(folder / "adapter_model.safetensors");
  const auto config = sbora::parse_adapter_config(read_file(folder / "adapter_config.json")).config;
  const sbora::target_rules rules(config);
  REQUIRE(rules.matches(module));
  const auto a = file.at("base_model.model." + module + ".lora_A.weight").as_matrix<float>();
  const auto b = file.at("base_model.model." + module + ".lora_B.weight").as_matrix<float>();
  REQUIRE(a.rows() == rules.rank_of(module));
  const auto r = static_cast<double>(a.rows());
  return {a.cast<double>(), b.cast<double>(), rules.alpha_of(module) / (config.use_rslora ? std::sqrt(r) : r)};
}

}  // namespace

TEST_CASE("an exported LoRA has exactly the adapter's delta") {
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    for (const bool rslora : {false, true}) {
      for (const auto how : {sbora::rslora_export::folded, sbora::rslora_export::flag}) {
        const temporary_directory folder;
        const auto adapter = made(kind, rslora);
        save_peft_lora(adapter, folder.path(), how);
        for (const model_module& module : model) {
          CAPTURE(module.name);
          const peft_module peft = peft_of(folder.path(), module.name);
          adapter.visit(module.name, [&](const auto& part) {
            CHECK(static_cast<float>(peft.scaling) == part.delta().scale);
            Eigen::MatrixXd delta = Eigen::MatrixXd::Zero(module.d_out, module.d_in);
            for (index_t j = 0; j < part.rank(); ++j) {
              const index_t at = part.target().indices()[static_cast<std::size_t>(j)];
              const auto trained = part.matrix().template cast<double>();
              if (kind == adapter_kind::fa) delta.col(at) = trained.col(j);
              else delta.row(at) = trained.row(j);
            }
            CHECK(Eigen::MatrixXd(peft.b * peft.a) == delta);
          });
        }
      }
    }
  }
}

TEST_CASE("an export that can't replace the old tensors leaves the old adapter") {
  const temporary_directory folder;
  const auto old = made(adapter_kind::fa, false, 3);
  save_peft_lora(old, folder.path());
  {
    const auto open = sbora::open_adapter_tensors(folder.path());  // mapped, so not to be replaced
    CHECK_ERROR(sbora::file_error, "mapped into memory",
                save_peft_lora(made(adapter_kind::fa, false, 4), folder.path()));
  }
  CHECK(same_adapter(load_peft_lora(folder.path(), model).adapter, old));
  CHECK(files_below(folder.path()) == lines{"adapter_config.json", "adapter_model.safetensors"});
}

TEST_CASE("tensors that the config's rules don't choose are refused, as PEFT leaves them out") {
  const auto of_k = [](adapter_by_hand files) {
    return files.tensor<float>("base_model.model.m.layers.0.k.lora_A.weight", {2, 5}, {0, 0, 0, 1, 0, 1, 0, 0, 0, 0})
        .tensor<float>("base_model.model.m.layers.0.k.lora_B.weight", {3, 2}, {1, 2, 3, 4, 5, 6});
  };
  const std::string refused = "tensors of module 'm.layers.0.k', which the config doesn't choose";
  CHECK(problems(of_k(lora())) == lines{refused});
  const temporary_directory folder, again;
  of_k(lora()).write(folder.path());
  const auto loaded = load_peft_lora(folder.path(), {}, strictness::lenient);
  CHECK(loaded.skipped == lines{refused});
  CHECK(loaded.adapter.modules() == lines{"m.layers.0.q"});
}

TEST_CASE("what a lenient load left out isn't missing from what is saved of it") {
  const temporary_directory folder, again;
  auto files = lora();
  files.tensor<float>("base_model.model.m.layers.1.q.lora_A.weight", {2, 5}, {0, 0, 0, 1, 0, 1, 0, 0, 0, 0});
  files.write(folder.path());
  const auto loaded = load_peft_lora(folder.path(), model, strictness::lenient);
  CHECK(loaded.adapter.modules() == lines{"m.layers.0.q"});
  save_peft_lora(loaded.adapter, again.path());
  CHECK(same_adapter(load_peft_lora(again.path(), model).adapter, loaded.adapter));
}

TEST_CASE("a choice of modules that can't be used as an expression is a problem among others, or left to the tensors") {
  const temporary_directory folder;
  auto files = lora();
  files.config(R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ".*(?<!k)q"})");
  files.write(folder.path());
  const lines found = problems_of([&] { load_peft_lora(folder.path()); });
  REQUIRE(found.size() == 1);
  CHECK_THAT(found[0], contains("target_modules: '.*(?<!k)q' is no usable regular expression"));
  CHECK(load_peft_lora(folder.path(), {}, strictness::lenient).adapter.modules() == lines{"m.layers.0.q"});
}

TEST_CASE("an exported LoRA has PEFT's config and metadata, and comes back as it was") {
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    const temporary_directory folder;
    const auto adapter = made(kind, true);
    save_peft_lora(adapter, folder.path(), sbora::rslora_export::flag);
    const auto file = sbora::safetensors_file::open(folder / "adapter_model.safetensors");
    CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
    CHECK(file.tensors().size() == 6);
    const auto [config, skipped] = sbora::parse_adapter_config(read_file(folder / "adapter_config.json"));
    CHECK(config.peft_type == "LORA");
    CHECK(config.use_rslora);
    CHECK_FALSE(config.kind);
    CHECK_FALSE(config.sbora);
    CHECK(config.rank_pattern == adapter.config().rank_pattern);
    for (const auto& loaded : {load_peft_lora(folder.path(), model), load_adapter(folder.path(), model)}) {
      CHECK(loaded.skipped.empty());
      CHECK(loaded.adapter.kind() == kind);
      CHECK(loaded.adapter.modules() == adapter.modules());
      CHECK(same_bits(loaded.adapter.parameters(), adapter.parameters()));
      for (const model_module& module : model) {
        CHECK(loaded.adapter.delta(module.name).scale == adapter.delta(module.name).scale);
        CHECK(*loaded.adapter.delta(module.name).target == *adapter.delta(module.name).target);
      }
    }
    CHECK(load_peft_lora(folder.path()).adapter.modules() == lines{model[1].name, model[0].name, model[2].name});
  }
}

TEST_CASE("the folded alpha gives back the scale for every rank") {
  sbora::random_stream random(9);
  for (index_t rank = 1; rank <= 300; ++rank) {
    const double scale = 100 * random.uniform() / std::sqrt(static_cast<double>(rank));
    const double alpha = sbora::detail::alpha_of_scale(scale, rank);
    CHECK(static_cast<float>(alpha / static_cast<double>(rank)) == static_cast<float>(scale));
  }
}

TEST_CASE("a LoRA with a one-hot half becomes FA or FB") {
  const temporary_directory folder;
  lora().write(folder.path());
  const auto fa = load_peft_lora(folder.path());
  CHECK(fa.adapter.kind() == adapter_kind::fa);
  CHECK(fa.adapter.fa("m.layers.0.q").target() == region(5, {3, 0}));
  CHECK(fa.adapter.fa("m.layers.0.q").matrix()(1, 0) == 3);
  CHECK(fa.adapter.fa("m.layers.0.q").scale() == 2);

  lora()
      .tensor<Eigen::bfloat16>(q0 + "A.weight", {2, 5}, std::vector<Eigen::bfloat16>(10, Eigen::bfloat16(0.3F)))
      .tensor<Eigen::half>(q0 + "B.weight", {6, 2},
                           [] {
                             std::vector<Eigen::half> b(12, Eigen::half(0.0F));
                             b[2 * 5] = b[2 * 1 + 1] = Eigen::half(1.0F);
                             return b;
                           }())
      .write(folder.path());
  const auto fb = load_peft_lora(folder.path());
  CHECK(fb.adapter.kind() == adapter_kind::fb);
  CHECK(fb.adapter.fb("m.layers.0.q").target() == region(6, {5, 1}));
  CHECK(fb.adapter.fb("m.layers.0.q").matrix()(0, 0) == static_cast<float>(Eigen::bfloat16(0.3F)));
}

TEST_CASE("where both halves are one-hot, it is FA, unless the config says FB") {
  const std::vector<float> b = {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
  const temporary_directory folder;
  lora().tensor<float>(q0 + "B.weight", {6, 2}, b).write(folder.path());
  CHECK(load_peft_lora(folder.path()).adapter.kind() == adapter_kind::fa);
  lora()
      .config(R"({"peft_type": "LORA", "r": 2, "adapter_name": "sbora_fb"})")
      .tensor<float>(q0 + "B.weight", {6, 2}, b)
      .write(folder.path());
  CHECK(load_peft_lora(folder.path()).adapter.kind() == adapter_kind::fb);
}

TEST_CASE("any other LoRA is refused by module, place and value") {
  const auto refused = [](std::vector<float> a, const std::string& why) {
    CAPTURE(why);
    CHECK(problems(lora().tensor<float>(q0 + "A.weight", {2, 5}, std::move(a))) ==
          lines{"module 'm.layers.0.q' is no SBoRA adapter: lora_A: " + why +
                "; lora_B: column 0 has 3 in row 1, expected 0 or 1"});
  };
  refused({0, 0, 0, 1, 0, 0.25F, 0, 0, 0, 0}, "row 1 has 0.25 in column 0, expected 0 or 1");
  refused({0, 0, 0, 1, 0, 0, 0, 0, 0, std::nextafter(1.0F, 2.0F)}, "row 1 has 1.0000001 in column 4, expected 0 or 1");
  refused({0, 0, 0, 1, 0, 0, std::numeric_limits<float>::denorm_min(), 0, 0, 1},
          "row 1 has 1e-45 in column 1, expected 0 or 1");
  refused({0, 0, std::numeric_limits<float>::quiet_NaN(), 1, 0, 0, 1, 0, 0, 0},
          "row 0 has nan in column 2, expected 0 or 1");
  refused({0, 0, 0, -1, 0, 1, 0, 0, 0, 0}, "row 0 has -1 in column 3, expected 0 or 1");
  refused({0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "row 1 has no 1");
  refused({0, 1, 0, 1, 0, 0, 0, 0, 0, 1}, "row 0 has a 1 in column 1 and in column 3");
  refused({0, 0, 0, 1, 0, 0, 0, 0, 1, 0}, "row 1 has its 1 in column 3, as row 0");
}

TEST_CASE("modules of both kinds are refused") {
  const std::string q1 = "base_model.model.m.layers.1.q.lora_";
  CHECK(problems(lora()
                     .tensor<float>(q1 + "A.weight", {2, 5}, std::vector<float>(10, 0.5F))
                     .tensor<float>(q1 + "B.weight", {6, 2}, {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0})) ==
        lines{"the modules aren't all FA or all FB; 'm.layers.1.q' isn't FA: lora_A: row 0 has 0.5 in column 0, "
              "expected 0 or 1; 'm.layers.0.q' isn't FB: lora_B: column 0 has 3 in row 1, expected 0 or 1"});
}

TEST_CASE("everything wrong with a LoRA's tensors is listed at once") {
  const std::string q1 = "base_model.model.m.layers.1.q.lora_", k0 = "base_model.model.m.layers.0.k.lora_";
  const std::string all_config = R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q", "k", "x"]})";
  CHECK(problems(lora()
                     .config(all_config)
                     .drop(q0 + "B.weight")
                     .tensor<float>(q1 + "A.weight", {3, 5}, std::vector<float>(15))
                     .tensor<float>(q1 + "B.weight", {6, 2}, std::vector<float>(12))
                     .tensor<std::int64_t>(k0 + "A.weight", {2, 5}, std::vector<std::int64_t>(10))
                     .tensor<float>(k0 + "B.weight", {12}, std::vector<float>(12))
                     .tensor<float>(q0 + "embedding_A", {1}, {1})
                     .tensor<std::int64_t>("base_model.model.x.lora_A", {1}, {1})) ==
        lines{"unexpected tensor '" + q0 + "embedding_A'",
              "tensor '" + k0 + "A.weight' is I64 [2, 5], expected F32, F16 or BF16 [rank, d_in]",
              "tensor '" + k0 + "B.weight' is F32 [12], expected F32, F16 or BF16 [d_out, rank]",
              "missing tensor '" + q0 + "B.weight'",
              "module 'm.layers.1.q': lora_A is [3, 5] and lora_B [6, 2], their ranks differ",
              "unexpected tensor 'base_model.model.x.lora_A'", "missing tensor 'base_model.model.x.lora_A.weight'",
              "missing tensor 'base_model.model.x.lora_B.weight'"});
}

TEST_CASE("a LoRA has to fit the model that is given") {
  const std::vector<model_module> other = {{"m.layers.0.q", 6, 4}, {"m.layers.1.q", 6, 5}};
  CHECK(problems(lora(), other) == lines{"module 'm.layers.0.q' is 6 x 4, the adapter is for 6 x 5",
                                         "missing tensor 'base_model.model.m.layers.1.q.lora_A.weight'",
                                         "missing tensor 'base_model.model.m.layers.1.q.lora_B.weight'"});
  CHECK(problems(lora(), std::span(other).last(1))[0] == "module 'm.layers.0.q' is none of the model's");
  CHECK(problems(lora().config(R"({"peft_type": "LORA", "r": 4})")) ==
        lines{"tensor '" + q0 + "A.weight' is [2, 5], the config says rank 4"});
}

TEST_CASE("leniently, modules that aren't whole are left out, but nothing is approximated") {
  const std::string q1 = "base_model.model.m.layers.1.q.lora_";
  const temporary_directory folder;
  lora().tensor<float>(q1 + "A.weight", {2, 5}, std::vector<float>(10, 0.5F)).write(folder.path());
  const auto [adapter, skipped] = load_peft_lora(folder.path(), {}, strictness::lenient);
  CHECK(adapter.modules() == lines{"m.layers.0.q"});
  CHECK(skipped == lines{"missing tensor '" + q1 + "B.weight'"});
  lora().tensor<float>(q0 + "A.weight", {2, 5}, std::vector<float>(10, 0.5F)).write(folder.path());
  CHECK(problems_of([&] { load_peft_lora(folder.path(), {}, strictness::lenient); }).size() == 1);
}

TEST_CASE("native, official and PEFT files of one adapter load the same") {
  const temporary_directory folder;
  adapter_config config;
  config.kind = adapter_kind::fb;
  config.r = 2;
  config.use_rslora = true;
  config.target_modules.names = {"q"};
  auto adapter = sbora::make_adapter(config, model, 4);
  fill_random(adapter.parameters(), 1);
  save_sbora(adapter, folder / "native");
  save_sbora(load_adapter(folder / "native").adapter, folder / "official", sbora::sbora_layout::official);
  save_peft_lora(load_adapter(folder / "official", model).adapter, folder / "peft");
  save_sbora(load_adapter(folder / "peft", model).adapter, folder / "back");
  const auto back = load_adapter(folder / "back").adapter;
  CHECK(same_bits(back.parameters(), std::as_const(adapter).parameters()));
  for (const std::string& module : adapter.modules()) {
    CHECK(back.fb(module).target() == adapter.fb(module).target());
    CHECK(back.delta(module).scale == adapter.delta(module).scale);
  }
}

TEST_CASE("an export that is killed leaves the old LoRA, the new one or none, but no mixture") {
  const temporary_directory folder;
  const auto fa = made(adapter_kind::fa, false), fb = made(adapter_kind::fb, false);
  const int loaded = kill_savers([&](int i) { save_peft_lora(i % 2 == 0 ? fa : fb, folder / "lora"); },
                                 [&] {
                                   if (!std::filesystem::exists(folder / "lora/adapter_config.json")) return false;
                                   const auto found = load_peft_lora(folder / "lora", model).adapter;
                                   CHECK((same_adapter(found, fa) || same_adapter(found, fb)));
                                   return true;
                                 });
  CHECK(loaded > 0);
}
