#include "support/catch.hpp"

#include <map>

#include "model/model.hpp"
#include "tiny_model.hpp"

using llama::index_t;
using llama::matrix;
using llama::model;
using llama::token_batch;
using namespace llama::test;

TEST_CASE("token scores: the losses of evaluate(), and who has the highest logit") {
  sbora::thread_pool pool(2);
  for (const int architecture : {0, 1, 2}) {
    model net = loud_model(tiny_config_of(architecture), 3);
    token_batch batch = random_batch(net.config(), {9, 1, 14, 5}, 4);
    const matrix logits = net.logits(batch, pool);
    // Every other label is what the model would say.
    for (index_t row = 1; row < logits.rows(); row += 2) {
      auto& label = batch.labels[static_cast<std::size_t>(row)];
      if (label == token_batch::not_scored) continue;
      Eigen::Index best = 0;
      logits.row(row - 1).maxCoeff(&best);
      label = static_cast<std::int32_t>(best);
    }
    const std::vector<llama::token_score> scores = net.score(batch, pool);
    std::size_t next = 0;
    double total = 0;
    int greedy = 0;
    for (index_t sequence = 0; sequence < batch.sequences; ++sequence) {
      for (index_t t = 1; t < batch.length; ++t) {
        const index_t row = sequence * batch.length + t;
        const std::int32_t label = batch.labels[static_cast<std::size_t>(row)];
        if (batch.mask[static_cast<std::size_t>(row - 1)] == 0 || label == token_batch::not_scored) continue;
        REQUIRE(next < scores.size());
        const Eigen::VectorXd own = logits.row(row - 1).cast<double>();
        const double expected = std::log((own.array() - own(label)).exp().sum());
        CHECK(scores[next].sequence == sequence);
        CHECK(std::abs(scores[next].loss - expected) < 1e-5 * (1 + expected));
        CHECK(scores[next].greedy == (own(label) == own.maxCoeff()));
        greedy += scores[next].greedy;
        total += scores[next++].loss;
      }
    }
    CHECK(next == scores.size());
    CHECK(greedy > 0);
    CHECK(greedy < static_cast<int>(scores.size()));
    const llama::loss_sum sum = net.evaluate(batch, pool);
    CHECK(sum.count == static_cast<std::int64_t>(scores.size()));
    CHECK(std::abs(sum.total - total) < 1e-4 * total);
  }
}

TEST_CASE("observers: what they are shown makes the gradient of each weight, and of its input") {
  sbora::thread_pool pool(2);
  for (const int architecture : {0, 1, 2}) {
    model net = loud_model(tiny_config_of(architecture), 3);
    const token_batch batch = random_batch(net.config(), {9, 6}, 4);
    std::map<std::string, const llama::projection*> layers;
    for (const llama::block& each : net.blocks()) {
      for (const llama::projection& layer : each.linears()) layers[layer.name()] = &layer;
    }
    std::map<std::string, matrix> gradients;
    net.attach_observers([&](const std::string& module) -> llama::linear_observer {
      if (module.ends_with("o_proj")) return {};
      return [&, module](const matrix& x, const matrix& dy, const matrix& dx, sbora::workspace&, sbora::thread_pool&) {
        CHECK(!gradients.contains(module));
        gradients[module] = dy.transpose() * x;
        matrix weight(layers[module]->d_out(), layers[module]->d_in());
        for (index_t row = 0; row < weight.rows(); ++row)
          llama::read_row(layers[module]->weight(), row, &weight(row, 0));
        const matrix expected = dy * weight;
        CHECK((dx - expected).norm() <= 1e-5F * expected.norm());
      };
    });
    net.forward_backward(batch, 0.5F, pool);
    const std::size_t linears = net.blocks().front().linears().size();
    CHECK(gradients.size() == net.blocks().size() * (linears - 1));

    net.train_all_weights();
    net.forward_backward(batch, 0.5F, pool);
    for (const auto& [module, gradient] : gradients) {
      const float* const at = layers[module]->weight().visit([](const auto& view) -> const float* {
        if constexpr (requires { view.data(); }) return reinterpret_cast<const float*>(view.data());
        else return nullptr;
      });
      const auto offset = at - net.parameters().data();
      const Eigen::Map<const matrix> expected(net.gradient().data() + offset, gradient.rows(), gradient.cols());
      INFO(module);
      CHECK(expected.norm() > 0);
      CHECK((gradient - expected).norm() <= 1e-5F * expected.norm());
    }
  }
}
