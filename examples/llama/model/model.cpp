#include "model/model.hpp"

#include <cmath>

#include <sbora/model/model_adapter.hpp>
#include <sbora/regions/sample.hpp>

#include "common/error.hpp"
#include "model/adapter_targets.hpp"
#include "model/linear_layers.hpp"
#include "model/loss.hpp"
#include "model/model_files.hpp"

namespace llama {
namespace {

/// Uses of sbora::module_seed, which is a function of the plan's seed and a module's name. The first two are
/// sbora's own, so that regions are those of sbora::make_adapter.
enum seed_use : std::uint32_t { region_seed = 0, dropout_seed = 1, start_seed = 2 };

/// As the LoRA authors' code and PEFT start: A uniform in +-1/sqrt(d_in).
void start_lora(std::span<float> a, index_t d_in, std::uint64_t seed) {
  sbora::random_stream random(seed);
  const double bound = 1 / std::sqrt(static_cast<double>(d_in));
  for (float& value : a) value = static_cast<float>((2 * random.uniform() - 1) * bound);
}

/// The same rows of the model where its file has them in another order.
sbora::region as_stored(const sbora::region& rows, const std::string& module, const tensor_source& source) {
  std::vector<index_t> places;
  if (source.gguf()) places = source.gguf()->rows_in_file(module, rows.dim());
  if (places.empty()) return rows;
  std::vector<index_t> stored;
  for (const index_t row : rows.indices()) stored.push_back(places[static_cast<std::size_t>(row)]);
  return {rows.dim(), std::move(stored)};
}

}  // namespace

model::model(const model_config& config, std::shared_ptr<tensor_source> source, const load_options& options,
             thread_pool& pool)
    : config_(config),
      source_(std::move(source)),
      embedding_(load_table(*source_, "model.embed_tokens.weight", options, pool)) {
  const auto input = std::make_shared<product_input>(options.bf16);
  weight_bytes_ = embedding_.bytes();
  for (index_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    std::vector<projection> linears;
    for (const auto& [name, d_out, d_in, has_bias] : linear_layers(config)) {
      const std::string module = prefix + name;
      linears.emplace_back(module, load_linear(*source_, module + ".weight", options, pool),
                           has_bias ? load_floats(module + ".bias") : std::span<const float>(), input);
      weight_bytes_ += linears.back().weight().bytes();
    }
    std::vector<norm_gain> norms;
    for (const char* const name : std::span(norm_names).first(config.arch.head_norms ? 4 : 2)) {
      norms.push_back({load_floats(prefix + name + ".weight")});
    }
    blocks_.emplace_back(config, layer, std::move(linears), std::move(norms));
    if (options.progress) options.progress(layer + 1, config.num_hidden_layers);
  }
  sbora::any_weight output =
      config.tie_word_embeddings ? embedding_ : load_table(*source_, "lm_head.weight", options, pool);
  if (!config.tie_word_embeddings) weight_bytes_ += output.bytes();
  top_ = std::make_unique<head>(std::move(output), norm_gain{load_floats("model.norm.weight")}, input);
  inputs_.resize(blocks_.size() + 1);
  kept_.resize(blocks_.size());
}

std::span<const float> model::load_floats(const std::string& name) {
  const sbora::tensor_view* const tensor = source_->find(name);
  if (tensor && tensor->type == sbora::dtype::f32 && tensor->is_aligned<float>()) {
    return tensor->values<float>();
  }
  vectors_.push_back(load_vector(*source_, name));
  return vectors_.back();
}

projection& model::linear(index_t number) {
  const index_t count = std::ssize(blocks_.front().linears());
  return blocks_[static_cast<std::size_t>(number / count)].linears()[static_cast<std::size_t>(number % count)];
}

void model::attach(const adapter_plan& with, const std::vector<sbora::region>* regions) {
  const std::vector<adapted_layer> adapted = adapted_layers(config_, with);
  if (regions && regions->size() != adapted.size()) {
    throw input_error("regions for " + std::to_string(regions->size()) + " modules, " + std::to_string(adapted.size()) +
                      " are adapted");
  }
  const std::size_t size = parameter_count(adapted);
  std::vector<float> new_parameters(size, 0.0f);
  std::vector<float> new_gradient(size, 0.0f);
  std::vector<adapter_slot> new_slots;
  for (block& each : blocks_) {
    for (projection& layer : each.linears()) {
      layer.remove_adapter();
      layer.train_weight({}, {});
    }
    for (norm_gain& gain : each.norms()) gain.gradient = {};
  }
  top_->train_weight({});
  top_->norm().gradient = embedding_gradient_ = {};

  std::size_t offset = 0;
  for (std::size_t i = 0; i < adapted.size(); ++i) {
    projection& layer = linear(adapted[i].number);
    const std::size_t count = adapted[i].parameters;
    const std::span<float> own = std::span(new_parameters).subspan(offset, count);
    const std::span<float> own_gradient = std::span(new_gradient).subspan(offset, count);
    const sbora::adapter_options options{.alpha = with.alpha,
                                         .rslora = with.rslora,
                                         .dropout = with.dropout,
                                         .dropout_seed = sbora::module_seed(with.seed, layer.name(), dropout_seed)};
    adapter_slot slot{layer.name(), with.method, layer.d_out(), layer.d_in(), with.rank, nullptr, {}, {}, offset};
    if (with.method == adapter_method::lora) {
      slot.a = own.first(static_cast<std::size_t>(with.rank * layer.d_in()));
      slot.b = own.subspan(slot.a.size());
      start_lora(slot.a, layer.d_in(), sbora::module_seed(with.seed, layer.name(), start_seed));
      layer.attach_lora(with.rank, options, own, own_gradient);
    } else {
      const bool is_fa = with.method == adapter_method::sbora_fa;
      sbora::region target = regions ? (*regions)[i]
                                     : sbora::sample_region(is_fa ? layer.d_in() : layer.d_out(), with.rank,
                                                            sbora::module_seed(with.seed, layer.name(), region_seed));
      if (!is_fa && !regions) target = as_stored(target, layer.name(), *source_);
      layer.attach_sbora(with.method, std::move(target), options, own, own_gradient);
      slot.target = layer.target();
      (is_fa ? slot.b : slot.a) = own;
    }
    new_slots.push_back(std::move(slot));
    offset += count;
  }
  plan_ = with;
  slots_ = std::move(new_slots);
  adapter_parameters_ = std::move(new_parameters);
  gradient_ = std::move(new_gradient);
  parameters_ = adapter_parameters_;
}

void model::train_all_weights() {
  const auto flat = std::dynamic_pointer_cast<flat_tensors>(source_);
  if (!flat) throw input_error("only a model in memory can be trained as a whole");
  attach({}, nullptr);
  gradient_.assign(flat->all().size(), 0.0f);
  const auto gradient_of = [&](const std::string& name) { return flat->part(name, gradient_); };
  for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
    for (projection& each : blocks_[layer].linears()) {
      each.train_weight(gradient_of(each.name() + ".weight"),
                        each.bias().empty() ? std::span<float>() : gradient_of(each.name() + ".bias"));
    }
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    std::vector<norm_gain>& norms = blocks_[layer].norms();
    for (std::size_t i = 0; i < norms.size(); ++i) norms[i].gradient = gradient_of(prefix + norm_names[i] + ".weight");
  }
  embedding_gradient_ = gradient_of("model.embed_tokens.weight");
  top_->train_weight(config_.tie_word_embeddings ? embedding_gradient_ : gradient_of("lm_head.weight"));
  top_->norm().gradient = gradient_of("model.norm.weight");
  parameters_ = flat->all();
}

void model::embed(std::span<const std::int32_t> ids, index_t positions, matrix& x, thread_pool& pool) {
  rotary_.extend(config_, positions);
  lookup(embedding_, ids, x, pool);
  if (config_.arch.embedding_multiplier == 1) return;
  const auto factor = static_cast<float>(config_.arch.embedding_multiplier);
  for_row_blocks(x.rows(), pool, [&](index_t first, index_t count) { x.middleRows(first, count) *= factor; });
}

loss_sum model::forward_backward(const token_batch& batch, float gradient_scale, thread_pool& pool) {
  const packed_tokens tokens = pack(batch, config_.vocab_size);
  const std::vector<target> targets = targets_of(batch, tokens, config_.vocab_size);
  if (targets.empty()) return {};
  const block_context with = context(pool);
  const auto activations = [&](std::size_t layer) -> block_activations& { return kept_[checkpointing_ ? 0 : layer]; };
  embed(tokens.ids, longest(tokens), inputs_[0], pool);
  for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
    blocks_[layer].forward(inputs_[layer], &inputs_[layer + 1], tokens, pass::train, activations(layer), with);
  }
  const loss_sum loss = top_->loss(inputs_.back(), targets, gradient_scale, &dhidden_, with);
  for (std::size_t layer = blocks_.size(); layer-- > 0;) {
    // The last block's are still there.
    if (checkpointing_ && layer + 1 < blocks_.size()) {
      blocks_[layer].forward(inputs_[layer], nullptr, tokens, pass::train, kept_[0], with);
    }
    const bool needs_dx = layer > 0 || !embedding_gradient_.empty();
    blocks_[layer].backward(inputs_[layer], dhidden_, tokens, activations(layer), needs_dx, with);
  }
  if (!embedding_gradient_.empty()) add_embedding_gradient(tokens, pool);
  return loss;
}

void model::add_embedding_gradient(const packed_tokens& tokens, thread_pool& pool) {
  Eigen::Map<matrix> sum(embedding_gradient_.data(), config_.vocab_size, config_.hidden_size);
  const auto factor = static_cast<float>(config_.arch.embedding_multiplier);
  // Cut by features: tokens may be the same, and the order of sums is part of the result.
  for_row_blocks(
      config_.hidden_size, pool,
      [&](index_t first, index_t count) {
        for (index_t token = 0; token < tokens.count(); ++token) {
          sum.row(tokens.ids[static_cast<std::size_t>(token)]).segment(first, count) +=
              factor * dhidden_.row(token).segment(first, count);
        }
      },
      128);
}

loss_sum model::evaluate(const token_batch& batch, thread_pool& pool) {
  const packed_tokens tokens = pack(batch, config_.vocab_size);
  const std::vector<target> targets = targets_of(batch, tokens, config_.vocab_size);
  if (targets.empty()) return {};
  run_blocks(tokens, inputs_[0], pool, [](std::size_t) {});
  return top_->loss(inputs_[0], targets, 0, nullptr, context(pool));
}

std::vector<token_score> model::score(const token_batch& batch, thread_pool& pool) {
  const packed_tokens tokens = pack(batch, config_.vocab_size);
  const std::vector<target> targets = targets_of(batch, tokens, config_.vocab_size);
  run_blocks(tokens, inputs_[0], pool, [](std::size_t) {});
  std::vector<token_score> scores;
  constexpr std::size_t most = 256;  // whose logits exist at a time
  matrix logits;
  for (std::size_t first = 0; first < targets.size(); first += most) {
    const std::span part = std::span(targets).subspan(first, std::min(most, targets.size() - first));
    std::vector<index_t> places;
    for (const target& each : part) places.push_back(each.token);
    top_->logits(inputs_[0], places, logits, context(pool));
    scores.resize(first + part.size());
    for_row_blocks(logits.rows(), pool, [&](index_t begin, index_t count) {
      for (index_t row = begin; row < begin + count; ++row) {
        const target& of = part[static_cast<std::size_t>(row)];
        token_score& out = scores[first + static_cast<std::size_t>(row)];
        const index_t place = tokens.rows[static_cast<std::size_t>(of.token)];
        out = {place / batch.length, 0, logits(row, of.next) == logits.row(row).maxCoeff()};
        exponentials<float>({&logits(row, 0), static_cast<std::size_t>(logits.cols())}, of.next, out.loss);
      }
    });
  }
  return scores;
}

matrix model::logits(const token_batch& batch, thread_pool& pool) {
  const packed_tokens tokens = pack(batch, config_.vocab_size);
  run_blocks(tokens, inputs_[0], pool, [](std::size_t) {});
  std::vector<index_t> all(tokens.rows.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<index_t>(i);
  matrix packed;
  top_->logits(inputs_[0], all, packed, context(pool));
  matrix padded = matrix::Zero(batch.sequences * batch.length, config_.vocab_size);
  for (std::size_t i = 0; i < all.size(); ++i) padded.row(tokens.rows[i]) = packed.row(all[i]);
  return padded;
}

std::vector<std::string> model::linear_modules() const {
  std::vector<std::string> names;
  for (const block& each : blocks_) {
    for (const projection& layer : each.linears()) names.push_back(layer.name());
  }
  return names;
}

void model::set_training_step(std::uint64_t step) {
  for (block& each : blocks_) {
    for (projection& layer : each.linears()) layer.set_training_step(step);
  }
}

void model::set_gradient_checkpointing(bool on) {
  checkpointing_ = on;
  if (on) {
    kept_.clear();
    kept_.shrink_to_fit();
  }
  kept_.resize(on ? 1 : blocks_.size());
}

void model::save(const std::filesystem::path& directory) const { write_model(*this, directory, {}); }

memory_report model::memory() const {
  memory_report report;
  report.weights = weight_bytes_;
  report.adapters = sizeof(float) * 2 * adapter_parameters_.size();
  for (const matrix& each : inputs_) report.activations += sizeof(float) * static_cast<std::size_t>(each.size());
  for (const block_activations& each : kept_) report.activations += each.bytes();
  for (const block& each : blocks_) {
    for (const projection& layer : each.linears()) report.activations += layer.saved_bytes();
  }
  return report;
}

}  // namespace llama
