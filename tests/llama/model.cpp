#include "support/catch.hpp"

#include <cmath>
#include <cstring>
#include <filesystem>

#include "model/decoder.hpp"
#include "model/model_tensors.hpp"
#include "common/error.hpp"
#include "tiny_model.hpp"

using namespace llama;
using namespace llama::test;

namespace {

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

double largest(std::span<const float> values) {
  double result = 0;
  for (const float value : values) result = std::max(result, std::fabs(static_cast<double>(value)));
  return result;
}

/// Largest difference over the largest value; infinite where anything isn't a number.
double difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double off = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!std::isfinite(off)) return INFINITY;
    worst = std::max(worst, off);
  }
  return worst / largest(b);
}
double difference(const matrix& a, const matrix& b) {
  return difference(std::span(a.data(), static_cast<std::size_t>(a.size())),
                    std::span(b.data(), static_cast<std::size_t>(b.size())));
}

/// What two orders of float sums may differ by: a depth of tens of operations a layer, random signs.
constexpr double rounding = 2e-6;

std::vector<float> gradient_of(model& net, const token_batch& batch, int threads, std::uint64_t step = 0) {
  thread_pool pool(threads);
  net.zero_gradient();
  net.set_training_step(step);
  net.forward_backward(batch, 0.5f, pool);
  return {net.gradient().begin(), net.gradient().end()};
}

/// Against central differences of evaluate() along the gradient itself, the direction in which they are largest:
/// d/dt loss(p + t g / |g|) is |g|.
void check_gradient(model& net, const token_batch& batch) {
  thread_pool pool(2);
  const std::vector<float> gradient = gradient_of(net, batch, 2);
  double square = 0;
  for (const float g : gradient) square += static_cast<double>(g) * static_cast<double>(g);
  const double norm = std::sqrt(square);
  REQUIRE(norm > 0.1);
  const std::vector<float> original(net.parameters().begin(), net.parameters().end());
  const auto loss_at = [&](double t) {
    for (std::size_t i = 0; i < original.size(); ++i) {
      const double moved = static_cast<double>(original[i]) + t * static_cast<double>(gradient[i]) / norm;
      net.parameters()[i] = static_cast<float>(moved);
    }
    return 0.5 * net.evaluate(batch, pool).total;
  };
  // The losses, about 100 nats in sum, are rounded to about 1e-7 of that at random: 1e-3 of a slope of about 60.
  // Truncation is of the fourth order (Richardson's rule takes the second out): 1.1e-2 relative was seen at
  // 0.02, so 4e-5 at a quarter of that.
  const auto slope = [&](double t) { return (loss_at(t) - loss_at(-t)) / (2 * t); };
  const double h = 0.005;
  const double derivative = (4 * slope(h) - slope(2 * h)) / 3;
  std::copy(original.begin(), original.end(), net.parameters().begin());
  CHECK(derivative == Approx(norm).epsilon(1e-3));
}

}  // namespace

TEST_CASE("gradients of every adapter against differences of the loss") {
  const auto method = GENERATE(adapter_method::sbora_fa, adapter_method::sbora_fb, adapter_method::lora);
  model net = loud_model(tiny_config_of(GENERATE(0, 1, 2)), 1);
  attach_filled(net, plan_for(method));
  const token_batch batch = random_batch(net.config(), {19, 7, 12}, 2);
  check_gradient(net, batch);
}

TEST_CASE("gradients of all weights against differences of the loss, tied and untied") {
  model_config config = tiny_config_of(GENERATE(0, 1, 2));
  config.tie_word_embeddings = GENERATE(false, true);
  model net = loud_model(config, 1);
  net.train_all_weights();
  const token_batch batch = random_batch(config, {19, 7, 12}, 2);
  check_gradient(net, batch);

  // And each tensor's by itself: rows of the embedding, norms, projections.
  const std::vector<float> gradient = gradient_of(net, batch, 1);
  CHECK(std::all_of(gradient.begin(), gradient.end(), [](float g) { return std::isfinite(g); }));
  // One that is missing leaves the others' norm right.
  std::span<const float> rest = gradient;
  for (const tensor_shape& each : tensors_of(config)) {
    INFO(each.name);
    const auto size = static_cast<std::size_t>(each.elements());
    CHECK(largest(rest.first(size)) > 1e-3);
    rest = rest.subspan(size);
  }
}

TEST_CASE("loss and gradient are the same for any number of threads, and with gradient checkpointing") {
  const auto method = GENERATE(adapter_method::sbora_fa, adapter_method::sbora_fb, adapter_method::lora);
  const double dropout = GENERATE(0.0, 0.3);
  model net = loud_model(tiny_config_of(GENERATE(0, 1, 2)), 1);
  attach_filled(net, plan_for(method, dropout));
  const token_batch batch = random_batch(net.config(), {23, 5, 40}, 2);
  const std::vector<float> one = gradient_of(net, batch, 1);
  CHECK(largest(one) > 0);
  CHECK(same_bits(gradient_of(net, batch, 2), one));
  CHECK(same_bits(gradient_of(net, batch, 3), one));
  CHECK(same_bits(gradient_of(net, batch, 2, 1), one) == (dropout == 0));
  net.set_gradient_checkpointing(true);
  const std::vector<float> recomputed = gradient_of(net, batch, 2);
  CHECK(same_bits(recomputed, one));
  const std::size_t small = net.memory().activations;
  net.set_gradient_checkpointing(false);
  CHECK(same_bits(gradient_of(net, batch, 2), one));
  // Three blocks, against their inputs and one block at a time.
  CHECK(2 * net.memory().activations > 3 * small);
}

TEST_CASE("the whole model's training is the same for any number of threads, and with gradient checkpointing") {
  model net = loud_model(tiny_config_of(GENERATE(0, 1, 2)), 1);
  net.train_all_weights();
  const token_batch batch = random_batch(net.config(), {23, 5, 40}, 2);
  const std::vector<float> one = gradient_of(net, batch, 1);
  CHECK(same_bits(gradient_of(net, batch, 3), one));
  net.set_gradient_checkpointing(true);
  CHECK(same_bits(gradient_of(net, batch, 2), one));
}

TEST_CASE("gradients add up over batches, scaled") {
  thread_pool pool(2);
  model net = loud_model(tiny_config(), 1);
  attach_filled(net, plan_for(adapter_method::sbora_fa));
  const token_batch first = random_batch(net.config(), {9, 4}, 2);
  const token_batch second = random_batch(net.config(), {6}, 3);
  const std::vector<float> a = gradient_of(net, first, 2);
  const std::vector<float> b = gradient_of(net, second, 2);
  net.zero_gradient();
  net.forward_backward(first, 1.0f, pool);
  net.forward_backward(second, 0.25f, pool);
  std::vector<float> sum(a.size());
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = 2 * a[i] + 0.5f * b[i];
  CHECK(difference(net.gradient(), sum) < rounding);
}

TEST_CASE("padding changes nothing") {
  thread_pool pool(2);
  model net = loud_model(tiny_config(), 1);
  attach_filled(net, plan_for(adapter_method::sbora_fb));
  const token_batch batch = random_batch(net.config(), {31, 20, 26}, 4);
  const matrix padded = net.logits(batch, pool);
  loss_sum sum;
  for (index_t i = 0; i < batch.sequences; ++i) {
    const token_batch one = alone(batch, i);
    const matrix own = net.logits(one, pool);
    // Other numbers of tokens are cut into other tiles: the same but for rounding.
    const auto rows = padded.middleRows((i + 1) * batch.length - one.length, one.length);
    CHECK(difference(own, matrix(rows)) <= rounding);
    sum += net.evaluate(one, pool);
  }
  const loss_sum whole = net.evaluate(batch, pool);
  CHECK(whole.count == sum.count);
  CHECK(whole.total == Approx(sum.total).epsilon(rounding));
  CHECK(padded.row(batch.length).isZero(0));  // padding of the second sequence
}

TEST_CASE("the loss is what the logits say, over scored tokens only") {
  thread_pool pool(2);
  model net = loud_model(tiny_config(), 1);
  token_batch batch = random_batch(net.config(), {14, 9}, 5);
  const matrix logits = net.logits(batch, pool);
  double total = 0;
  std::int64_t count = 0;
  for (index_t s = 0; s < 2; ++s) {
    for (index_t t = 1; t < batch.length; ++t) {
      const auto at = static_cast<std::size_t>(s * batch.length + t);
      if (!batch.mask[at - 1] || batch.labels[at] == token_batch::not_scored) continue;
      const Eigen::RowVectorXd row = logits.row(static_cast<index_t>(at) - 1).cast<double>();
      total += std::log((row.array() - row.maxCoeff()).exp().sum()) + row.maxCoeff() - row(batch.labels[at]);
      ++count;
    }
  }
  const loss_sum loss = net.evaluate(batch, pool);
  CHECK(loss.count == count);
  CHECK(loss.total == Approx(total).epsilon(1e-6));
  batch.labels.assign(batch.labels.size(), token_batch::not_scored);
  CHECK(net.evaluate(batch, pool).count == 0);
  net.attach(plan_for(adapter_method::sbora_fa));
  CHECK(net.forward_backward(batch, 1.0f, pool).count == 0);
  CHECK(largest(net.gradient()) == 0.0);
}

TEST_CASE("decoding with the cache is the full forward, token by token") {
  thread_pool pool(2);
  model_config config = tiny_config_of(GENERATE(0, 1, 2));
  config.tie_word_embeddings = GENERATE(false, true);
  model net = loud_model(config, 1);
  attach_filled(net, plan_for(GENERATE(adapter_method::sbora_fa, adapter_method::lora)));
  const token_batch whole = random_batch(config, {30, 22, 26}, 6);
  constexpr index_t steps = 7;
  // The prompts are all but the last 7 tokens of every sequence.
  token_batch prompts;
  prompts.sequences = whole.sequences;
  prompts.length = whole.length - steps;
  for (index_t s = 0; s < whole.sequences; ++s) {
    for (index_t t = 0; t < prompts.length; ++t) {
      const auto at = static_cast<std::size_t>(s * whole.length + t);
      prompts.tokens.push_back(whole.tokens[at]);
      prompts.mask.push_back(whole.mask[at]);
    }
  }
  const matrix expected = net.logits(whole, pool);
  decoder generation(net, pool);
  matrix got = generation.prefill(prompts, steps);
  for (index_t step = 0;; ++step) {
    for (index_t s = 0; s < whole.sequences; ++s) {
      const index_t row = s * whole.length + prompts.length - 1 + step;
      CHECK(difference(matrix(got.row(s)), matrix(expected.row(row))) < 1e-5);
    }
    if (step == steps) break;
    std::vector<std::int32_t> next;
    for (index_t s = 0; s < whole.sequences; ++s) {
      next.push_back(whole.tokens[static_cast<std::size_t>(s * whole.length + prompts.length + step)]);
    }
    got = generation.step(next);
  }
  CHECK_THROWS_AS(generation.step(std::vector<std::int32_t>(3, 1)), input_error);  // no room

  // Sequences leave the batch: the others go on, in the order that is asked for.
  generation.prefill(prompts, steps);
  std::vector<index_t> batch = {0, 1, 2};
  for (index_t step = 0; step < steps; ++step) {
    if (step == 2) generation.keep(batch = {2, 0});
    if (step == 5) {
      generation.keep(std::vector<index_t>{1});
      batch = {0};
    }
    std::vector<std::int32_t> next;
    for (const index_t s : batch) {
      next.push_back(whole.tokens[static_cast<std::size_t>(s * whole.length + prompts.length + step)]);
    }
    got = generation.step(next);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const index_t row = batch[i] * whole.length + prompts.length + step;
      CHECK(difference(matrix(got.row(static_cast<index_t>(i))), matrix(expected.row(row))) < 1e-5);
    }
  }
  generation.prefill(prompts, 1);  // and anew
  CHECK_THROWS_AS(generation.step(std::vector<std::int32_t>(2, 1)), input_error);
  CHECK_THROWS_AS(generation.step(std::vector<std::int32_t>(3, 61)), input_error);
}

TEST_CASE("greedy decoding takes the first of the largest") {
  matrix logits(2, 3);
  logits << 1, 5, 5, -3, -4, -3;
  CHECK(greedy(logits) == std::vector<std::int32_t>{1, 0});
}

namespace {

/// A model's tensors, to make others of.
std::vector<named_tensor> tensors_of_model(model& net) {
  const model_config& config = net.config();
  net.train_all_weights();
  std::vector<named_tensor> result;
  std::size_t offset = 0;
  const auto take = [&](const std::string& name, index_t rows, index_t cols) {
    result.push_back({name, Eigen::Map<matrix>(net.parameters().data() + offset, rows, cols)});
    offset += static_cast<std::size_t>(rows * cols);
  };
  const index_t hidden = config.hidden_size;
  take("model.embed_tokens.weight", config.vocab_size, hidden);
  for (index_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    take(prefix + "self_attn.q_proj.weight", config.query_size(), hidden);
    take(prefix + "self_attn.k_proj.weight", config.key_value_size(), hidden);
    take(prefix + "self_attn.v_proj.weight", config.key_value_size(), hidden);
    take(prefix + "self_attn.o_proj.weight", hidden, config.query_size());
    take(prefix + "mlp.gate_proj.weight", config.intermediate_size, hidden);
    take(prefix + "mlp.up_proj.weight", config.intermediate_size, hidden);
    take(prefix + "mlp.down_proj.weight", hidden, config.intermediate_size);
    take(prefix + "input_layernorm.weight", hidden, 1);
    take(prefix + "post_attention_layernorm.weight", hidden, 1);
  }
  take("model.norm.weight", hidden, 1);
  if (!config.tie_word_embeddings) take("lm_head.weight", config.vocab_size, hidden);
  CHECK(offset == net.parameters().size());
  net.attach({});
  return result;
}

}  // namespace

TEST_CASE("grouped queries are repeated keys and values") {
  thread_pool pool(2);
  model grouped = loud_model(tiny_config(), 1);
  auto tensors = tensors_of_model(grouped);
  model_config config = tiny_config();
  config.num_key_value_heads = config.num_attention_heads;
  for (named_tensor& each : tensors) {
    if (each.name.find("k_proj") == std::string::npos && each.name.find("v_proj") == std::string::npos) continue;
    matrix repeated(config.key_value_size(), config.hidden_size);
    for (index_t head = 0; head < 6; ++head) {
      repeated.middleRows(head * 6, 6) = each.values.middleRows(head / 3 * 6, 6);
    }
    each.values = repeated;
  }
  model repeated(config, std::move(tensors));
  const token_batch batch = random_batch(config, {21, 8}, 7);
  CHECK(difference(grouped.logits(batch, pool), repeated.logits(batch, pool)) < rounding);
}

TEST_CASE("a tied head is an untied one with the embedding's weight") {
  thread_pool pool(2);
  model_config config = tiny_config();
  config.tie_word_embeddings = true;
  model tied = loud_model(config, 1);
  auto tensors = tensors_of_model(tied);
  tensors.push_back({"lm_head.weight", tensors.front().values});
  config.tie_word_embeddings = false;
  model untied(config, std::move(tensors));
  const token_batch batch = random_batch(config, {21, 8}, 7);
  const matrix a = tied.logits(batch, pool);
  const matrix b = untied.logits(batch, pool);
  CHECK(a == b);
}

TEST_CASE("a new SBoRA adapter or LoRA changes nothing") {
  thread_pool pool(2);
  model net = loud_model(tiny_config(), 1);
  const token_batch batch = random_batch(net.config(), {21, 8}, 7);
  const matrix base = net.logits(batch, pool);
  for (const auto method : {adapter_method::sbora_fa, adapter_method::sbora_fb, adapter_method::lora}) {
    net.attach(plan_for(method));
    CHECK(difference(net.logits(batch, pool), base) < rounding);
  }
  net.attach({});
  CHECK(net.logits(batch, pool) == base);
  CHECK(net.parameters().empty());
}

TEST_CASE("adapters: parameters, regions and seeds") {
  model net = loud_model(tiny_config(), 1);
  adapter_plan plan = plan_for(adapter_method::sbora_fa);
  plan.target_modules = {"q_proj", "mlp.down_proj"};
  net.attach(plan);
  REQUIRE(net.adapters().size() == 6);
  const adapter_slot& first = net.adapters()[0];
  CHECK(first.module == "model.layers.0.self_attn.q_proj");
  CHECK(net.adapters()[1].module == "model.layers.0.mlp.down_proj");
  CHECK(first.b.size() == 36 * 5);
  CHECK(first.a.empty());
  CHECK(first.b.data() == net.parameters().data());
  CHECK(net.parameters().size() == 3 * (36 * 5 + 24 * 5));
  CHECK(net.gradient().size() == net.parameters().size());
  REQUIRE(first.target != nullptr);
  const sbora::region region = *first.target;
  CHECK(region.dim() == 24);
  CHECK_FALSE(*net.adapters()[2].target == region);

  net.attach(plan);
  CHECK(*net.adapters()[0].target == region);
  plan.seed = 12;
  net.attach(plan);
  CHECK_FALSE(*net.adapters()[0].target == region);

  plan.method = adapter_method::lora;
  net.attach(plan);
  CHECK(net.parameters().size() == 3 * (5 * (36 + 24) + 5 * (24 + 42)));
  const adapter_slot& lora = net.adapters()[0];
  CHECK(largest(lora.b) == 0.0);
  CHECK(largest(lora.a) <= 1 / std::sqrt(24.0));
  CHECK(largest(lora.a) > 0.8 / std::sqrt(24.0));
}

TEST_CASE("what cannot be attached is refused, and nothing changes") {
  model net = loud_model(tiny_config(), 1);
  attach_filled(net, plan_for(adapter_method::sbora_fa));
  const std::vector<float> before(net.parameters().begin(), net.parameters().end());
  const auto refused = [&](auto change) {
    adapter_plan plan = plan_for(adapter_method::sbora_fa);
    change(plan);
    CHECK_THROWS_AS(net.attach(plan), input_error);
  };
  refused([](adapter_plan& plan) { plan.target_modules = {"q_proj", "qkv_proj"}; });
  refused([](adapter_plan& plan) { plan.target_modules = {"lm_head"}; });
  refused([](adapter_plan& plan) { plan.target_modules = {"proj"}; });  // a suffix, but not of whole names
  refused([](adapter_plan& plan) { plan.target_modules = {}; });
  refused([](adapter_plan& plan) { plan.rank = 25; });
  refused([](adapter_plan& plan) { plan.rank = 0; });
  refused([](adapter_plan& plan) { plan.alpha = -1; });
  refused([](adapter_plan& plan) { plan.dropout = 1; });
  CHECK_THROWS_AS(net.attach(plan_for(adapter_method::sbora_fa), std::vector<sbora::region>{}), input_error);
  CHECK(same_bits(net.parameters(), before));
}

TEST_CASE("batches that no model can take are refused") {
  thread_pool pool(1);
  model net = loud_model(tiny_config(), 1);
  const token_batch good = random_batch(net.config(), {5, 3}, 8);
  const auto refused = [&](auto change) {
    token_batch batch = good;
    change(batch);
    CHECK_THROWS_AS(net.evaluate(batch, pool), input_error);
  };
  refused([](token_batch& batch) { batch.tokens[1] = 61; });
  refused([](token_batch& batch) { batch.tokens[1] = -1; });
  refused([](token_batch& batch) { batch.labels[2] = 61; });
  refused([](token_batch& batch) { batch.mask[3] = 0; });
  refused([](token_batch& batch) { std::fill(batch.mask.begin(), batch.mask.end(), std::uint8_t{0}); });
  refused([](token_batch& batch) { batch.tokens.pop_back(); });
  refused([](token_batch& batch) { batch.labels.clear(); });
}
