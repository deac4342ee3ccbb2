#include "model/model.hpp"

#include <map>

#include <sbora/core/random.hpp>

#include "common/error.hpp"
#include "common/gguf_fields.hpp"
#include "model/model_tensors.hpp"
#include "weights/gguf_tensors.hpp"

namespace llama {
namespace {

void check_options(const load_options& options) {
  if (options.bits != 16 && options.bits != 8 && options.bits != 4) {
    throw input_error("weights of " + std::to_string(options.bits) + " bits, expected 16 (as stored), 8 or 4");
  }
}

struct opened_model {
  model_config config;
  std::shared_ptr<tensor_source> tensors;
  std::vector<std::string> notes;
};

/// Maps the tensors and looks at names, types and shapes.
opened_model open_model(const std::filesystem::path& base_model, const model_config& config,
                        const load_options& options) {
  check_options(options);
  try {
    opened_model opened{config, nullptr, {}};
    const auto check = [&](const auto& source) {
      check_tensors(*source, source->names(), tensors_of(opened.config), opened.config.tie_word_embeddings);
      opened.tensors = source;
    };
    if (is_gguf(base_model)) {
      check(std::make_shared<gguf_tensors>(base_model));
    } else {
      const auto source = std::make_shared<checkpoint_tensors>(base_model);
      opened.notes = settle_unused_tensors(*source, opened.config);
      check(source);
    }
    const tensor_source& tensors = *opened.tensors;
    for (const tensor_shape& each : tensors_of(opened.config)) {
      if (options.bits == 16 || !tensors.is_quantised(each.name)) continue;
      throw input_error("tensor " + each.name + " is quantised already; leave --bits at 16, as stored");
    }
    return opened;
  } catch (const input_error& error) {
    throw input_error(base_model.string() + ": " + error.what());
  } catch (const sbora::error& error) {
    throw input_error(error.what());
  }
}

std::string unread_note(const model_config& config) {
  const std::vector<std::string>& fields = config.unread_fields;
  constexpr std::size_t most = 12;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, fields.size()); ++i) text += (i ? ", " : "") + fields[i].substr(0, 60);
  if (fields.size() > most) text += " and " + std::to_string(fields.size() - most) + " more";
  return "config.json has fields that change nothing in a " + config.arch.class_name + ": " + text;
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

void check_model(const std::filesystem::path& base_model, const model_config& config, const load_options& options) {
  static_cast<void>(open_model(base_model, config, options));
}

model model::load(const std::filesystem::path& base_model, const load_options& options, thread_pool& pool) {
  std::error_code ignored;
  if (!is_gguf(base_model) && !std::filesystem::is_directory(base_model, ignored)) {
    throw input_error(base_model.string() + ": no such directory");
  }
  opened_model opened = open_model(base_model, read_base_config(base_model), options);
  try {
    model net(opened.config, std::move(opened.tensors), options, pool);
    net.notes_ = std::move(opened.notes);
    if (!opened.config.unread_fields.empty()) net.notes_.push_back(unread_note(opened.config));
    return net;
  } catch (const sbora::error& error) {  // weights that can't be quantised
    throw input_error(base_model.string() + ": " + error.what());
  }
}

model::model(const model_config& config, const std::vector<named_tensor>& tensors)
    : model(in_memory(config, copy_of(config, tensors))) {}

model model::in_memory(const model_config& config, std::shared_ptr<flat_tensors> tensors) {
  thread_pool unused(1);  // nothing is quantised
  return model(config, std::move(tensors), load_options{}, unused);
}

model model::random(const model_config& config, std::uint64_t seed) {
  check_config(config);
  const auto shapes = tensors_of(config);
  auto flat = std::make_shared<flat_tensors>(shapes);
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    sbora::random_stream random(seed, i);
    for (float& value : flat->part(shapes[i].name, flat->all())) {
      const bool is_matrix = shapes[i].shape.size() == 2;
      value = is_matrix ? bell_shaped(random, 0.02) : shapes[i].name.ends_with(".bias") ? 0.0f : 1.0f;
    }
  }
  return in_memory(config, std::move(flat));
}

}  // namespace llama
