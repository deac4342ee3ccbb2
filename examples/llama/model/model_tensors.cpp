#include "model/model_tensors.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "common/error.hpp"
#include "model/linear_layers.hpp"
#include "model/rotary.hpp"

namespace llama {
namespace {

constexpr const char* embedding_name = "model.embed_tokens.weight";
constexpr const char* head_name = "lm_head.weight";
constexpr const char* inverse_frequencies = "rotary_emb.inv_freq";

/// By value, whatever the types. What isn't a matrix of floats is another thing, and check_tensors() says so.
bool same_values(const tensor_source& source, const char* one, const char* other) {
  const sbora::tensor_view &a = *source.find(one), &b = *source.find(other);
  if (a.shape != b.shape || a.shape.size() != 2 || !is_dense_dtype(a.type) || !is_dense_dtype(b.type)) return false;
  if (a.type == b.type && std::ranges::equal(a.data, b.data)) return true;
  const sbora::any_weight left = load_dense(source, one), right = load_dense(source, other);
  std::vector<float> x(static_cast<std::size_t>(a.shape[1])), y(x.size());
  for (index_t row = 0; row < a.shape[0]; ++row) {
    read_row(left, row, x.data());
    read_row(right, row, y.data());
    if (x != y) return false;
  }
  return true;
}

/// Within what bfloat16 and float16 leave of them.
bool has_frequencies_of(const model_config& config, const sbora::tensor_view& stored) {
  if (!is_dense_dtype(stored.type) || stored.elements() != config.head_dim / 2) return false;
  const Eigen::ArrayXf expected = rotary_table<float>::frequencies(config);
  const std::vector<float> values = to_floats(stored);
  for (index_t i = 0; i < expected.size(); ++i) {
    const float off = std::abs(values[static_cast<std::size_t>(i)] - expected(i));
    if (!(off <= 0x1p-8F * expected(i) + 0x1p-24F)) return false;
  }
  return true;
}

}  // namespace

std::vector<tensor_shape> tensors_of(const model_config& config) {
  const index_t hidden = config.hidden_size;
  const std::vector<linear_layer> linears = linear_layers(config);
  std::vector<tensor_shape> all = {{"model.embed_tokens.weight", {config.vocab_size, hidden}}};
  for (index_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    for (const linear_layer& each : linears) {
      all.push_back({prefix + each.name + ".weight", {each.d_out, each.d_in}});
      if (each.has_bias) all.push_back({prefix + each.name + ".bias", {each.d_out}});
    }
    if (config.arch.head_norms) {
      all.push_back({prefix + "self_attn.q_norm.weight", {config.head_dim}});
      all.push_back({prefix + "self_attn.k_norm.weight", {config.head_dim}});
    }
    all.push_back({prefix + "input_layernorm.weight", {hidden}});
    all.push_back({prefix + "post_attention_layernorm.weight", {hidden}});
  }
  all.push_back({"model.norm.weight", {hidden}});
  if (!config.tie_word_embeddings) all.push_back({"lm_head.weight", {config.vocab_size, hidden}});
  return all;
}

void check_tensors(const tensor_source& source, std::span<const std::string> names,
                   const std::vector<tensor_shape>& expected, bool tied) {
  constexpr std::size_t most_shown = 5;
  std::vector<std::string> problems;
  std::set<std::string> known;
  for (const tensor_shape& each : expected) {
    known.insert(each.name);
    const sbora::tensor_view* const found = source.find(each.name);
    if (!found) {
      problems.push_back("no tensor " + each.name);
    } else if (source.is_quantised(each.name)) {
      const sbora::model_module codes = *source.find_module(module_of(each.name));
      const std::vector<index_t> shape = {codes.d_out, codes.d_in};
      if (shape != each.shape) {
        problems.push_back("tensor " + each.name + " is of codes for " + sbora::detail::shape_text(shape) +
                           ", the configuration says " + sbora::detail::shape_text(each.shape));
      }
    } else if (found->shape != each.shape) {
      problems.push_back("tensor " + each.name + " has shape " + sbora::detail::shape_text(found->shape) +
                         ", the configuration says " + sbora::detail::shape_text(each.shape));
    } else if (!is_dense_dtype(found->type)) {
      problems.push_back("tensor " + each.name + " is " + to_string(found->type) + ", expected F32, BF16 or F16");
    }
  }
  for (const std::string& name : names) {
    const bool of_no_use = name.ends_with(inverse_frequencies) || (tied && name == head_name);  // looked at before
    if (!known.contains(name) && !of_no_use) problems.push_back("unknown tensor " + name);
  }
  if (problems.empty()) return;
  std::string message = "not the weights of this configuration: ";
  for (std::size_t i = 0; i < std::min(most_shown, problems.size()); ++i) message += (i ? "; " : "") + problems[i];
  if (problems.size() > most_shown) message += "; and " + std::to_string(problems.size() - most_shown) + " more";
  throw input_error(message);
}

std::vector<std::string> settle_unused_tensors(checkpoint_tensors& tensors, model_config& config) {
  std::vector<std::string> notes;
  const sbora::tensor_view* const head = tensors.find(head_name);
  if (config.tie_word_embeddings && head) {
    if (!tensors.find(embedding_name)) {
      tensors.add_name(embedding_name, head_name);
    } else if (!same_values(tensors, embedding_name, head_name)) {
      config.tie_word_embeddings = false;
      notes.push_back(tensors.place(head_name) +
                      "lm_head.weight differs from model.embed_tokens.weight, though "
                      "config.json says tie_word_embeddings: the head is used, as transformers 5 does it (4 uses the "
                      "embedding); say \"tie_word_embeddings\": false there if that is right");
    }
  }
  for (const std::string& name : tensors.names()) {
    if (!name.ends_with(inverse_frequencies) || has_frequencies_of(config, *tensors.find(name))) continue;
    notes.push_back(tensors.place(name) + name +
                    " isn't what config.json's rope_theta gives; config.json is followed, "
                    "as transformers does it");
    break;  // they are the same in all layers
  }
  return notes;
}

}  // namespace llama
