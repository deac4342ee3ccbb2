#include "base_model.hpp"

#include "dense_layer.hpp"

namespace byte_lm {

std::vector<float> make_base(const options& settings, const corpus& text, thread_pool& pool,
                             std::vector<loss_record>& log) {
  std::vector<float> parameters(static_cast<std::size_t>(model_view::size()));
  std::vector<float> gradient(parameters.size());
  const model_view values{parameters};
  const model_view gradients{gradient};
  initialise(values, settings.seed);
  network<dense_layer, dense_layer> net(values, dense_layer(values, gradients, 0), dense_layer(values, gradients, 1),
                                        dense_layer(values, gradients, output_layer));
  matrix_map embedding_gradient = gradients.embedding();
  train(net, parameters, gradient, &embedding_gradient, text,
        {.key = "base",
         .phase = "base model",
         .steps = settings.base_steps,
         .batch = settings.batch,
         .learning_rate = 1e-3,
         .seed = settings.seed},
        pool, log);
  return parameters;
}

}  // namespace byte_lm
