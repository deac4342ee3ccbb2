// Models in GGUF files: what the same model in a folder computes; adapters come out in the folder's order of rows.

#include <fstream>

#include <sbora/io/gguf/gguf_names.hpp>
#include <sbora/io/gguf/gguf_writer.hpp>
#include <sbora/io/safetensors/safetensors_file.hpp>

#include "common/error.hpp"
#include "io/temporary_directory.hpp"
#include "model/adapter_files.hpp"
#include "model/model_tensors.hpp"
#include "support/catch.hpp"
#include "support/message.hpp"
#include "tiny_model.hpp"
#include "training/fingerprint.hpp"

using namespace llama;
using namespace llama::test;
using sbora_tests::temporary_directory;

namespace {

/// As llama.cpp's converter makes it.
void write_gguf(const std::filesystem::path& path, const model& net) {
  const model_config& config = net.config();
  const auto count = [](index_t number) { return static_cast<std::uint32_t>(number); };
  sbora::gguf_metadata metadata;
  metadata.add("general.architecture", "llama")
      .add("llama.embedding_length", count(config.hidden_size))
      .add("llama.feed_forward_length", count(config.intermediate_size))
      .add("llama.block_count", count(config.num_hidden_layers))
      .add("llama.context_length", count(config.max_position_embeddings))
      .add("llama.attention.head_count", count(config.num_attention_heads))
      .add("llama.attention.head_count_kv", count(config.num_key_value_heads))
      .add("llama.attention.key_length", count(config.head_dim))
      .add("llama.attention.value_length", count(config.head_dim))
      .add("llama.attention.layer_norm_rms_epsilon", static_cast<float>(config.rms_norm_eps));
  std::vector<sbora::gguf_tensor> tensors;
  std::deque<std::string> names;
  const auto of_hugging_face = tensors_of(config);
  for (const tensor_shape& each : of_hugging_face) {
    std::string name = each.name;
    const auto replace = [&](const std::string& from, const std::string& to) {
      if (const auto at = name.find(from); at != name.npos) name.replace(at, from.size(), to);
    };
    for (const auto& [from, to] :
         std::initializer_list<std::pair<const char*, const char*>>{{"model.embed_tokens", "token_embd"},
                                                                    {"model.norm", "output_norm"},
                                                                    {"lm_head", "output"},
                                                                    {"model.layers.", "blk."},
                                                                    {"input_layernorm", "attn_norm"},
                                                                    {"post_attention_layernorm", "ffn_norm"},
                                                                    {"self_attn.q_proj", "attn_q"},
                                                                    {"self_attn.k_proj", "attn_k"},
                                                                    {"self_attn.v_proj", "attn_v"},
                                                                    {"self_attn.o_proj", "attn_output"},
                                                                    {"mlp.gate_proj", "ffn_gate"},
                                                                    {"mlp.up_proj", "ffn_up"},
                                                                    {"mlp.down_proj", "ffn_down"}}) {
      replace(from, to);
    }
    names.push_back(name);
    tensors.push_back({names.back(), sbora::ggml_type::f32, each.shape, {}});
  }
  sbora::gguf_stream_writer writer(path, metadata, tensors);
  const index_t head = config.head_dim, half = head / 2;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto data = net.source().find(of_hugging_face[i].name)->data;
    const index_t rows = tensors[i].shape[0];
    const std::size_t row_size = data.size() / static_cast<std::size_t>(rows);
    const bool alternate = names[i].ends_with("attn_q.weight") || names[i].ends_with("attn_k.weight");
    for (index_t row = 0; row < rows; ++row) {
      const index_t in_head = row % head;
      const index_t from = alternate ? row - in_head + in_head % 2 * half + in_head / 2 : row;
      writer.write(names[i], data.subspan(static_cast<std::size_t>(from) * row_size, row_size));
    }
  }
  writer.commit();
}

double difference(const matrix& a, const matrix& b) {
  return static_cast<double>((a - b).cwiseAbs().maxCoeff()) / static_cast<double>(b.cwiseAbs().maxCoeff());
}

/// As in model.cpp: two orders of float sums.
constexpr double rounding = 2e-6;

/// The names of tensors that differ in any byte, of two adapters.
std::vector<std::string> differing(const std::filesystem::path& one, const std::filesystem::path& other) {
  const auto a = sbora::safetensors_file::open(one / "adapter_model.safetensors");
  const auto b = sbora::safetensors_file::open(other / "adapter_model.safetensors");
  std::vector<std::string> names;
  if (a.tensors().size() != b.tensors().size()) names.push_back("another number of them");
  for (const sbora::tensor_view& tensor : a.tensors()) {
    const sbora::tensor_view* const same = b.find(tensor.name);
    if (!same || same->shape != tensor.shape || !std::ranges::equal(same->data, tensor.data))
      names.push_back(tensor.name);
  }
  return names;
}

}  // namespace

TEST_CASE("a model in a GGUF file computes what it does in a folder, with adapters that go from one to the other") {
  const auto method = GENERATE(adapter_method::sbora_fa, adapter_method::sbora_fb, adapter_method::lora);
  const temporary_directory folder;
  thread_pool pool(2);
  model net = loud_model(tiny_config(), 4);
  write_gguf(folder / "model.gguf", net);
  model of_file = model::load(folder / "model.gguf", {}, pool);
  CHECK(of_file.config().num_key_value_heads == 2);
  CHECK(of_file.config().rms_norm_eps == 1e-5);
  const token_batch batch = random_batch(net.config(), {9, 6}, 1);
  CHECK(difference(of_file.logits(batch, pool), net.logits(batch, pool)) < rounding);

  // What is seeded is the same, in the order of the folder, and so is what was trained.
  const adapter_plan plan = plan_for(method);
  net.attach(plan);
  of_file.attach(plan);
  save_adapter(net, folder / "start", adapter_format::official, "base");
  save_adapter(of_file, folder / "same_start", adapter_format::official, "base");
  CHECK(differing(folder / "start", folder / "same_start").empty());
  attach_filled(net, plan);
  save_adapter(net, folder / "trained", adapter_format::official, "base");
  load_adapter(of_file, folder / "trained");
  CHECK(difference(of_file.logits(batch, pool), net.logits(batch, pool)) < rounding);
  save_adapter(of_file, folder / "again", adapter_format::official, "base");
  CHECK(differing(folder / "trained", folder / "again").empty());

  // A step along the gradient, which is in each one's own order.
  for (model* const each : {&net, &of_file}) {
    each->zero_gradient();
    each->forward_backward(batch, 0.01F, pool);
    for (std::size_t i = 0; i < each->parameters().size(); ++i) each->parameters()[i] -= each->gradient()[i];
  }
  CHECK(difference(of_file.logits(batch, pool), net.logits(batch, pool)) < 4 * rounding);
}

TEST_CASE("GGUF models are told apart by all of their bytes, and refused by name") {
  const temporary_directory folder;
  thread_pool pool(1);
  const auto path = folder / "model.gguf";
  const model net = loud_model(tiny_config(), 4);
  write_gguf(path, net);
  const std::string before = fingerprint_of(path);
  CHECK(fingerprint_of(path) == before);
  CHECK_ERROR(input_error, "a model of a GGUF file isn't saved as a folder",
              model::load(path, {}, pool).save(folder / "saved"));
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put('\x01');
  }
  CHECK(fingerprint_of(path) != before);
  write_gguf(path, loud_model(
                       [] {
                         model_config config = tiny_config();
                         config.num_hidden_layers = 1;
                         return config;
                       }(),
                       4));
  const model_config config = tiny_config();
  CHECK_ERROR(input_error, "no tensor model.layers.1.self_attn.q_proj.weight", check_model(path, config, {}));
  std::ofstream(path) << "nothing";
  CHECK_ERROR(input_error, "it doesn't begin with GGUF", model::load(path, {}, pool));
}
