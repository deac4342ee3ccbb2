// Adapters over a model's modules: how they are made from a config, their arrays, counts, and sets of them.

#include <sbora/model/adapter_set.hpp>
#include <sbora/layers/linear.hpp>

#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_config;
using sbora::adapter_kind;
using sbora::adapter_set;
using sbora::adapter_status;
using sbora::config_error;
using sbora::index_t;
using sbora::make_adapter;
using sbora::model_adapter;
using sbora::model_module;
using sbora::region;
using sbora::shape_error;

namespace {

std::vector<model_module> llama(index_t layers, index_t hidden, index_t key_value, index_t inner) {
  std::vector<model_module> modules;
  for (index_t layer = 0; layer < layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    modules.push_back({prefix + "self_attn.q_proj", hidden, hidden});
    modules.push_back({prefix + "self_attn.k_proj", key_value, hidden});
    modules.push_back({prefix + "self_attn.v_proj", key_value, hidden});
    modules.push_back({prefix + "self_attn.o_proj", hidden, hidden});
    modules.push_back({prefix + "mlp.gate_proj", inner, hidden});
    modules.push_back({prefix + "mlp.up_proj", inner, hidden});
    modules.push_back({prefix + "mlp.down_proj", hidden, inner});
  }
  return modules;
}

const std::vector<model_module> small = llama(2, 12, 6, 20);

adapter_config config_of(adapter_kind kind, std::vector<std::string> targets, index_t r = 4) {
  adapter_config config;
  config.kind = kind;
  config.r = r;
  config.target_modules.names = std::move(targets);
  return config;
}

const std::vector<std::string> paper = {"q_proj", "k_proj", "v_proj", "up_proj", "down_proj"};

}  // namespace

TEST_CASE("an adapter has the modules that the config chooses, in the model's order") {
  adapter_config config = config_of(adapter_kind::fa, {"up_proj", "q_proj"});
  config.lora_alpha = 3;
  config.lora_dropout = 0.25;
  config.use_rslora = true;
  config.rank_pattern = {{"layers.1.mlp.up_proj", 2}};
  config.alpha_pattern = {{"q_proj", 7}};
  model_adapter<float> adapter = make_adapter(config, small, 5);
  CHECK(adapter.kind() == adapter_kind::fa);
  CHECK(adapter.modules() == std::vector<std::string>{"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj",
                                                      "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.up_proj"});
  CHECK(adapter.parameter_count() == 12 * 4 + 20 * 4 + 12 * 4 + 20 * 2);
  CHECK(trainable_parameters(config, small) == adapter.parameter_count());
  CHECK(adapter.fa("model.layers.1.mlp.up_proj").rank() == 2);
  CHECK(adapter.fa("model.layers.0.mlp.up_proj").rank() == 4);
  CHECK(adapter.fa("model.layers.0.mlp.up_proj").options().alpha == 3);
  CHECK(adapter.fa("model.layers.1.self_attn.q_proj").options().alpha == 7);
  CHECK(adapter.fa("model.layers.1.self_attn.q_proj").options().rslora);
  CHECK(adapter.fa("model.layers.1.self_attn.q_proj").options().dropout == 0.25);
  CHECK(adapter.has("model.layers.0.mlp.up_proj"));
  CHECK_FALSE(adapter.has("up_proj"));
  for (const float value : adapter.parameters()) CHECK(value == 0);
}

TEST_CASE("parts lie one after another in flat arrays, also after a move") {
  model_adapter<float> made = make_adapter(config_of(adapter_kind::fb, paper), small, 5);
  model_adapter<float> adapter = std::move(made);
  CHECK(made.parameter_count() == 0);
  fill_random(adapter.parameters(), 1);
  fill_random(adapter.gradient(), 2);
  const float* parameters = adapter.parameters().data();
  const float* gradient = adapter.gradient().data();
  index_t count = 0;
  adapter.for_each([&](const std::string& module, const auto& part) {
    CAPTURE(module);
    CHECK(part.parameters().data() == parameters + count);
    CHECK(part.gradient().data() == gradient + count);
    CHECK(part.delta().parameters == parameters + count);
    count += part.parameter_count();
  });
  CHECK(count == adapter.parameter_count());
  adapter.zero_gradient();
  CHECK(adapter.fb(adapter.modules().back()).gradient_matrix().isZero(0));
  CHECK_FALSE(adapter.fb(adapter.modules().back()).matrix().isZero(0));
}

TEST_CASE("regions depend on the seed and the module's name, not on the other modules") {
  const auto all = make_adapter(config_of(adapter_kind::fa, paper), small, 5);
  const auto some = make_adapter(config_of(adapter_kind::fa, {"down_proj"}), small, 5);
  const auto other = make_adapter(config_of(adapter_kind::fa, {"down_proj"}), small, 6);
  const std::string first = "model.layers.0.mlp.down_proj", second = "model.layers.1.mlp.down_proj";
  CHECK(all.fa(first).target() == some.fa(first).target());
  CHECK(all.fa(second).target() == some.fa(second).target());
  CHECK_FALSE(some.fa(first).target() == some.fa(second).target());
  CHECK_FALSE(some.fa(first).target() == other.fa(first).target());
  CHECK(some.fa(first).options().dropout_seed != some.fa(second).options().dropout_seed);
  CHECK(some.config().sbora->seed == 5);
  // Fixed forever: files of one seed have to come out the same.
  CHECK(sbora::module_seed(5, first, 0) == 16733077049291729006U);
  CHECK(some.fa(first).target() == sbora::sample_region(20, 4, sbora::module_seed(5, first, 0)));
}

TEST_CASE("regions can be chosen otherwise") {
  std::vector<std::string> asked;
  const auto adapter =
      make_adapter<double>(config_of(adapter_kind::fb, {"k_proj"}, 3), small, 5,
                           [&](const model_module& module, index_t dim, index_t rank, std::uint64_t seed) {
                             asked.push_back(module.name);
                             CHECK(dim == 6);
                             CHECK(rank == 3);
                             CHECK(seed == sbora::module_seed(5, module.name, 0));
                             return region(dim, {5, 0, 3});
                           });
  CHECK(asked == adapter.modules());
  CHECK(adapter.fb(asked[1]).target() == region(6, {5, 0, 3}));
}

// The table in features_and_formats.md, D.
TEST_CASE("trainable parameters of LLaMA, exactly") {
  const std::vector<std::string> all = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  const auto l7 = llama(32, 4096, 4096, 11008), l13 = llama(40, 5120, 5120, 13824), l8 = llama(32, 4096, 1024, 14336);
  struct row {
    const std::vector<model_module>& modules;
    const std::vector<std::string>& targets;
    index_t r, fa, fb;
  };
  for (const row& expected : {row{l7, paper, 32, 28049408, 28049408}, row{l7, paper, 64, 56098816, 56098816},
                              row{l8, paper, 32, 25165824, 31457280}, row{l8, paper, 64, 50331648, 62914560},
                              row{l13, paper, 32, 43909120, 43909120}, row{l7, all, 64, 87031808, 72876032},
                              row{l13, all, 64, 136314880, 114032640}, row{l8, all, 64, 88080384, 79691776}}) {
    CHECK(trainable_parameters(config_of(adapter_kind::fa, expected.targets, expected.r), expected.modules) ==
          expected.fa);
    CHECK(trainable_parameters(config_of(adapter_kind::fb, expected.targets, expected.r), expected.modules) ==
          expected.fb);
  }
}

TEST_CASE("what can't be made is refused with every reason") {
  CHECK_ERROR(config_error, "the config doesn't say FA or FB", make_adapter(adapter_config{}, small, 1));
  CHECK_ERROR(config_error, "target_modules chooses none of the 14 modules",
              make_adapter(config_of(adapter_kind::fa, {}), small, 1));
  const adapter_config wrong = config_of(adapter_kind::fa, {"q_proj", "qkv", "up_proj", "c_attn"}, 13);
  const std::string message = message_of<config_error>([&] { make_adapter(wrong, small, 1); });
  CHECK_THAT(message, contains("target_modules: no module is named 'qkv'"));
  CHECK_THAT(message, contains("target_modules: no module is named 'c_attn'"));
  CHECK_THAT(message, contains("module 'model.layers.0.self_attn.q_proj': rank 13 is above its d_in 12"));
  CHECK_THAT(message, contains("module 'model.layers.1.mlp.up_proj': rank 13 is above its d_in 12"));
  CHECK_ERROR(config_error, "rank 7 is above its d_out 6",
              make_adapter(config_of(adapter_kind::fb, {"k_proj"}, 7), small, 1));
  adapter_config regex = config_of(adapter_kind::fb, {});
  regex.target_modules.regex = "(";
  CHECK_ERROR(config_error, "target_modules: '('", make_adapter(regex, small, 1));
  adapter_config dropout = config_of(adapter_kind::fb, {"k_proj"});
  dropout.lora_dropout = 1;
  CHECK_ERROR(config_error, "module 'model.layers.0.self_attn.k_proj': sbora::fb_adapter: dropout must be",
              make_adapter(dropout, small, 1));
}

TEST_CASE("a multiplier that is out of range for one module changes none") {
  model_adapter<float> adapter(adapter_kind::fa, {},
                               {{"a", 3, 4, sbora::region(4, {1}), 1.0}, {"b", 3, 4, sbora::region(4, {2}), 1e38}});
  adapter.set_multiplier(2);
  CHECK_ERROR(config_error, "module 'b': sbora::adapter: the multiplier * alpha / rank must be finite, got 1e+39",
              adapter.set_multiplier(10));
  CHECK(adapter.fa("a").multiplier() == 2);
  CHECK(adapter.fa("b").multiplier() == 2);
}

TEST_CASE("parts that can't be a model's are refused") {
  const auto make = [](std::vector<sbora::adapter_part> parts) {
    return model_adapter<float>(adapter_kind::fa, {}, std::move(parts));
  };
  CHECK_ERROR(config_error, "no modules", make({}));
  CHECK_ERROR(config_error, "module 'a' comes twice",
              make({{"a", 2, 3, region(3, {1}), 1}, {"b", 2, 3, region(3, {1}), 1}, {"a", 2, 3, region(3, {1}), 1}}));
  CHECK_ERROR(shape_error, "module 'a': sbora::fa_adapter: the region is of [0, 2), d_in is 3",
              make({{"a", 2, 3, region(2, {1}), 1}}));
  CHECK_ERROR(shape_error, "module 'a' is -2 x 3", make({{"a", -2, 3, region(3, {1}), 1}}));
  model_adapter<float> adapter = make({{"a", 2, 3, region(3, {1}), 1}});
  CHECK_ERROR(config_error, "it is FA, asked for FB", adapter.fb("a"));
  CHECK_ERROR(config_error, "no part for module 'b'", adapter.fa("b"));
  CHECK_ERROR(config_error, "no part for module ''", adapter.delta(""));
}

TEST_CASE("a set keeps adapters by name, and the first is active") {
  adapter_set<float> set(small);
  CHECK(set.status().empty());
  model_adapter<float>& math = set.add("math", config_of(adapter_kind::fa, paper), 1);
  model_adapter<float>& chat = set.add("math.2", make_adapter(config_of(adapter_kind::fb, {"q_proj"}), small, 2));
  CHECK(set.size() == 2);
  CHECK(&set.at("math") == &math);
  CHECK(&set.at("math.2") == &chat);
  CHECK_FALSE(set.has("mat"));
  CHECK(set.parameter_count() == math.parameter_count() + chat.parameter_count());
  CHECK(set.status() == std::vector<adapter_status>{{"math", adapter_kind::fa, true, true, 10, math.parameter_count()},
                                                    {"math.2", adapter_kind::fb, false, false, 2, 2 * 4 * 12}});
  set.set_active(std::vector<std::string>{"math.2", "math"});
  CHECK(set.status()[1].active);
  set.set_enabled(false);
  CHECK(set.status()[1].active);
  CHECK_FALSE(set.status()[1].enabled);
  CHECK_FALSE(chat.fb("model.layers.0.self_attn.q_proj").enabled());
  set.set_enabled(true);
  set.set_active("math.2");
  CHECK_FALSE(set.status()[0].active);
  CHECK_FALSE(math.fa("model.layers.0.self_attn.q_proj").enabled());
  CHECK(chat.fb("model.layers.0.self_attn.q_proj").enabled());

  set.rename("math", "maths");
  set.rename("maths", "maths");
  CHECK(&set.at("maths") == &math);
  CHECK_FALSE(set.has("math"));
  set.remove("maths");
  CHECK(set.status().size() == 1);
  CHECK(&set.at("math.2") == &chat);
  set.remove("math.2");
  CHECK(set.size() == 0);
}

TEST_CASE("errors of a set name what is unknown or taken, and change nothing") {
  adapter_set<float> set(small);
  CHECK_ERROR(config_error, "no adapter 'a'; there are none", set.at("a"));
  set.add("a", config_of(adapter_kind::fa, paper), 1);
  CHECK_ERROR(config_error, "no adapter 'b'; there is 'a'", set.remove("b"));
  set.add("b", config_of(adapter_kind::fb, paper), 1);
  CHECK_ERROR(config_error, "no adapter 'c'; there are 'a', 'b'", set.set_active("c"));
  CHECK_THROWS_AS(set.set_active(std::vector<std::string>{"b", "c"}), config_error);
  CHECK_ERROR(config_error, "there is an adapter 'a' already", set.add("a", config_of(adapter_kind::fa, paper), 1));
  CHECK_ERROR(config_error, "there is an adapter 'a' already", set.rename("b", "a"));
  CHECK_ERROR(config_error, "no adapter 'c'", set.rename("c", "d"));
  CHECK_ERROR(config_error, "an adapter's name is empty", set.rename("a", ""));
  CHECK_ERROR(config_error, "an adapter's name is empty", set.add("", config_of(adapter_kind::fa, paper), 1));
  CHECK_ERROR(config_error, "no module is named 'x'", set.add("c", config_of(adapter_kind::fa, {"x"}), 1));
  CHECK_ERROR(config_error, "the model has no module 'q_proj'", set.deltas("q_proj"));
  CHECK(set.status()[0].active);
  CHECK_FALSE(set.status()[1].active);
  CHECK(set.size() == 2);

  CHECK_ERROR(config_error, "module 'm' comes twice", adapter_set<float>({{"m", 1, 2}, {"m", 1, 2}}));
  CHECK_ERROR(config_error, "a module without a name", adapter_set<float>({{"", 1, 2}}));
  CHECK_ERROR(shape_error, "module 'm' is 0 x 2", adapter_set<float>({{"m", 0, 2}}));
}

TEST_CASE("an adapter of another model is refused with every module that doesn't fit") {
  adapter_set<float> set(small);
  auto of_larger = make_adapter(config_of(adapter_kind::fa, {"q_proj", "k_proj"}), llama(3, 12, 12, 20), 1);
  try {
    set.add("large", std::move(of_larger));
    FAIL("not refused");
  } catch (const sbora::checkpoint_error& error) {
    CHECK(error.problems() ==
          std::vector<std::string>{"module 'model.layers.0.self_attn.k_proj' is 6 x 12, the adapter is for 12 x 12",
                                   "module 'model.layers.1.self_attn.k_proj' is 6 x 12, the adapter is for 12 x 12",
                                   "module 'model.layers.2.self_attn.q_proj' is none of the model's",
                                   "module 'model.layers.2.self_attn.k_proj' is none of the model's"});
  }
  CHECK(set.size() == 0);
}

TEST_CASE("layers compute with the deltas of the enabled adapters") {
  const std::string module = "model.layers.0.self_attn.k_proj";
  adapter_set<float> set(small);
  fill_random(set.add("a", config_of(adapter_kind::fa, {"k_proj"}, 3), 1).parameters(), 3);
  fill_random(set.add("b", config_of(adapter_kind::fb, {"k_proj", "q_proj"}, 2), 1).parameters(), 4);
  CHECK(set.deltas(module).size() == 1);
  CHECK(set.deltas("model.layers.0.self_attn.q_proj").empty());
  CHECK(set.deltas("model.layers.0.mlp.up_proj").empty());
  set.set_active(std::vector<std::string>{"a", "b"});
  const auto deltas = set.deltas(module);
  REQUIRE(deltas.size() == 2);

  using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const std::vector<float> weight = random_vector<float>(6 * 12, 1), input = random_vector<float>(5 * 12, 2);
  const matrix x = Eigen::Map<const matrix>(input.data(), 5, 12);
  matrix sum = Eigen::Map<const matrix>(weight.data(), 6, 12), y(5, 6), base(5, 6);
  set.at("a").visit(module, [&](const auto& part) {
    for (index_t j = 0; j < 3; ++j) {
      sum.col(part.target().indices()[static_cast<std::size_t>(j)]) += part.matrix().col(j) * (8.0F / 3);
    }
  });
  set.at("b").visit(module, [&](const auto& part) {
    for (index_t j = 0; j < 2; ++j) {
      sum.row(part.target().indices()[static_cast<std::size_t>(j)]) += 4 * part.matrix().row(j);
    }
  });
  const sbora::linear layer{sbora::weight_view<const float>(weight.data(), 6, 12)};
  sbora::workspace workspace;
  layer.forward(x, y, deltas, workspace);
  // Two sums of 12 products of at most 1 and 1 + 8/3 + 4, each with up to 16 roundings.
  CHECK((y - x * sum.transpose()).cwiseAbs().maxCoeff() <= 2 * 12 * 8 * static_cast<float>(gamma_of<float>(16)));
  layer.forward(x, base, workspace);
  CHECK((y - base).cwiseAbs().maxCoeff() > 0.1F);
  {
    const sbora::scoped_base_model guard(set);
    CHECK(set.deltas(module).empty());
    CHECK_FALSE(set.enabled());
  }
  CHECK(set.deltas(module).size() == 2);
  set.set_enabled(false);
  { const sbora::scoped_base_model guard(set); }
  CHECK_FALSE(set.enabled());
}

template <class Set>
concept set_refers_to_itself = requires(Set&& set) { static_cast<Set&&>(set).at("a"); } || requires(Set&& set) {
  static_cast<Set&&>(set).deltas("m");
} || requires(Set&& set, model_adapter<float> a) { static_cast<Set&&>(set).add("a", a); };

template <class Adapter>
concept adapter_refers_to_itself = requires(Adapter&& a) { static_cast<Adapter&&>(a).parameters(); } ||
                                   requires(Adapter&& a) { static_cast<Adapter&&>(a).gradient(); } ||
                                   requires(Adapter&& a) { static_cast<Adapter&&>(a).fa("m"); } ||
                                   requires(Adapter&& a) { static_cast<Adapter&&>(a).fb("m"); } ||
                                   requires(Adapter&& a) { static_cast<Adapter&&>(a).delta("m"); };

TEST_CASE("nothing that refers to a set or a model's adapter can be had of a temporary") {
  STATIC_REQUIRE_FALSE(set_refers_to_itself<adapter_set<float>&&>);
  STATIC_REQUIRE_FALSE(set_refers_to_itself<const adapter_set<float>&&>);
  STATIC_REQUIRE(set_refers_to_itself<const adapter_set<float>&>);
  STATIC_REQUIRE_FALSE(adapter_refers_to_itself<model_adapter<float>&&>);
  STATIC_REQUIRE_FALSE(adapter_refers_to_itself<const model_adapter<float>&&>);
  STATIC_REQUIRE(adapter_refers_to_itself<const model_adapter<float>&>);
  const std::vector<model_module> modules = adapter_set<float>({{"m", 4, 6}}).modules();
  CHECK(modules.at(0).d_in == 6);
  const auto made = [&] { return make_adapter(config_of(adapter_kind::fa, {"m"}, 2), modules, 1); };
  CHECK(made().modules() == std::vector<std::string>{"m"});
  const adapter_config& config = made().config();  // lives as long as its name
  CHECK(config.r == 2);
}
