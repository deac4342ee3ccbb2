#include "model/model.hpp"

#include <cmath>

#include <sbora/core/random.hpp>

#include "common/error.hpp"
#include "model/model_files.hpp"
#include "model/model_parts.hpp"

namespace llama {
namespace {

void check_options(const load_options& options) {
  if (options.bits != 16 && options.bits != 8 && options.bits != 4) {
    throw input_error("weights of " + std::to_string(options.bits) + " bits, expected 16 (as stored), 8 or 4");
  }
}

struct opened_model {
  model_config config;
  std::shared_ptr<checkpoint_tensors> tensors;
  std::vector<std::string> notes;
};

/// Maps the tensors and looks at names, types and shapes.
opened_model open_model(const std::filesystem::path& directory, const model_config& config,
                        const load_options& options) {
  check_options(options);
  try {
    opened_model opened{config, std::make_shared<checkpoint_tensors>(directory), {}};
    checkpoint_tensors& tensors = *opened.tensors;
    opened.notes = settle_unused_tensors(tensors, opened.config);
    check_tensors(tensors, tensors.names(), tensors_of(opened.config), opened.config.tie_word_embeddings);
    for (const tensor_shape& each : tensors_of(opened.config)) {
      if (options.bits == 16 || !tensors.quantised(each.name)) continue;
      throw input_error("tensor " + each.name + " is quantised already; leave --bits at 16, as stored");
    }
    return opened;
  } catch (const input_error& error) {
    throw input_error(directory.string() + ": " + error.what());
  } catch (const sbora::error& error) {
    throw input_error(error.what());
  }
}

std::string unread_note(const std::vector<std::string>& fields) {
  constexpr std::size_t most = 12;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, fields.size()); ++i) text += (i ? ", " : "") + fields[i].substr(0, 60);
  if (fields.size() > most) text += " and " + std::to_string(fields.size() - most) + " more";
  return "config.json has fields that change nothing in a LlamaForCausalLM: " + text;
}

/// Memory in the place of a checkpoint: options are the defaults, and nothing is quantised.
std::unique_ptr<model_parts> parts_of(const model_config& config, std::shared_ptr<flat_tensors> tensors) {
  thread_pool unused(1);
  return std::make_unique<model_parts>(config, std::move(tensors), load_options{}, unused);
}

std::shared_ptr<flat_tensors> copy_of(const model_config& config, const std::vector<named_tensor>& tensors) {
  check_config(config);
  const auto shapes = tensors_of(config);
  auto flat = std::make_shared<flat_tensors>(shapes);
  std::map<std::string, const matrix*> given;
  for (const named_tensor& each : tensors) given[each.name] = &each.values;
  for (const tensor_shape& each : shapes) {
    const auto found = given.find(each.name);
    if (found == given.end()) throw input_error("no tensor " + each.name);
    const matrix& values = *found->second;
    if (values.rows() != each.shape[0] || values.size() != each.elements()) {
      throw input_error("tensor " + each.name + " is " + std::to_string(values.rows()) + " x " +
                        std::to_string(values.cols()) + ", the configuration says " +
                        sbora::detail::shape_text(each.shape));
    }
    std::copy_n(values.data(), values.size(), flat->part(each.name, flat->all()).data());
    given.erase(found);
  }
  if (!given.empty()) throw input_error("unknown tensor " + given.begin()->first);
  return flat;
}

/// Nearly normal with no call of libm, so the same everywhere: the sum of four uniform numbers.
float bell_shaped(sbora::random_stream& random, double deviation) {
  const std::uint64_t word = random.next();
  double sum = 0;
  for (int shift = 0; shift < 64; shift += 16) sum += static_cast<double>((word >> shift) & 0xFFFF) + 0.5;
  return static_cast<float>((sum / 65536 - 2) * deviation * 1.7320508075688772);
}

}  // namespace

model::model(std::unique_ptr<model_parts> parts) : parts_(std::move(parts)) {}
model::model(model&&) noexcept = default;
model& model::operator=(model&&) noexcept = default;
model::~model() = default;

void check_model(const std::filesystem::path& directory, const model_config& config, const load_options& options) {
  static_cast<void>(open_model(directory, config, options));
}

model model::load(const std::filesystem::path& directory, const load_options& options, thread_pool& pool) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(directory, ignored)) {
    throw input_error(directory.string() + ": no such directory");
  }
  opened_model opened = open_model(directory, read_config(directory / "config.json"), options);
  try {
    auto parts = std::make_unique<model_parts>(opened.config, std::move(opened.tensors), options, pool);
    parts->notes = std::move(opened.notes);
    if (!opened.config.unread_fields.empty()) parts->notes.push_back(unread_note(opened.config.unread_fields));
    return model(std::move(parts));
  } catch (const sbora::error& error) {  // weights that can't be quantised
    throw input_error(directory.string() + ": " + error.what());
  }
}

model::model(const model_config& config, std::vector<named_tensor> tensors)
    : parts_(parts_of(config, copy_of(config, tensors))) {}

model model::random(const model_config& config, std::uint64_t seed) {
  check_config(config);
  const auto shapes = tensors_of(config);
  auto flat = std::make_shared<flat_tensors>(shapes);
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    sbora::random_stream random(seed, i);
    for (float& value : flat->part(shapes[i].name, flat->all())) {
      value = shapes[i].shape.size() == 1 ? 1.0f : bell_shaped(random, 0.02);
    }
  }
  return model(parts_of(config, std::move(flat)));
}

const model_config& model::config() const { return parts_->config; }
const std::vector<std::string>& model::notes() const { return parts_->notes; }
void model::attach(const adapter_plan& plan) { parts_->attach(plan, nullptr); }
void model::attach(const adapter_plan& plan, std::vector<sbora::region> regions) { parts_->attach(plan, &regions); }
const adapter_plan& model::plan() const { return parts_->plan; }
const std::vector<adapter_slot>& model::adapters() const { return parts_->slots; }
void model::train_all_weights() { parts_->train_all_weights(); }

std::vector<std::string> model::linear_modules() const {
  std::vector<std::string> names;
  for (const block& each : parts_->blocks) {
    for (const projection& layer : each.linears()) names.push_back(layer.name());
  }
  return names;
}

std::span<float> model::parameters() { return parts_->parameters; }
std::span<float> model::gradient() { return parts_->gradient; }
void model::zero_gradient() { std::fill(parts_->gradient.begin(), parts_->gradient.end(), 0.0f); }

loss_sum model::forward_backward(const token_batch& batch, float gradient_scale, thread_pool& pool) {
  return parts_->forward_backward(batch, gradient_scale, pool);
}
loss_sum model::evaluate(const token_batch& batch, thread_pool& pool) { return parts_->evaluate(batch, pool); }
matrix model::logits(const token_batch& batch, thread_pool& pool) { return parts_->logits(batch, pool); }

void model::set_training_step(std::uint64_t step) {
  for (block& each : parts_->blocks) {
    for (projection& layer : each.linears()) layer.set_training_step(step);
  }
}

void model::set_gradient_checkpointing(bool on) {
  parts_->checkpointing = on;
  if (on) {
    parts_->kept.clear();
    parts_->kept.shrink_to_fit();
  }
  parts_->kept.resize(on ? 1 : parts_->blocks.size());
}

void model::save(const std::filesystem::path& directory) const { write_model(*parts_, directory, {}); }

memory_report model::memory() const {
  memory_report report;
  report.weights = parts_->weight_bytes;
  report.adapters = sizeof(float) * 2 * parts_->adapter_parameters.size();
  for (const matrix& each : parts_->inputs) report.activations += sizeof(float) * static_cast<std::size_t>(each.size());
  for (const block_activations& each : parts_->kept) report.activations += each.bytes();
  for (const block& each : parts_->blocks) {
    for (const projection& layer : each.linears()) report.activations += layer.saved_bytes();
  }
  return report;
}

}  // namespace llama
