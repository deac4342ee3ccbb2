// Decodes with a LLaMA for requests of many adapters in one batch: how many tokens a second, with 1, 8, 64 adapters
// beside none at all. The adapters are in an adapter_store, FA and FB in turn, with random numbers.

#include <chrono>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <sbora/model/adapter_store.hpp>
#include <sbora/model/make_adapter.hpp>

#include "common/option_checks.hpp"
#include "model/adapter_files.hpp"
#include "model/config.hpp"
#include "model/decoder.hpp"
#include "model/model.hpp"

namespace serving {

using namespace llama;

struct options {
  std::string base_model;
  std::vector<index_t> adapters = {1, 8, 64};
  index_t sequences = 64, prompt = 16, tokens = 32, rank = 8;
  index_t hidden = 512, layers = 8;
  int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
};

std::optional<options> parse_options(int argc, char** argv) {
  options set;
  CLI::App app(
      "Decodes with a LLaMA, greedily, for a batch of requests that have different SBoRA adapters: all of the batch's\n"
      "tokens go through the base once, and each adapter's part is added to its own. Prints tokens a second.");
  app.name("serving");
  app.get_formatter()->column_width(28);
  app.option_defaults()->always_capture_default();
  app.add_option("--base_model", set.base_model, "folder of a LLaMA checkpoint; none: random weights")
      ->type_name("DIR")
      ->check(check_name);
  app.add_option("--adapters", set.adapters, "how many are in a batch, one run each")
      ->type_name("N")
      ->delimiter(',')
      ->check(between(1, 4096));
  app.add_option("--sequences", set.sequences, "requests of the batch")->type_name("N")->check(between(1, 4096));
  app.add_option("--prompt", set.prompt, "tokens of each prompt, random ones")->type_name("N")->check(between(1, 4096));
  app.add_option("--tokens", set.tokens, "tokens to decode for each request")->type_name("N")->check(between(1, 4096));
  app.add_option("--rank", set.rank, "of the adapters")->type_name("N")->check(between(1, 1024));
  app.add_option("--hidden", set.hidden, "width of the random model, a multiple of 64")
      ->type_name("N")
      ->check(between(64, 8192));
  app.add_option("--layers", set.layers, "layers of the random model")->type_name("N")->check(between(1, 128));
  app.add_option("--threads", set.threads, "threads; tokens don't depend on it")
      ->type_name("N")
      ->check(between(1, 256));
  if (!parse_or_help(app, [&] { app.parse(argc, argv); })) return std::nullopt;
  if (set.hidden % 64 != 0) throw input_error("--hidden: " + std::to_string(set.hidden) + " isn't a multiple of 64");
  return set;
}

model base_model(const options& set, thread_pool& pool) {
  if (!set.base_model.empty()) return model::load(set.base_model, {}, pool);
  model_config config;
  config.vocab_size = 4096;
  config.hidden_size = set.hidden;
  config.intermediate_size = 3 * set.hidden;
  config.num_hidden_layers = set.layers;
  config.head_dim = 64;
  config.num_attention_heads = config.num_key_value_heads = set.hidden / 64;
  return model::random(config, 1);
}

/// An adapter on every linear layer, as a source of the store would read it from files.
sbora::model_adapter<float> random_adapter(const std::vector<sbora::model_module>& modules, index_t number,
                                           index_t rank) {
  sbora::adapter_config config;
  config.kind = number % 2 == 0 ? sbora::adapter_kind::fa : sbora::adapter_kind::fb;
  config.r = rank;
  config.target_modules.regex = "all-linear";
  const auto seed = static_cast<std::uint64_t>(number);
  auto adapter = sbora::make_adapter<float>(config, modules, seed);
  sbora::random_stream random(seed);
  for (float& value : adapter.parameters()) value = static_cast<float>(0.02 * (2 * random.uniform() - 1));
  return adapter;
}

class server {
 public:
  explicit server(const options& set) : set_(set), pool_(set.threads), net_(base_model(set, pool_)) {
    const std::vector<sbora::model_module> modules = modules_of(net_);
    store_.emplace(modules, index_t{8} << 30);
    for (index_t i = 0; i < *std::ranges::max_element(set.adapters); ++i) {
      store_->add(std::to_string(i), 1, [modules, i, rank = set.rank] { return random_adapter(modules, i, rank); });
    }
  }

  /// Tokens a second of decoding, after the prompts: of the base alone where `adapters` is 0.
  double tokens_per_second(index_t adapters) {
    std::vector<sbora::adapter_handle<float>> held;  // while requests use them, whatever the store does
    for (index_t i = 0; i < adapters; ++i) held.push_back(store_->get(std::to_string(i)));
    index_t module = 0;  // in the order of the store's
    sbora::adapter_rows rows;
    net_.attach_mixed(
        [&](const std::string&) {
          sbora::delta_list<float> deltas;
          for (const auto& handle : held) deltas.push_back(handle->delta(module));
          ++module;
          return deltas;
        },
        rows);
    decoder decode(net_, pool_);
    rows.assign(adapter_of_rows(adapters, set_.prompt), adapters);
    std::vector<std::int32_t> next = greedy(decode.prefill(prompts(), set_.tokens));
    rows.assign(adapter_of_rows(adapters, 1), adapters);
    const auto start = std::chrono::steady_clock::now();
    for (index_t i = 0; i < set_.tokens; ++i) next = greedy(decode.step(next));
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    net_.attach({});
    return static_cast<double>(set_.sequences * set_.tokens) / passed.count();
  }

 private:
  /// Request i has adapter i modulo their number; every request has `tokens` rows.
  std::vector<index_t> adapter_of_rows(index_t adapters, index_t tokens) const {
    std::vector<index_t> ids;
    for (index_t i = 0; i < set_.sequences; ++i) {
      ids.insert(ids.end(), static_cast<std::size_t>(tokens), adapters == 0 ? sbora::no_adapter : i % adapters);
    }
    return ids;
  }

  token_batch prompts() const {
    sbora::random_stream random(7);
    token_batch batch;
    batch.sequences = set_.sequences;
    batch.length = set_.prompt;
    const auto size = static_cast<std::size_t>(set_.sequences * set_.prompt);
    for (std::size_t i = 0; i < size; ++i) {
      batch.tokens.push_back(static_cast<std::int32_t>(random.below(net_.config().vocab_size)));
    }
    batch.mask.assign(size, 1);
    return batch;
  }

  options set_;
  thread_pool pool_;
  model net_;
  std::optional<sbora::adapter_store<float>> store_;
};

int run(const options& set) {
  server serve(set);
  std::printf("%td requests, %td tokens each, adapters of rank %td on all linear layers, %d threads\n", set.sequences,
              set.tokens, set.rank, set.threads);
  std::printf("%10s%14s%14s\n", "adapters", "tokens/s", "of the base's");
  serve.tokens_per_second(0);  // memory is there afterwards
  double base = serve.tokens_per_second(0);
  std::printf("%10s%14.1f\n", "none", base);
  for (const index_t adapters : set.adapters) {
    const double speed = serve.tokens_per_second(adapters);
    std::printf("%10td%14.1f%13.1f%%\n", adapters, speed, 100 * speed / base);
  }
  return 0;
}

}  // namespace serving

int main(int argc, char** argv) {
  try {
    const std::optional<serving::options> set = serving::parse_options(argc, argv);
    return set ? serving::run(*set) : 0;
  } catch (const examples::input_error& error) {
    std::fprintf(stderr, "serving: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "serving: %s\n", error.what());
    return 1;
  }
}
