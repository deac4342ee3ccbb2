// Requests of different adapters in one batch: each gets the logits that it gets alone, with its adapter on the model.

#include <sbora/io/adapter/sbora_checkpoint.hpp>
#include <sbora/model/make_adapter.hpp>

#include "io/temporary_directory.hpp"
#include "tiny_model.hpp"
#include "model/adapter_files.hpp"
#include "model/decoder.hpp"
#include "support/catch.hpp"

using namespace llama;
using namespace llama::test;
using sbora_tests::temporary_directory;

namespace {

sbora::model_adapter<float> adapter(const model& of, sbora::adapter_kind kind, std::uint64_t seed) {
  sbora::adapter_config config;
  config.kind = kind;
  config.r = 3;
  config.target_modules.names = {"q_proj", "down_proj", "up_proj"};
  auto made = sbora::make_adapter<float>(config, modules_of(of), seed);
  sbora::random_stream random(seed);
  for (float& value : made.parameters()) value = static_cast<float>(0.5 * (2 * random.uniform() - 1));
  return made;
}

double relative(const matrix& a, const matrix& b) { return (a - b).cwiseAbs().maxCoeff() / b.cwiseAbs().maxCoeff(); }

}  // namespace

TEST_CASE("a batch of requests with different adapters, decoded") {
  model net = loud_model(tiny_config(), 3);
  thread_pool pool(2);
  const std::vector<sbora::model_adapter<float>> adapters = [&] {
    std::vector<sbora::model_adapter<float>> made;
    made.push_back(adapter(net, sbora::adapter_kind::fa, 1));
    made.push_back(adapter(net, sbora::adapter_kind::fb, 2));
    return made;
  }();
  const std::vector<index_t> of_request = {1, sbora::no_adapter, 0, 1}, lengths = {5, 3, 4, 5};
  const token_batch prompts = random_batch(net.config(), lengths, 4);

  sbora::adapter_rows rows;
  net.attach_mixed(
      [&](const std::string& module) {
        sbora::delta_list<float> deltas;
        for (const auto& each : adapters) {
          deltas.push_back(each.has(module) ? each.delta(module) : sbora::weight_delta<float>{});
        }
        return deltas;
      },
      rows);
  std::vector<index_t> ids;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    ids.insert(ids.end(), static_cast<std::size_t>(lengths[i]), of_request[i]);
  }
  rows.assign(ids, 2);
  decoder together(net, pool);
  std::vector<matrix> logits = {together.prefill(prompts, 2)};
  rows.assign(of_request, 2);
  const std::vector<std::int32_t> next = greedy(logits[0]);
  logits.push_back(together.step(next));

  const temporary_directory folder;
  for (index_t i = 0; i < 4; ++i) {
    const auto at = static_cast<std::size_t>(i);
    net.attach({});
    if (of_request[at] != sbora::no_adapter) {
      const auto saved = folder / std::to_string(i);
      save_sbora(adapters[static_cast<std::size_t>(of_request[at])], saved);
      load_adapter(net, saved);
    }
    decoder alone_with_it(net, pool);
    CHECK(relative(logits[0].row(i), alone_with_it.prefill(alone(prompts, i), 2)) < 1e-5);
    const std::vector<std::int32_t> own = {next[at]};
    CHECK(relative(logits[1].row(i), alone_with_it.step(own)) < 1e-5);
  }
  CHECK(relative(logits[0].row(0), logits[0].row(3)) > 1e-3);
}
