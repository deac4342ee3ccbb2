// sbora's modules of PyTorch beside PyTorch's own arithmetic: libtorch CASE [FOLDER] runs a case, libtorch lists them.
// One unit, for the time that PyTorch's headers take.

#include <cstring>
#include <filesystem>
#include <functional>
#include <iostream>

#include <torch/torch.h>

#include <sbora/io.hpp>
#include <sbora/plugs/torch.hpp>

namespace {

using sbora::adapter_kind;
using torch::Tensor;
namespace fs = std::filesystem;

fs::path folder;  ///< for files

void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what + ": doesn't hold");
}

/// Where f() throws: what. Else nothing.
std::string thrown_by(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return {};
}
void require_refusal(const std::string& words, const std::function<void()>& f) {
  const std::string said = thrown_by(f);
  if (said.find(words) == std::string::npos) throw std::runtime_error("'" + words + "' expected, got: '" + said + "'");
}

/// Relative to the greatest element of what is expected. NaN never passes.
void require_close(const Tensor& ours, const Tensor& theirs, double bound, const std::string& what) {
  require(ours.defined() && theirs.defined() && ours.sizes() == theirs.sizes(), what + " is there, of that shape");
  const Tensor expected = theirs.detach().to(torch::kDouble);
  const double error = (ours.detach().to(torch::kDouble) - expected).abs().max().item<double>();
  const double size = expected.abs().max().item<double>();
  if (!(error <= bound * size)) {
    throw std::runtime_error(what + " differs by " + std::to_string(error / size) + " of its greatest element");
  }
}
void require_same(const Tensor& ours, const Tensor& theirs, const std::string& what) {
  require(ours.defined() && theirs.defined() && torch::equal(ours, theirs), what + " has the same bits");
}

constexpr std::int64_t d_out = 40, d_in = 56, rank = 8;

template <adapter_kind Kind>
std::shared_ptr<sbora::basic_adapter<Kind, float>> new_adapter(double dropout = 0) {
  const sbora::index_t dim = Kind == adapter_kind::fa ? d_in : d_out;
  auto adapter = std::make_shared<sbora::basic_adapter<Kind, float>>(
      d_out, d_in, sbora::sample_region(dim, rank, 3), sbora::adapter_options{.alpha = 12, .dropout = dropout});
  const Tensor values = torch::randn({adapter->parameter_count()});
  std::copy_n(values.data_ptr<float>(), values.numel(), adapter->parameters().begin());
  return adapter;
}

/// W + s·B·A of the trained half, by PyTorch's operations.
template <adapter_kind Kind>
Tensor dense(const Tensor& weight, const Tensor& half, const sbora::basic_adapter<Kind, float>& adapter) {
  const auto indices = adapter.target().indices();
  const Tensor at = torch::tensor(std::vector<std::int64_t>(indices.begin(), indices.end()));
  return weight.to(half.scalar_type()).index_add(Kind == adapter_kind::fa ? 1 : 0, at, half * adapter.scale());
}

template <adapter_kind Kind>
void check_gradients(torch::ScalarType weight_type, torch::ScalarType input_type, bool bias, double bound) {
  torch::nn::Linear base(torch::nn::LinearOptions(d_in, d_out).bias(bias));
  base->to(weight_type);
  const void* const memory = base->weight.data_ptr();
  const auto adapter = new_adapter<Kind>();
  sbora::torch_linear layer(base);
  layer->set_adapter(adapter);
  const Tensor half = layer->named_parameters()[Kind == adapter_kind::fa ? "lora_B" : "lora_A"];
  require(half.requires_grad() && !layer->weight.requires_grad(), "the half alone is trained");
  require(half.data_ptr() == adapter->parameters().data(), "the parameter is the adapter's memory");

  const Tensor x = torch::randn({3, 7, d_in}).to(input_type).requires_grad_();
  const Tensor dy = torch::randn({3, 7, d_out}).to(input_type);
  const Tensor y = layer->forward(x);
  require(y.scalar_type() == input_type, "y is of x's type");
  y.backward(dy);

  const Tensor own_half = half.detach().to(torch::kDouble).requires_grad_();
  const Tensor own_x = x.detach().to(torch::kDouble).requires_grad_();
  const Tensor own_bias = bias ? base->bias.detach().to(torch::kDouble) : Tensor();
  const Tensor own_y = torch::nn::functional::linear(own_x, dense<Kind>(base->weight, own_half, *adapter), own_bias);
  own_y.backward(dy.to(torch::kDouble));
  require_close(y, own_y, bound, "y");
  require_close(x.grad(), own_x.grad(), bound, "dx");
  require_close(half.grad(), own_half.grad(), bound, "the gradient");
  require(base->weight.data_ptr() == memory && !base->weight.grad().defined(), "the weight is as it was");

  // The gradient alone; dx alone.
  const Tensor gradient = half.grad().clone(), dx = x.grad().clone();
  half.mutable_grad() = Tensor();
  layer->forward(x.detach()).backward(dy);
  require_close(half.grad(), gradient, 1e-6, "the gradient alone");
  half.requires_grad_(false);
  x.mutable_grad() = Tensor();
  layer->forward(x).backward(dy);
  require_close(x.grad(), dx, input_type == torch::kFloat ? 1e-6 : bound, "dx alone");
}

void gradients_f32() {
  for (const bool bias : {true, false}) {
    check_gradients<adapter_kind::fa>(torch::kFloat, torch::kFloat, bias, 1e-5);
    check_gradients<adapter_kind::fb>(torch::kFloat, torch::kFloat, bias, 1e-5);
  }
}

void gradients_bf16() {
  for (const bool bias : {true, false}) {
    check_gradients<adapter_kind::fa>(torch::kBFloat16, torch::kBFloat16, bias, 1e-2);
    check_gradients<adapter_kind::fb>(torch::kBFloat16, torch::kBFloat16, bias, 1e-2);
  }
  check_gradients<adapter_kind::fa>(torch::kBFloat16, torch::kFloat, true, 1e-5);
  check_gradients<adapter_kind::fb>(torch::kFloat, torch::kBFloat16, true, 1e-2);
}

/// What PyTorch makes of tokens that don't follow one another, of one token, and of none.
void shapes() {
  sbora::torch_linear layer(d_in, d_out);
  layer->set_adapter(new_adapter<adapter_kind::fb>());
  const Tensor whole = torch::randn({6, 2 * d_in});
  const auto check = [&](const Tensor& x) {
    const Tensor y = layer->forward(x);
    require_same(y, layer->forward(x.clone(torch::MemoryFormat::Contiguous)), "y of any strides");
    y.sum().backward();  // dy is expanded: strides of 0
  };
  check(whole.slice(1, 0, d_in));
  check(whole.slice(1, 0, 2 * d_in, 2));
  check(whole.slice(1, 0, d_in).view({2, 3, d_in}).transpose(0, 1));
  check(torch::randn({d_in, 5}).t());
  check(torch::randn({1, d_in}).expand({4, d_in}));
  check(torch::randn({d_in}));
  check(torch::randn({0, d_in}));
  require(layer->forward(torch::randn({2, 0, d_in})).sizes() == torch::IntArrayRef({2, 0, d_out}), "no tokens");
}

/// Two layers with a nonlinearity, as sbora's modules and by PyTorch's formula.
template <adapter_kind Kind>
void check_training() {
  torch::manual_seed(7);
  const auto first = new_adapter<Kind>(), second = new_adapter<Kind>();
  sbora::torch_linear up(d_in, d_out), down(d_in, d_out);
  up->set_adapter(first), down->set_adapter(second);
  std::vector<Tensor> halves = {up->parameters().back(), down->parameters().back()}, own;
  for (const Tensor& half : halves) own.push_back(half.detach().clone().requires_grad_());
  const Tensor x = torch::randn({48, d_in}), target = torch::randn({48, d_out});
  const auto ours = [&] { return torch::mse_loss(torch::relu(up->forward(x)) + down->forward(x.sin()), target); };
  const auto theirs = [&] {
    namespace F = torch::nn::functional;
    const Tensor a = F::linear(x, dense<Kind>(up->weight, own[0], *first), up->bias);
    const Tensor b = F::linear(x.sin(), dense<Kind>(down->weight, own[1], *second), down->bias);
    return torch::mse_loss(torch::relu(a) + b, target);
  };
  std::vector<Tensor> all = up->parameters(), more = down->parameters();
  all.insert(all.end(), more.begin(), more.end());
  torch::optim::AdamW optimiser(all, torch::optim::AdamWOptions(1e-2)), own_optimiser(own, 1e-2);
  double begin = 0, end = 0;
  for (int step = 0; step < 50; ++step) {
    const auto train = [](torch::optim::Optimizer& by, const auto& loss_of) {
      by.zero_grad();
      const Tensor loss = loss_of();
      loss.backward();
      by.step();
      return loss.template item<double>();
    };
    end = train(optimiser, ours);
    const double expected = train(own_optimiser, theirs);
    if (step == 0) begin = end;
    require(std::abs(end - expected) <= 1e-4 * expected, "step " + std::to_string(step) + ": the loss is " +
                                                             std::to_string(end) + ", PyTorch's " +
                                                             std::to_string(expected));
  }
  require(end < 0.5 * begin, "the loss halves");
}
void training() {
  check_training<adapter_kind::fa>();
  check_training<adapter_kind::fb>();
}

/// Recomputes f in the backward, as torch.utils.checkpoint does in Python, random numbers included.
struct checkpoint : torch::autograd::Function<checkpoint> {
  using module = std::function<Tensor(const Tensor&)>;
  struct kept : torch::CustomClassHolder {
    module f;
    Tensor generator;
    kept(module f_, Tensor state) : f(std::move(f_)), generator(std::move(state)) {}
  };
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x, const module& f) {
    ctx->save_for_backward({x});
    ctx->saved_data["kept"] =
        torch::IValue::make_capsule(c10::make_intrusive<kept>(f, at::detail::getDefaultCPUGenerator().get_state()));
    const torch::NoGradGuard guard;
    return f(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& dy) {
    const auto of = c10::static_intrusive_pointer_cast<kept>(ctx->saved_data["kept"].toCapsule());
    const torch::AutoGradMode enabled(true);
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    const Tensor now = generator.get_state();
    generator.set_state(of->generator);
    const Tensor x = ctx->get_saved_variables()[0].detach().requires_grad_();
    const Tensor y = of->f(x);
    generator.set_state(now);
    torch::autograd::backward({y}, {dy[0]});
    return {x.grad(), Tensor()};
  }
};

template <adapter_kind Kind>
void check_checkpointing(double dropout) {
  sbora::torch_linear layer(d_in, d_out);
  layer->set_adapter(new_adapter<Kind>(dropout));
  const Tensor half = layer->parameters().back();
  const auto f = [&](const Tensor& t) { return torch::tanh(layer->forward(t)); };
  std::vector<Tensor> results[2];
  for (const bool checkpoints : {false, true}) {
    torch::manual_seed(11);
    half.mutable_grad() = Tensor();
    const Tensor x = torch::randn({9, d_in}).requires_grad_();
    const Tensor y = checkpoints ? checkpoint::apply(x, checkpoint::module(f)) : f(x);
    y.square().sum().backward();
    results[checkpoints] = {y.detach(), x.grad(), half.grad()};
  }
  for (std::size_t i = 0; i < 3; ++i) require_same(results[1][i], results[0][i], "number " + std::to_string(i));
}
void checkpointing() {
  for (const double dropout : {0.0, 0.5}) {
    check_checkpointing<adapter_kind::fa>(dropout);
    check_checkpointing<adapter_kind::fb>(dropout);
  }
}

/// With a mask y is linear in x and in the half, so <dy, y - bias> is <dx, x>.
template <adapter_kind Kind>
void check_dropout() {
  sbora::torch_linear layer(torch::nn::LinearOptions(d_in, d_out).bias(false));
  layer->set_adapter(new_adapter<Kind>(0.4));
  const Tensor x = torch::randn({16, d_in}).requires_grad_(), dy = torch::randn({16, d_out});
  const auto forward = [&](std::uint64_t seed) {
    torch::manual_seed(seed);
    return layer->forward(x);
  };
  const Tensor y = forward(1);
  require_same(y, forward(1), "a seed's y");
  require(!torch::equal(y, forward(2)), "another seed drops others");
  y.backward(dy);
  require_close((x.grad() * x).sum(), (y * dy).sum(), 1e-5, "<dx, x>");
  layer->eval();
  require_same(forward(1), forward(2), "y of eval mode");
  Tensor eval_y = forward(1);
  {
    const torch::NoGradGuard guard;
    require_same(eval_y, forward(3), "without gradients y of eval mode");
    layer->train();
    require_same(y, forward(1), "without gradients y of training mode");
  }
}
void dropout() {
  check_dropout<adapter_kind::fa>();
  check_dropout<adapter_kind::fb>();
}

void no_grad() {
  sbora::torch_linear layer(d_in, d_out);
  layer->set_adapter(new_adapter<adapter_kind::fa>());
  const Tensor x = torch::randn({9, d_in});
  const Tensor y = layer->forward(x);
  require(y.requires_grad(), "y has a graph");
  {
    const torch::NoGradGuard guard;
    const Tensor alone = layer->forward(x);
    require(!alone.requires_grad(), "y has no graph under NoGradGuard");
    require_close(alone, y, 1e-6, "y");
  }
  const c10::InferenceMode mode;
  require_close(layer->forward(x), y, 1e-6, "y");
}

void double_backward() {
  sbora::torch_linear layer(d_in, d_out);
  layer->set_adapter(new_adapter<adapter_kind::fa>());
  const Tensor half = layer->parameters().back(), x = torch::randn({9, d_in}).requires_grad_();
  const auto gradients = [&](bool create_graph) {
    const Tensor loss = layer->forward(x).square().sum();
    return torch::autograd::grad({loss}, {x, half}, {}, true, create_graph);
  };
  const auto once = gradients(false), twice = gradients(true);
  require_same(twice[0], once[0], "dx");
  require_same(twice[1], once[1], "the gradient");
  require_refusal("double backward", [&] { twice[0].square().sum().backward(); });
  require_refusal("double backward", [&] { twice[1].sum().backward(); });
}

void refusals() {
  const auto with_weight = [](const Tensor& weight) {
    torch::nn::Linear base(d_in, d_out);
    base->weight.set_data(weight);
    sbora::torch_linear layer(base);
    const std::string said = thrown_by([&] { layer->set_adapter(new_adapter<adapter_kind::fa>()); });
    require(said.empty() || (!layer->has_adapter() && layer->parameters().size() == 2 && layer->weight.requires_grad()),
            "a refusal changes nothing");
    return said;
  };
  const auto says = [&](const std::string& words, const Tensor& weight) {
    require_refusal(words, [&] { throw std::runtime_error(with_weight(weight)); });
  };
  require(with_weight(torch::randn({d_out, d_in})).empty(), "a plain weight is taken");
  says("isn't contiguous", torch::randn({d_in, d_out}).t());
  says("isn't contiguous", torch::randn({d_out, d_in + 1}).slice(1, 0, d_in));
  says("make it contiguous first", torch::randn({d_in, d_out}).t());
  says("CPUDoubleType", torch::randn({d_out, d_in}, torch::kDouble));
  says("CPUHalfType", torch::randn({d_out, d_in}).to(torch::kHalf));
  says("the adapter is for 40 x 56", torch::randn({d_in, d_out}));

  sbora::torch_linear layer(d_in, d_out);
  layer->set_adapter(new_adapter<adapter_kind::fa>());
  require_refusal("already", [&] { layer->set_adapter(new_adapter<adapter_kind::fb>()); });
  require_refusal("can't be cloned", [&] { layer->clone(); });
  require_refusal("d_in is 56", [&] { layer->forward(torch::randn({3, d_in + 1})); });
  require_refusal("CPUDoubleType", [&] { layer->forward(torch::randn({3, d_in}, torch::kDouble)); });
  // What a backward needs was changed meanwhile: PyTorch's own check.
  const Tensor x = torch::randn({3, d_in}).requires_grad_();
  const Tensor y = layer->forward(x);
  {
    const torch::NoGradGuard guard;
    layer->parameters().back().add_(1);
  }
  require_refusal("modified by an inplace operation", [&] { y.sum().backward(); });
  layer->to(torch::kBFloat16);
  require_refusal("convert a model before", [&] { layer->forward(x); });
}

/// A block as C++ models have them: members that it calls itself, and a Sequential.
struct block : torch::nn::Module {
  sbora::torch_linear q_proj{nullptr}, v_proj{nullptr};
  torch::nn::Sequential mlp;
  torch::nn::Linear head{nullptr};

  block() {
    q_proj = register_module("q_proj", sbora::torch_linear(16, 16));
    v_proj = register_module("v_proj", sbora::torch_linear(torch::nn::LinearOptions(16, 24).bias(false)));
    mlp = register_module("mlp", torch::nn::Sequential({{"up_proj", torch::nn::Linear(24, 32)},
                                                        {"act", torch::nn::GELU()},
                                                        {"down_proj", torch::nn::Linear(32, 24)}}));
    head = register_module("head", torch::nn::Linear(24, 10));
  }
  Tensor forward(const Tensor& x) { return head->forward(mlp->forward(v_proj->forward(q_proj->forward(x)))); }
};
struct model : torch::nn::Module {
  std::vector<std::shared_ptr<block>> layers;
  model() {
    auto list = register_module("layers", torch::nn::ModuleList());
    for (int i = 0; i < 2; ++i) {
      layers.push_back(std::make_shared<block>());
      list->push_back(layers.back());
    }
  }
  Tensor forward(const Tensor& x) { return torch::cat({layers[0]->forward(x), layers[1]->forward(x)}, -1); }
};

sbora::adapter_config config_of(adapter_kind kind, std::vector<std::string> targets) {
  sbora::adapter_config config;
  config.kind = kind;
  config.r = 4;
  config.target_modules.names = std::move(targets);
  return config;
}

std::vector<std::string> trained_names(const torch::nn::Module& of) {
  std::vector<std::string> names;
  for (const auto& item : of.named_parameters()) {
    if (item.value().requires_grad()) names.push_back(item.key());
  }
  return names;
}

void fill(sbora::model_adapter<float>& adapter) {
  const Tensor values = torch::randn({adapter.parameter_count()});
  std::copy_n(values.data_ptr<float>(), values.numel(), adapter.parameters().begin());
}

void target_rules() {
  auto m = std::make_shared<model>();
  const Tensor x = torch::randn({5, 16}), before = m->forward(x);
  require(sbora::torch_linears(*m).size() == 10, "all linear layers are listed");
  require_refusal("nothing can replace", [&] {
    sbora::plug_adapter(*m, config_of(adapter_kind::fa, {"q_proj", "head"}), 1);
  });
  require_refusal("layers.0.head", [&] { sbora::plug_adapter(*m, config_of(adapter_kind::fa, {"head"}), 1); });
  require_refusal("no module is named 'k_proj'",
                  [&] { sbora::plug_adapter(*m, config_of(adapter_kind::fa, {"k_proj"}), 1); });
  require(trained_names(*m).size() == m->parameters().size() && m->parameters().size() == 18,
          "refusals change nothing");

  sbora::adapter_config config = config_of(adapter_kind::fa, {"q_proj", "up_proj", "down_proj"});
  config.exclude_modules.names = {"layers.1.mlp.down_proj"};
  config.rank_pattern = {{"up_proj", 2}};
  config.kind_pattern = {{"layers\\.1\\..*", adapter_kind::fb}};
  const auto adapter = sbora::plug_adapter(*m, config, 1);
  const std::vector<std::string> expected = {"layers.0.q_proj.lora_B", "layers.0.mlp.up_proj.lora_B",
                                             "layers.0.mlp.down_proj.lora_B", "layers.1.q_proj.lora_A",
                                             "layers.1.mlp.up_proj.lora_A"};
  require(trained_names(*m) == expected, "these and no others are trained");
  require(m->named_parameters()["layers.0.mlp.up_proj.lora_B"].sizes() == torch::IntArrayRef({32, 2}), "rank_pattern");
  require_close(m->forward(x), before, 1e-6, "a new adapter changes nothing: y");

  // Trained by PyTorch, it changes what the model computes, also inside Sequentials.
  const Tensor target = torch::randn_like(before);
  torch::optim::AdamW optimiser(m->parameters(), torch::optim::AdamWOptions(1e-2).weight_decay(0));
  double first = 0, last = 0;
  for (int step = 0; step < 30; ++step) {
    optimiser.zero_grad();
    const Tensor loss = torch::mse_loss(m->forward(x), target);
    loss.backward();
    optimiser.step();
    last = loss.item<double>();
    if (step == 0) first = last;
  }
  require(last < first, "the loss falls");
  adapter->for_each([](const std::string& module, const auto& part) {
    require(std::any_of(part.parameters().begin(), part.parameters().end(), [](float v) { return v != 0; }),
            module + " was trained");
  });
  require_refusal("already", [&] { sbora::plug_adapter(*m, config_of(adapter_kind::fa, {"q_proj"}), 1); });
}

/// One layer under two names can't have two adapters.
void shared_layers() {
  struct twice : torch::nn::Module {
    twice() {
      const sbora::torch_linear layer(8, 8);
      register_module("first", layer);
      register_module("second", layer);
    }
  };
  const auto m = std::make_shared<twice>();
  require_refusal("module 'second'", [&] {
    sbora::plug_adapter(*m, config_of(adapter_kind::fa, {"first", "second"}), 1);
  });
  require(m->parameters()[0].requires_grad() && trained_names(*m).size() == m->named_parameters().size(),
          "a refusal changes nothing");
  sbora::plug_adapter(*m, config_of(adapter_kind::fa, {"first"}), 1);
}

void files() {
  torch::manual_seed(3);
  auto m = std::make_shared<model>();
  const Tensor x = torch::randn({5, 16});
  const std::string base = folder / "base.pt", whole = folder / "whole.pt";
  torch::save(m, base);
  const auto adapter = sbora::plug_adapter(*m, config_of(adapter_kind::fb, {"q_proj", "v_proj", "up_proj"}), 9);
  fill(*adapter);
  const Tensor y = m->forward(x).detach();
  sbora::save_sbora(*adapter, folder / "sbora");
  sbora::save_peft_lora(*adapter, folder / "peft");
  torch::save(m, whole);

  for (const char* layout : {"sbora", "peft"}) {
    auto fresh = std::make_shared<model>();
    torch::load(fresh, base);
    auto loaded = sbora::load_adapter<float>(folder / layout, sbora::torch_linears(*fresh));
    sbora::plug_adapter(*fresh, std::make_shared<sbora::model_adapter<float>>(std::move(loaded.adapter)));
    require_same(fresh->forward(x).detach(), y, std::string("y of ") + layout);
  }

  // PyTorch's own files: the same adapter's numbers come back, and are the adapter's.
  auto fresh = std::make_shared<model>();
  const auto other = sbora::plug_adapter(*fresh, config_of(adapter_kind::fb, {"q_proj", "v_proj", "up_proj"}), 9);
  torch::load(fresh, whole);
  require_same(fresh->forward(x).detach(), y, "y of torch::load");
  require(std::equal(other->parameters().begin(), other->parameters().end(), adapter->parameters().begin()),
          "the adapter has the numbers that were loaded");

  sbora::adapter_config with_bias = config_of(adapter_kind::fa, {"q_proj"});
  std::vector<sbora::full_tensor<float>> tensors;
  std::vector<float> values(16);
  tensors.emplace_back("layers.0.q_proj.bias", std::vector<sbora::index_t>{16}, values, std::span<float>());
  const auto replacing = std::make_shared<sbora::model_adapter<float>>(
      sbora::make_adapter<float>(with_bias, sbora::torch_linears(*std::make_shared<model>()), 1));
  replacing->set_full_tensors(std::move(tensors));
  require_refusal("whole tensors", [&] { sbora::plug_adapter(*std::make_shared<model>(), replacing); });
}

void threads() {
  const int most = 2;
  sbora::torch_linear layer(512, 384);
  auto adapter = std::make_shared<sbora::fa_adapter<float>>(384, 512, sbora::sample_region(512, 16, 1));
  layer->set_adapter(adapter);
  const Tensor x = torch::randn({200, 512}).requires_grad_(), half = layer->parameters().back();
  std::vector<Tensor> results[2];
  for (const int several : {0, 1}) {
    torch::set_num_threads(several ? most : 1);
    x.mutable_grad() = half.mutable_grad() = Tensor();
    const Tensor y = layer->forward(x);
    y.square().sum().backward();
    results[several] = {y.detach(), half.grad()};
  }
  require_same(results[1][0], results[0][0], "y");

  sbora::torch_executor pool;
  std::vector<std::atomic<int>> runs(1000);
  pool.parallel_for(1000, [&](sbora::index_t i) { ++runs[static_cast<std::size_t>(i)]; });
  require(std::all_of(runs.begin(), runs.end(), [](const auto& n) { return n == 1; }), "each task runs once");
  at::parallel_for(0, 4, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      pool.parallel_for(250, [&](sbora::index_t j) { ++runs[static_cast<std::size_t>(250 * i + j)]; });
    }
  });
  require(std::all_of(runs.begin(), runs.end(), [](const auto& n) { return n == 2; }), "inside a region too");
  require_refusal("number 7", [&] {
    pool.parallel_for(100, [](sbora::index_t i) {
      if (i == 7) throw std::runtime_error("number 7");
    });
  });
  // Threads that it isn't alone on are PyTorch's: no others were started.
  require(torch::get_num_threads() == most, "PyTorch's threads are as many as before");
}

void readme() {
  fs::current_path(folder);
#include "readme.inc"
}

const std::pair<const char*, void (*)()> cases[] = {{"gradients_f32", gradients_f32},
                                                    {"gradients_bf16", gradients_bf16},
                                                    {"shapes", shapes},
                                                    {"training", training},
                                                    {"checkpointing", checkpointing},
                                                    {"dropout", dropout},
                                                    {"no_grad", no_grad},
                                                    {"double_backward", double_backward},
                                                    {"refusals", refusals},
                                                    {"target_rules", target_rules},
                                                    {"shared_layers", shared_layers},
                                                    {"files", files},
                                                    {"threads", threads},
                                                    {"readme", readme}};

}  // namespace

int main(int count, char** arguments) {
  for (const auto& [name, run] : cases) {
    if (count < 2) std::cout << name << "\n";
    else if (std::strcmp(arguments[1], name) == 0) {
      folder = count > 2 ? arguments[2] : ".";
      torch::manual_seed(1);
      torch::set_num_threads(1);  // there is a process for each core
      try {
        run();
        return 0;
      } catch (const std::exception& e) {
        std::cerr << e.what() << "\n";
        return 1;
      }
    }
  }
  return count < 2 ? 0 : 2;
}
