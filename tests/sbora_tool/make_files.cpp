// make_files FOLDER: the checkpoints and adapters that run.sh and multi.sh work on.
// make_files MODEL FILE.gguf: a checkpoint as a GGUF file.
// make_files ADAPTER SEED: an adapter as if it had been trained: its parameters random.

#include <cstdio>
#include <exception>
#include <fstream>

#include <sbora/io.hpp>
#include <sbora/io/adapter/adapter_tensors.hpp>
#include <sbora/io/gguf/gguf_writer.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/quantized.hpp>

namespace {

namespace fs = std::filesystem;
using sbora::index_t;

/// Multiples of 1/64 in [-1, 1): exact in BF16 too, so that merges of both can be compared.
std::vector<float> values(index_t count, std::uint64_t seed) {
  sbora::random_stream random(seed);
  std::vector<float> made(static_cast<std::size_t>(count));
  for (float& value : made) value = static_cast<float>(random.below(128) - 64) / 64;
  return made;
}

struct named_tensor {
  std::string name;
  std::vector<index_t> shape;
};

std::vector<named_tensor> model() {
  std::vector<named_tensor> tensors = {{"model.embed_tokens.weight", {16, 10}}, {"model.norm.weight", {10}}};
  for (const char* layer : {"0", "1"}) {
    const std::string prefix = std::string("model.layers.") + layer + ".self_attn.";
    tensors.push_back({prefix + "q_proj.weight", {12, 10}});
    tensors.push_back({prefix + "k_proj.weight", {6, 10}});
  }
  return tensors;
}

template <class Scalar>
void write_model(const fs::path& folder, std::uint64_t seed, bool sharded) {
  fs::create_directories(folder);
  sbora::detail::tensor_pool first, second;
  std::string weight_map;
  index_t size = 0;
  for (const named_tensor& tensor : model()) {
    index_t count = 1;
    for (const index_t length : tensor.shape) count *= length;
    const std::vector<float> wide = values(count, seed++);
    std::vector<Scalar> narrow(wide.size());
    for (std::size_t i = 0; i < wide.size(); ++i) narrow[i] = static_cast<Scalar>(wide[i]);
    const bool in_second = sharded && tensor.name.find("layers.1") != std::string::npos;
    (in_second ? second : first).add_owned(tensor.name, tensor.shape, std::move(narrow));
    weight_map += (weight_map.empty() ? "" : ", ") + ('"' + tensor.name) +
                  (in_second ? "\": \"model-00002-of-00002.safetensors\"" : "\": \"model-00001-of-00002.safetensors\"");
    size += count * static_cast<index_t>(sizeof(Scalar));
  }
  if (!sharded) return write_safetensors(folder / "model.safetensors", first.tensors(), {{"format", "pt"}});
  write_safetensors(folder / "model-00001-of-00002.safetensors", first.tensors(), {{"format", "pt"}});
  write_safetensors(folder / "model-00002-of-00002.safetensors", second.tensors(), {{"format", "pt"}});
  std::ofstream(folder / "model.safetensors.index.json")
      << "{\"metadata\": {\"total_size\": " << size << "}, \"weight_map\": {" << weight_map << "}}";
}

/// The linear layers in bitsandbytes' codes of 4 bits, or of 8.
void write_quantised(const fs::path& folder, std::uint64_t seed, bool four_bits) {
  fs::create_directories(folder);
  sbora::detail::tensor_pool dense;
  sbora::bitsandbytes_writer codes;
  std::vector<sbora::four_bit_weight> of_four;
  std::vector<sbora::int8_weight> of_eight;
  of_four.reserve(8), of_eight.reserve(8);
  for (const named_tensor& tensor : model()) {
    const bool linear = tensor.name.find("proj") != std::string::npos;
    const std::vector<float> wide = values(tensor.shape[0] * (tensor.shape.size() > 1 ? tensor.shape[1] : 1), seed++);
    if (!linear) {
      dense.add_owned(tensor.name, tensor.shape, wide);
      continue;
    }
    const sbora::weight_view<const float> weight(wide.data(), tensor.shape[0], tensor.shape[1]);
    if (four_bits) codes.add(tensor.name, of_four.emplace_back(weight).view(), sbora::dtype::f32);
    else codes.add(tensor.name, of_eight.emplace_back(weight).view());
  }
  std::vector<sbora::tensor_view> all(dense.tensors().begin(), dense.tensors().end());
  const auto of_codes = codes.tensors();
  all.insert(all.end(), of_codes.begin(), of_codes.end());
  write_safetensors(folder / "model.safetensors", all, {{"format", "pt"}});
}

/// A model's folder as llama.cpp's converter makes it: with 2 heads of queries and one of keys, whose halves alternate.
void write_gguf(const fs::path& folder, const fs::path& file) {
  const char* const names[] = {"token_embd.weight",   "output_norm.weight",  "blk.0.attn_q.weight",
                               "blk.0.attn_k.weight", "blk.1.attn_q.weight", "blk.1.attn_k.weight"};
  const auto from = sbora::checkpoint::open(folder);
  std::vector<sbora::gguf_tensor> tensors;
  for (const named_tensor& tensor : model()) {
    tensors.push_back({names[tensors.size()], sbora::ggml_type::f32, tensor.shape, {}});
  }
  sbora::gguf_metadata metadata;
  metadata.add("general.architecture", "llama")
      .add("llama.attention.head_count", std::uint32_t{2})
      .add("llama.attention.head_count_kv", std::uint32_t{1});
  sbora::gguf_stream_writer writer(file, metadata, tensors);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto data = from.at(model()[i].name).data;
    const auto rows = static_cast<std::size_t>(tensors[i].shape[0]), size = data.size() / rows;
    for (std::size_t row = 0; row < rows; ++row) {  // row 2i of a head is row i of its first half, 2i + 1 of its second
      const std::size_t alternating = row - row % 6 + row % 2 * 3 + row % 6 / 2;
      writer.write(tensors[i].name, data.subspan((i < 2 ? row : alternating) * size, size));
    }
  }
  writer.commit();
}

/// The model's names with `prefix` before each, as wrappers leave them.
void write_wrapped(const fs::path& from, const fs::path& folder, const std::string& file, const std::string& prefix) {
  fs::create_directories(folder);
  const auto opened = sbora::safetensors_file::open(from / file);
  std::vector<sbora::tensor_view> tensors(opened.tensors().begin(), opened.tensors().end());
  for (sbora::tensor_view& tensor : tensors) tensor.name = prefix + tensor.name;
  write_safetensors(folder / file, tensors, {{"format", "pt"}});
}

sbora::model_adapter<float> adapter(sbora::adapter_kind kind, std::uint64_t seed, bool rslora, bool mixed = false) {
  sbora::adapter_config config;
  config.kind = kind;
  config.r = 3;
  config.lora_alpha = 6;
  config.use_rslora = rslora;
  config.base_model_name_or_path = "tiny";
  config.target_modules.names = {"q_proj", "k_proj"};
  if (mixed) config.kind_pattern = {{"k_proj", sbora::adapter_kind::fb}};
  const std::vector<sbora::model_module> modules = {{"model.layers.0.self_attn.q_proj", 12, 10},
                                                    {"model.layers.0.self_attn.k_proj", 6, 10},
                                                    {"model.layers.1.self_attn.q_proj", 12, 10},
                                                    {"model.layers.1.self_attn.k_proj", 6, 10}};
  auto made = sbora::make_adapter(config, modules, seed);
  const std::vector<float> trained = values(made.parameter_count(), seed);
  std::copy(trained.begin(), trained.end(), made.parameters().begin());
  return made;
}

/// Three experts in stacks, and in tensors of their own.
void write_experts(const fs::path& folder, const fs::path& apart, std::uint64_t seed) {
  fs::create_directories(folder);
  fs::create_directories(apart);
  const std::string layer = "model.layers.0.mlp.experts.";
  const std::vector<float> gate_up = values(3 * 16 * 10, seed), down = values(3 * 10 * 8, seed + 1);
  sbora::detail::tensor_pool stacked, single;
  stacked.add_owned(layer + "gate_up_proj", {3, 16, 10}, gate_up);
  stacked.add_owned(layer + "down_proj", {3, 10, 8}, down);
  const auto part = [](const std::vector<float>& of, index_t first) {
    return std::vector<float>(of.begin() + first * 80, of.begin() + (first + 1) * 80);
  };
  for (index_t e = 0; e < 3; ++e) {
    const std::string expert = layer + std::to_string(e);
    single.add_owned(expert + ".gate_proj.weight", {8, 10}, part(gate_up, 2 * e));
    single.add_owned(expert + ".up_proj.weight", {8, 10}, part(gate_up, 2 * e + 1));
    single.add_owned(expert + ".down_proj.weight", {10, 8}, part(down, e));
  }
  write_safetensors(folder / "model.safetensors", stacked.tensors(), {{"format", "pt"}});
  write_safetensors(apart / "model.safetensors", single.tensors(), {{"format", "pt"}});
}

/// A PEFT LoRA without a one-hot half.
void write_dense_lora(const fs::path& folder) {
  const std::string module = "base_model.model.model.layers.0.self_attn.q_proj.";
  fs::create_directories(folder);
  sbora::detail::tensor_pool pool;
  pool.add_owned(module + "lora_A.weight", {2, 10}, std::vector<float>(20, 0.5F));
  pool.add_owned(module + "lora_B.weight", {12, 2}, std::vector<float>(24, 0.25F));
  write_safetensors(folder / "adapter_model.safetensors", pool.tensors(), {{"format", "pt"}});
  std::ofstream(folder / "adapter_config.json")
      << R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]})";
}

/// On gate and up of write_experts' experts: as parts of a stack, or as modules of their own.
sbora::model_adapter<float> expert_adapter(bool stacked) {
  const std::string layer = "model.layers.0.mlp.experts.";
  sbora::adapter_config config;
  config.kind = sbora::adapter_kind::fb;
  config.r = 3;
  std::vector<sbora::model_module> modules;
  for (index_t e = 0; e < 3; ++e) {
    const std::string expert = layer + std::to_string(e);
    if (stacked) modules.push_back({layer + "gate_up_proj[" + std::to_string(e) + "]", 16, 10});
    else modules.insert(modules.end(), {{expert + ".gate_proj", 8, 10}, {expert + ".up_proj", 8, 10}});
  }
  if (stacked) config.target_parameters = {"gate_up_proj"};
  else config.target_modules.names = {"gate_proj", "up_proj"};
  auto made = sbora::make_adapter(config, modules, 4);
  const std::vector<float> trained = values(made.parameter_count(), 4);
  std::copy(trained.begin(), trained.end(), made.parameters().begin());
  return made;
}

/// A head that is the embedding, in the file too.
void write_tied(const fs::path& folder) {
  fs::create_directories(folder);
  sbora::detail::tensor_pool pool;
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"})
    pool.add_owned(name, {16, 10}, values(160, 1));
  write_safetensors(folder / "model.safetensors", pool.tensors(), {{"format", "pt"}});
  std::ofstream(folder / "config.json") << R"({"tie_word_embeddings": true})";
}

void write_head_lora(const fs::path& folder) {
  sbora::adapter_config config;
  config.kind = sbora::adapter_kind::fa;
  config.r = 3;
  config.target_modules.names = {"lm_head"};
  save_peft_lora(sbora::make_adapter(config, std::vector<sbora::model_module>{{"lm_head", 16, 10}}, 9), folder);
}

/// With the normalisation and the embedding.
sbora::model_adapter<float> with_full_tensors(std::uint64_t seed) {
  auto made = adapter(sbora::adapter_kind::fa, 5, false);
  made.set_full_tensors(
      {{"model.norm.weight", {10}, values(10, seed)}, {"model.embed_tokens.weight", {16, 10}, values(160, seed)}});
  return made;
}

void make(const fs::path& folder) {
  using sbora::adapter_kind;
  using sbora::sbora_layout;
  write_model<float>(folder / "base", 1, false);
  write_model<Eigen::bfloat16>(folder / "base_bf16", 1, false);
  write_model<float>(folder / "other_base", 100, false);
  write_model<float>(folder / "sharded", 1, true);
  write_gguf(folder / "base", folder / "base.gguf");
  save_sbora(adapter(adapter_kind::fa, 5, false), folder / "fa_official", sbora_layout::official);
  save_sbora(adapter(adapter_kind::fb, 6, false), folder / "fb_official", sbora_layout::official);
  save_sbora(adapter(adapter_kind::fa, 5, false), folder / "fa");
  save_sbora(adapter(adapter_kind::fa, 7, false), folder / "fa_other");
  save_sbora(adapter(adapter_kind::fb, 6, true), folder / "fb_rslora");
  save_peft_lora(adapter(adapter_kind::fb, 6, false), folder / "fb_peft");
  save_sbora(adapter(adapter_kind::fa, 5, false, true), folder / "mixed");
  save_sbora(with_full_tensors(8), folder / "full");
  save_sbora(with_full_tensors(9), folder / "full_other");
  write_dense_lora(folder / "dense_lora");
  write_experts(folder / "experts", folder / "experts_apart", 1);
  write_experts(folder / "other_experts", folder / "other_experts_apart", 5);
  save_sbora(expert_adapter(true), folder / "on_stack");
  save_sbora(expert_adapter(false), folder / "on_parts");
  write_quantised(folder / "base_nf4", 1, true);
  write_quantised(folder / "base_int8", 1, false);
  write_wrapped(folder / "base", folder / "base_compiled", "model.safetensors", "_orig_mod.");
  write_wrapped(folder / "fb_peft", folder / "fb_parallel", "adapter_model.safetensors", "module.");
  fs::copy(folder / "fb_peft/adapter_config.json", folder / "fb_parallel");
  write_tied(folder / "tied");
  write_head_lora(folder / "head");
  fs::copy(folder / "fa_official", folder / "dora");
  std::ifstream in(folder / "fa_official/adapter_config.json");
  std::string text{std::istreambuf_iterator<char>(in), {}};
  std::ofstream(folder / "dora/adapter_config.json") << text.insert(text.find('{') + 1, R"("use_dora": true,)");
}

void train(const fs::path& folder, std::uint64_t seed) {
  auto adapter = sbora::load_sbora(folder).adapter;
  const std::vector<float> trained = values(adapter.parameter_count(), seed);
  std::copy(trained.begin(), trained.end(), adapter.parameters().begin());
  save_sbora(adapter, folder);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 2) make(argv[1]);
    if (argc == 3 && fs::path(argv[2]).extension() == ".gguf") write_gguf(argv[1], argv[2]);
    else if (argc == 3) train(argv[1], std::stoull(argv[2]));
    return argc == 2 || argc == 3 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_files: %s\n", error.what());
    return 1;
  }
}
