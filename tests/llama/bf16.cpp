#include "support/catch.hpp"

#include <cmath>
#include <numeric>

#include "llama_support.hpp"
#include "model/projection.hpp"
#include "tiny_model.hpp"

using namespace llama;
using namespace llama::test;

namespace {

matrix random_matrix(index_t rows, index_t cols, std::uint64_t seed) {
  sbora::random_stream random(seed);
  matrix values(rows, cols);
  for (float& value : values.reshaped()) value = static_cast<float>(2 * random.uniform() - 1);
  return values;
}

using exact = Eigen::MatrixXd;
exact rounded(const matrix& values) { return values.cast<Eigen::bfloat16>().cast<double>(); }

/// |ours - sum of the products of a and b| is at most the products' number of roundings, each of the sums so far.
void check_product(const matrix& ours, const exact& expected, const exact& magnitude, index_t products) {
  const exact bound = magnitude * static_cast<double>(products + 2) * 0x1p-23;
  CHECK(((ours.cast<double>() - expected).array().abs() <= bound.array()).all());
}

}  // namespace

TEST_CASE("in bfloat16 base products read what is rounded, adapters what is there") {
  const auto method = GENERATE(adapter_method::none, adapter_method::sbora_fa, adapter_method::sbora_fb);
  const index_t tokens = GENERATE(1, 37), d_out = 46, d_in = 34, rank = 5;
  thread_pool pool(2);
  sbora::workspace memory;
  const matrix w = random_matrix(d_out, d_in, 1), x = random_matrix(tokens, d_in, 2),
               dy = random_matrix(tokens, d_out, 3);
  const auto stored = std::make_shared<const matrix_of<Eigen::bfloat16>>(w.cast<Eigen::bfloat16>());
  projection layer("layer", {sbora::weight_view(*stored), stored}, {}, std::make_shared<product_input>(true));

  exact delta = exact::Zero(d_out, d_in), gradient;
  std::vector<float> parameters(static_cast<std::size_t>(layer.parameter_count(method, rank)), 0.0f);
  std::vector<float> gradients(parameters.size(), 0.0f);
  const bool is_fa = method == adapter_method::sbora_fa;
  const sbora::region target = sbora::sample_region(is_fa ? d_in : d_out, rank, 4);
  if (method != adapter_method::none) {
    const matrix half = random_matrix(is_fa ? d_out : rank, is_fa ? rank : d_in, 5);
    std::copy_n(half.data(), half.size(), parameters.begin());
    for (index_t j = 0; j < rank; ++j) {
      const index_t index = target.indices()[static_cast<std::size_t>(j)];
      if (is_fa) delta.col(index) = half.col(j).cast<double>();
      else delta.row(index) = half.row(j).cast<double>();
    }
    layer.attach_sbora(method, target, {.alpha = 5}, parameters, gradients);
  }
  const auto size_of = [](const auto& values) -> exact { return values.template cast<double>().cwiseAbs(); };
  const exact y = rounded(x) * rounded(w).transpose() + x.cast<double>() * delta.transpose();
  const exact y_size = size_of(x) * (rounded(w).cwiseAbs() + delta.cwiseAbs()).transpose();
  const exact dx = rounded(dy) * rounded(w) + dy.cast<double>() * delta;
  const exact dx_size = size_of(dy) * (rounded(w).cwiseAbs() + delta.cwiseAbs());

  matrix ours, ours_dx;
  layer.forward(x, ours, pass::evaluate, memory, pool);
  check_product(ours, y, y_size, d_in + rank);
  layer.forward(x, ours, pass::train, memory, pool);
  check_product(ours, y, y_size, d_in + rank);
  layer.backward(x, dy, &ours_dx, memory, pool);
  check_product(ours_dx, dx, dx_size, d_out + rank);
  if (method == adapter_method::none) return;
  const exact whole = dy.cast<double>().transpose() * x.cast<double>(),
              whole_size = size_of(dy).transpose() * size_of(x);
  const Eigen::Map<const matrix> found(gradients.data(), is_fa ? d_out : rank, is_fa ? rank : d_in);
  for (index_t j = 0; j < rank; ++j) {
    const index_t index = target.indices()[static_cast<std::size_t>(j)];
    if (is_fa) check_product(found.col(j), whole.col(index), whole_size.col(index), tokens);
    else check_product(found.row(j), whole.row(index), whole_size.row(index), tokens);
  }
}

TEST_CASE("a model in bfloat16 has the same bits for any number of threads, and with gradient checkpointing") {
  const auto method = GENERATE(adapter_method::sbora_fa, adapter_method::sbora_fb, adapter_method::lora);
  thread_pool pool(2), one(1);
  const llama_test::scratch_directory directory;
  model net = loud_model(tiny_config(), 1);
  net.save(directory.path());
  const token_batch batch = random_batch(net.config(), {25, 18}, 2);
  load_options options;
  options.bf16 = true;
  model narrow = model::load(directory.path(), options, pool);
  attach_filled(net, plan_for(method, 0.3));
  attach_filled(narrow, plan_for(method, 0.3));
  const auto gradient_of = [&](model& of, thread_pool& with) {
    of.set_training_step(7);
    of.zero_gradient();
    const loss_sum loss = of.forward_backward(batch, 1.0f, with);
    return std::pair(loss.total, std::vector<float>(of.gradient().begin(), of.gradient().end()));
  };
  const auto in_bf16 = gradient_of(narrow, pool);
  CHECK(gradient_of(narrow, one) == in_bf16);
  narrow.set_gradient_checkpointing(true);
  CHECK(gradient_of(narrow, pool) == in_bf16);

  // Near the loss in float: what is rounded, weights and inputs of 22 products in a row, moves by at most 2^-9.
  const double loss = gradient_of(net, pool).first;
  CHECK(in_bf16.first != loss);
  CHECK(std::abs(in_bf16.first - loss) <= 2 * 22 * 0x1p-9 * loss);
}
