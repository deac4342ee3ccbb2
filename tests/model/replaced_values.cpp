// What an adapter of a model replaces beside its parts' updates: full tensors and tokens on its flat arrays, on its own
// memory and the caller's, trained by one optimiser.

#include <sbora/layers/embedding.hpp>
#include <sbora/layers/full_tensor_gradient.hpp>
#include <sbora/merge/token_merger.hpp>
#include <sbora/model/frozen_adapter.hpp>
#include <sbora/model/make_adapter.hpp>
#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/muon.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::full_tensor;
using sbora::model_adapter;
using sbora::parameter_block;
using sbora::replaced_values;
using sbora::trainable_tokens;

namespace {

const std::vector<sbora::model_module> modules = {{"m.q", 6, 5}, {"m.v", 4, 5}};
constexpr index_t of_parts = 2 * (6 + 4);

sbora::adapter_config config() {
  sbora::adapter_config config;
  config.kind = sbora::adapter_kind::fa;
  config.r = 2;
  config.target_modules.names = {"q", "v"};
  return config;
}

const std::vector<float> table = random_vector<float>(9 * 5, 7);

/// A normalisation, a bias that comes before it by name, and two tokens.
replaced_values<float> replaced() {
  replaced_values<float> values;
  values.tensors = {{"m.norm.weight", {5}, random_vector<float>(5, 1)}, {"m.a.bias", {3}, random_vector<float>(3, 2)}};
  values.tokens.push_back({"m.embed", {sbora::weight_view<const float>(table.data(), 9, 5), sbora::region(9, {7, 2})}});
  return values;
}

model_adapter<float> made() {
  auto adapter = sbora::make_adapter<float>(config(), modules, 3);
  fill_random(adapter.parameters(), 4);
  adapter.set_replaced(replaced());
  return adapter;
}

}  // namespace

TEST_CASE("what is replaced lies behind the parts' numbers, by name, and begins as the model's") {
  model_adapter<float> adapter = made();
  CHECK(adapter.parameter_count() == of_parts + 3 + 5 + 10);
  CHECK(same_bits<float>(adapter.parameters().first(of_parts), random_vector<float>(of_parts, 4)));
  REQUIRE(adapter.full_tensors().size() == 2);
  CHECK(adapter.full_tensors()[0].name() == "m.a.bias");
  CHECK(adapter.full_tensors()[0].parameters().data() == adapter.parameters().data() + of_parts);
  CHECK(adapter.full_tensors()[1].gradient().data() == adapter.gradient().data() + of_parts + 3);
  CHECK(same_bits<float>(adapter.full_tensors()[1].parameters(), random_vector<float>(5, 1)));
  const trainable_tokens& tokens = adapter.tokens("m.embed");
  CHECK(tokens.parameters().data() == adapter.parameters().data() + of_parts + 8);
  CHECK(same_bits<float>(tokens.parameters().first(5), std::span(table).subspan(7 * 5, 5)));
  CHECK(same_bits<float>(tokens.parameters().last(5), std::span(table).subspan(2 * 5, 5)));
  CHECK(adapter.blocks() == std::vector<parameter_block>{
                                {0, 6, 2}, {12, 4, 2}, {of_parts, 1, 3}, {of_parts + 3, 1, 5}, {of_parts + 8, 2, 5}});
  adapter.gradient()[of_parts + 8] = 3;
  CHECK(tokens.gradient()[0] == 3);
  adapter.zero_gradient();
  CHECK(tokens.gradient()[0] == 0);
}

TEST_CASE("other full tensors leave parts, tokens and run-time choices as they were") {
  model_adapter<float> adapter = made();
  adapter.fa("m.q").set_multiplier(0.5);
  adapter.fa("m.v").set_enabled(false);
  adapter.fa("m.v").set_dropout_step(17);
  adapter.gradient()[3] = 5;
  adapter.tokens("m.embed").parameters()[4] = 11;
  adapter.set_full_tensors({{"m.gain", {}, {2}}});
  CHECK(adapter.parameter_count() == of_parts + 1 + 10);
  CHECK(same_bits<float>(adapter.parameters().first(of_parts), random_vector<float>(of_parts, 4)));
  CHECK(adapter.gradient()[3] == 5);
  CHECK(adapter.tokens("m.embed").parameters()[4] == 11);
  CHECK(adapter.fa("m.q").multiplier() == 0.5);
  CHECK_FALSE(adapter.fa("m.v").enabled());
  CHECK(adapter.fa("m.v").dropout_step() == 17);
}

TEST_CASE("an adapter on memory of the caller's trains what it replaces there") {
  const model_adapter<float> like = made();
  std::vector<float> numbers(like.parameters().begin(), like.parameters().end()), gradient(numbers.size());
  model_adapter<float> adapter(sbora::adapter_kind::fa, config(), like.parts(),
                               sbora::adapter_memory<float>{std::span(numbers), std::span(gradient)}, replaced());
  CHECK(same_bits<float>(adapter.parameters(), like.parameters()));
  CHECK(adapter.full_tensors()[0].parameters().data() == numbers.data() + of_parts);
  const Eigen::Matrix<float, 2, 3, Eigen::RowMajor> dy = Eigen::Matrix<float, 2, 3, Eigen::RowMajor>::Ones();
  sbora::add_bias_gradient(adapter.full_tensors()[0], dy);
  CHECK(gradient[of_parts] == 2);
  sbora::adamw<float> optimiser(adapter.parameter_count(), {.learning_rate = 0.5});
  optimiser.step(adapter.parameters(), adapter.gradient());
  CHECK(numbers[of_parts] < like.parameters()[of_parts]);
  sbora::muon<float> by_matrices(adapter.blocks());
  by_matrices.step(adapter.parameters(), adapter.gradient());
  CHECK_ERROR(sbora::config_error, "takes what it replaces when it is made", adapter.set_full_tensors({}));
  CHECK_ERROR(sbora::shape_error, "38 parameters needed, the span given has 20",
              model_adapter<float>(sbora::adapter_kind::fa, config(), like.parts(),
                                   sbora::adapter_memory<float>{std::span(numbers).first(of_parts), {}}, replaced()));
}

TEST_CASE("tokens of a model's adapter serve the embedding, and are merged") {
  model_adapter<float> adapter = made();
  std::vector<float> base = table;
  const sbora::weight_view<float> weight(base.data(), 9, 5);
  const sbora::embedding layer(weight);
  fill_random(adapter.tokens("m.embed").parameters(), 8);
  const std::vector<int> ids = {2, 3, 7};
  Eigen::Matrix<float, 3, 5, Eigen::RowMajor> x, merged;
  layer.forward(ids, x, adapter.tokens("m.embed"));
  layer.backward(ids, x, adapter.tokens("m.embed"));
  CHECK(adapter.gradient()[of_parts + 8 + 5] == x(0, 0));
  sbora::token_merger merger(weight);
  merger.merge(adapter.tokens("m.embed"));
  layer.forward(ids, merged);
  CHECK(x == merged);
  merger.unmerge(adapter.tokens("m.embed"));
  CHECK(base == table);
}

TEST_CASE("an adapter may be of tokens alone") {
  replaced_values<float> alone;
  alone.tokens = std::move(replaced().tokens);
  const model_adapter<float> adapter(sbora::adapter_kind::fb, {}, {}, std::move(alone));
  CHECK(adapter.size() == 0);
  CHECK(adapter.parameter_count() == 10);
  const sbora::frozen_adapter<float> frozen = adapter;
  CHECK(same_bits<float>(frozen->tokens("m.embed").parameters(), adapter.tokens("m.embed").parameters()));
  CHECK_ERROR(sbora::config_error, "no modules", model_adapter<float>(sbora::adapter_kind::fb, {}, {}));
}

TEST_CASE("a frozen adapter is a copy without gradients") {
  model_adapter<float> adapter = made();
  adapter.fa("m.q").set_multiplier(0.25);
  const sbora::frozen_adapter<float> frozen = adapter;
  CHECK(same_bits<float>(frozen->parameters(), adapter.parameters()));
  CHECK(frozen->parameters().data() != adapter.parameters().data());
  CHECK(frozen->gradient().empty());
  CHECK(frozen->full_tensors()[1].gradient().empty());
  CHECK(frozen->full_tensors()[1].parameters().data() == frozen->parameters().data() + of_parts + 3);
  CHECK(frozen->delta("m.q").scale == adapter.delta("m.q").scale);
  const auto copy = frozen;
  CHECK(copy->parameters().data() == frozen->parameters().data());
}

TEST_CASE("names that contradict each other are refused, and the adapter is as it was") {
  model_adapter<float> adapter = made();
  const auto refused = [&](replaced_values<float> values) {
    return message_of<sbora::config_error>([&] { adapter.set_replaced(std::move(values)); });
  };
  const auto tokens = [](std::vector<std::string> of) {
    replaced_values<float> values;
    for (const std::string& module : of) {
      values.tokens.push_back({module, {sbora::weight_view<const float>(table.data(), 9, 5), sbora::region(9, {7})}});
    }
    return values;
  };
  CHECK_THAT(refused(tokens({"m.q"})), contains("tokens of 'm.q' are of a module that has an adapter"));
  CHECK_THAT(refused(tokens({"m.e", "m.e"})), contains("tokens of 'm.e' come twice"));
  CHECK_THAT(refused(tokens({""})), contains("have no module"));
  replaced_values<float> both = tokens({"m.e"});
  both.tensors = {{"m.e.weight", {1}, {1}}};
  CHECK_THAT(refused(std::move(both)), contains("is the weight of a module that has tokens"));
  CHECK_ERROR(sbora::config_error, "no tokens of module 'm.x'", adapter.tokens("m.x"));
  const model_adapter<float> before = made();
  CHECK(same_bits<float>(std::as_const(adapter).parameters(), before.parameters()));
}
