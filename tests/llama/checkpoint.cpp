#include "support/catch.hpp"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>

#include <nlohmann/json.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/weights/quantize.hpp>
#include <sbora/weights/row_reader.hpp>

#include "model/adapter_files.hpp"
#include "common/error.hpp"
#include "model/model_tensors.hpp"
#include "model/rotary.hpp"
#include "support/fp8_codes.hpp"
#include "tiny_model.hpp"

using namespace llama;
using namespace llama::test;

namespace {

/// A directory of its own for one test case, removed at the end.
class scratch_directory {
 public:
  scratch_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "sbora_llama_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~scratch_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;
  std::filesystem::path operator/(const char* name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

double difference(const matrix& a, const matrix& b) {
  const double off = static_cast<double>((a - b).cwiseAbs().maxCoeff());
  return std::isfinite(off) ? off / static_cast<double>(b.cwiseAbs().maxCoeff()) : INFINITY;
}

/// As in model.cpp: two orders of float sums.
constexpr double rounding = 2e-6;

/// Rewrites a saved model's tensors: f gets each and says what it becomes (false: it is left out).
template <class Function>
void rewrite(const std::filesystem::path& directory, Function f) {
  const auto file = directory / "model.safetensors";
  std::vector<sbora::tensor_view> tensors;
  std::vector<std::vector<std::byte>> storage;
  {
    const auto opened = sbora::safetensors_file::open(file);
    for (sbora::tensor_view tensor : opened.tensors()) {
      storage.emplace_back(tensor.data.begin(), tensor.data.end());
      if (!f(tensor, storage.back())) continue;
      tensor.data = storage.back();
      tensors.push_back(tensor);
    }
  }
  sbora::write_safetensors(file, tensors);
}

template <class Scalar>
void store_as(const std::filesystem::path& directory) {
  rewrite(directory, [](sbora::tensor_view& tensor, std::vector<std::byte>& bytes) {
    std::vector<Scalar> narrow;
    for (const float value : tensor.values<float>()) narrow.push_back(static_cast<Scalar>(value));
    tensor.type = sbora::dtype_of<Scalar>;
    bytes.resize(narrow.size() * sizeof(Scalar));
    std::memcpy(bytes.data(), narrow.data(), bytes.size());
    return true;
  });
}

/// A model of the same weights, each changed by `change`.
model changed(model& net, const std::function<void(const std::string&, matrix&)>& change) {
  net.train_all_weights();
  std::vector<named_tensor> tensors;
  for (const tensor_shape& each : tensors_of(net.config())) {
    const sbora::tensor_view& tensor = *net.source().find(each.name);
    const index_t cols = each.elements() / each.shape[0];
    named_tensor copy;
    copy.name = each.name;
    copy.values = Eigen::Map<const matrix>(tensor.values<float>().data(), each.shape[0], cols);
    change(copy.name, copy.values);
    tensors.push_back(std::move(copy));
  }
  net.attach({});
  return model(net.config(), std::move(tensors));
}

bool is_linear(const std::string& name) { return name.find("_proj") != std::string::npos; }

std::string refusal(const std::filesystem::path& directory, load_options options = {}) {
  thread_pool pool(1);
  try {
    model::load(directory, options, pool);
  } catch (const input_error& error) {
    return error.what();
  }
  return "accepted";
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a model that is saved is loaded again, bit for bit") {
  thread_pool pool(2);
  scratch_directory directory;
  model_config config = tiny_config();
  config.tie_word_embeddings = GENERATE(false, true);
  config.scaling = rope_scaling{.factor = 8, .original_max_position_embeddings = 16};
  model net = loud_model(config, 1);
  net.save(directory.path());
  model again = model::load(directory.path(), {}, pool);
  const token_batch batch = random_batch(config, {25, 18}, 2);
  CHECK(again.logits(batch, pool) == net.logits(batch, pool));
  CHECK(again.memory().weights > 0);
  CHECK_THROWS_AS(again.train_all_weights(), input_error);
}

TEST_CASE("16-bit weights are computed with in place") {
  thread_pool pool(2);
  scratch_directory directory;
  model net = loud_model(tiny_config(), 1);
  net.save(directory.path());
  const bool is_half = GENERATE(false, true);
  if (is_half) store_as<Eigen::half>(directory.path());
  else store_as<Eigen::bfloat16>(directory.path());
  model narrow = model::load(directory.path(), {}, pool);
  model rounded = changed(net, [&](const std::string&, matrix& values) {
    if (is_half) values = values.cast<Eigen::half>().cast<float>().eval();
    else values = values.cast<Eigen::bfloat16>().cast<float>().eval();
  });
  const token_batch batch = random_batch(net.config(), {25, 18}, 2);
  CHECK(difference(narrow.logits(batch, pool), rounded.logits(batch, pool)) < rounding);
  // And the gradient goes through them.
  attach_filled(narrow, plan_for(adapter_method::sbora_fa));
  attach_filled(rounded, plan_for(adapter_method::sbora_fa));
  narrow.forward_backward(batch, 1.0f, pool);
  rounded.forward_backward(batch, 1.0f, pool);
  const auto gradient = [](model& of) -> matrix {
    return Eigen::Map<const Eigen::RowVectorXf>(of.gradient().data(), std::ssize(of.gradient()));
  };
  CHECK(difference(gradient(narrow), gradient(rounded)) < 10 * rounding);
}

TEST_CASE("weights quantised on load are the values of their codes") {
  thread_pool pool(2);
  scratch_directory directory;
  model net = loud_model(tiny_config(), 1);
  net.save(directory.path());
  load_options options;
  options.bits = GENERATE(4, 8);
  options.four_bit = GENERATE(sbora::four_bit_type::nf4, sbora::four_bit_type::fp4);
  options.double_quant = GENERATE(false, true);
  index_t done = 0;
  options.progress = [&](index_t layer, index_t layers) {
    CHECK(layers == 3);
    done = layer;
  };
  model quantised = model::load(directory.path(), options, pool);
  CHECK(done == 3);
  const auto decode = [](const auto& view, matrix& values) {
    const sbora::detail::row_reader reader(view);
    for (index_t row = 0; row < values.rows(); ++row) reader.read(row, 0, values.cols(), &values(row, 0));
  };
  model decoded = changed(net, [&](const std::string& name, matrix& values) {
    if (!is_linear(name)) return;
    const sbora::weight_view<const float> view(values.data(), values.rows(), values.cols());
    if (options.bits == 8) {
      const sbora::int8_weight codes(view);
      decode(codes.view(), values);
    } else {
      const sbora::four_bit_weight codes(view,
                                         {.type = options.four_bit, .blocksize = 64, .nested = options.double_quant});
      decode(codes.view(), values);
    }
  });
  const token_batch batch = random_batch(net.config(), {25, 18}, 2);
  CHECK(difference(quantised.logits(batch, pool), decoded.logits(batch, pool)) < rounding);
  CHECK(difference(quantised.logits(batch, pool), net.logits(batch, pool)) > 1e-3);
}

TEST_CASE("fp8 weights are used where they lie") {
  thread_pool pool(2);
  scratch_directory directory;
  model net = loud_model(tiny_config(), 1);
  net.save(directory.path());
  std::deque<sbora_tests::fp8_codes> codes;
  model decoded = changed(net, [&](const std::string& name, matrix& values) {
    if (!is_linear(name)) return;
    codes.emplace_back(values.rows(), values.cols(), sbora::fp8_scaling::row, codes.size() + 1);
    for (index_t i = 0; i < values.size(); ++i) {
      values(i / values.cols(), i % values.cols()) = codes.back().value(i / values.cols(), i % values.cols());
    }
  });
  const auto file = directory / "model.safetensors";
  std::vector<sbora::tensor_view> tensors;
  const auto opened = sbora::safetensors_file::open(file);
  auto next = codes.begin();
  for (const tensor_shape& each : tensors_of(net.config())) {
    tensors.push_back(opened.at(each.name));
    if (!is_linear(each.name)) continue;
    tensors.back().type = sbora::dtype::f8_e4m3;
    tensors.back().data = std::as_bytes(std::span(next->codes));
    tensors.push_back(
        {each.name + "_scale", sbora::dtype::f32, {next->d_out, 1}, std::as_bytes(std::span(next->scales))});
    ++next;
  }
  std::filesystem::create_directory(directory / "fp8");
  sbora::write_safetensors(directory / "fp8/model.safetensors", tensors);
  std::filesystem::copy(directory / "config.json", directory / "fp8/config.json");
  model loaded = model::load(directory / "fp8", {}, pool);
  CHECK(loaded.memory().weights < net.memory().weights / 2);
  const token_batch batch = random_batch(net.config(), {25, 18}, 2);
  CHECK(difference(loaded.logits(batch, pool), decoded.logits(batch, pool)) < rounding);
  load_options four_bits;
  four_bits.bits = 4;
  CHECK(mentions(refusal(directory / "fp8", four_bits), "is quantised already; leave --bits at 16, as stored"));
  CHECK_THROWS_AS(loaded.save(directory / "copy"), input_error);
}

TEST_CASE("a checkpoint over several files") {
  thread_pool pool(2);
  scratch_directory directory;
  model net = loud_model(tiny_config(), 1);
  net.save(directory.path());
  nlohmann::json index = {{"weight_map", nlohmann::json::object()}};
  {
    const auto whole = sbora::safetensors_file::open(directory / "model.safetensors");
    std::vector<sbora::tensor_view> shards[2];
    for (const sbora::tensor_view& tensor : whole.tensors()) {
      const std::size_t shard = tensor.name.find("layers.1") == std::string::npos ? 0 : 1;
      shards[shard].push_back(tensor);
      index["weight_map"][tensor.name] = shard == 0 ? "a.safetensors" : "b.safetensors";
    }
    sbora::write_safetensors(directory / "a.safetensors", shards[0]);
    sbora::write_safetensors(directory / "b.safetensors", shards[1]);
  }
  std::filesystem::remove(directory / "model.safetensors");
  std::ofstream(directory / "model.safetensors.index.json") << index.dump();
  const token_batch batch = random_batch(net.config(), {25, 18}, 2);
  {
    model sharded = model::load(directory.path(), {}, pool);
    CHECK(sharded.logits(batch, pool) == net.logits(batch, pool));
  }
  std::filesystem::remove(directory / "b.safetensors");
  CHECK(mentions(refusal(directory.path()), "b.safetensors"));
}

TEST_CASE("directories that are no such checkpoint are refused by name") {
  scratch_directory directory;
  model net = loud_model(tiny_config(), 1);
  net.save(directory.path());
  CHECK(refusal(directory.path()) == "accepted");
  load_options options;
  options.bits = 5;
  CHECK(mentions(refusal(directory.path(), options), "5 bits"));
  options.bits = 4;
  options.blocksize = 63;
  CHECK(mentions(refusal(directory.path(), options), "63"));

  SECTION("no such directory") { CHECK(mentions(refusal(directory / "none"), "none")); }
  SECTION("no config.json") {
    std::filesystem::remove(directory / "config.json");
    CHECK(mentions(refusal(directory.path()), "config.json"));
  }
  SECTION("no weights") {
    std::filesystem::remove(directory / "model.safetensors");
    CHECK(mentions(refusal(directory.path()), "model.safetensors"));
  }
  SECTION("a truncated file") {
    std::filesystem::resize_file(directory / "model.safetensors",
                                 std::filesystem::file_size(directory / "model.safetensors") - 1);
    CHECK(mentions(refusal(directory.path()), "model.safetensors"));
  }
  SECTION("a tensor too few") {
    rewrite(directory.path(), [](sbora::tensor_view& tensor, std::vector<std::byte>&) {
      return tensor.name != "model.layers.2.mlp.up_proj.weight";
    });
    CHECK(mentions(refusal(directory.path()), "no tensor model.layers.2.mlp.up_proj.weight"));
  }
  SECTION("a tensor too many, as attention biases") {
    rewrite(directory.path(), [](sbora::tensor_view& tensor, std::vector<std::byte>&) {
      if (tensor.name == "model.norm.weight") tensor.name = "model.layers.0.self_attn.q_proj.bias";
      return true;
    });
    CHECK(mentions(refusal(directory.path()), "unknown tensor model.layers.0.self_attn.q_proj.bias"));
  }
  SECTION("another shape") {
    rewrite(directory.path(), [](sbora::tensor_view& tensor, std::vector<std::byte>&) {
      if (tensor.name == "model.embed_tokens.weight") tensor.shape = {24, 61};
      return true;
    });
    CHECK(mentions(refusal(directory.path()), "model.embed_tokens.weight has shape [24, 61]"));
  }
  SECTION("another type") {
    rewrite(directory.path(), [](sbora::tensor_view& tensor, std::vector<std::byte>&) {
      tensor.type = sbora::dtype::i32;
      return true;
    });
    CHECK(mentions(refusal(directory.path()), "I32"));
  }
}

TEST_CASE("a head beside a tied embedding is used where it differs, and rotary frequencies are looked at") {
  thread_pool pool(1);
  scratch_directory directory;
  model_config config = tiny_config();
  config.tie_word_embeddings = true;
  model net = loud_model(config, 1);
  const token_batch batch = random_batch(config, {9}, 2);
  net.save(directory.path());
  const auto add = [&](const char* name, std::vector<index_t> shape, const std::vector<float>& values) {
    std::vector<std::vector<std::byte>> storage;
    std::vector<sbora::tensor_view> tensors;
    {
      const auto opened = sbora::safetensors_file::open(directory / "model.safetensors");
      for (sbora::tensor_view tensor : opened.tensors()) {
        if (tensor.name == name) continue;
        storage.emplace_back(tensor.data.begin(), tensor.data.end());
        tensor.data = storage.back();
        tensors.push_back(tensor);
      }
    }
    tensors.push_back({name, sbora::dtype::f32, std::move(shape), std::as_bytes(std::span(values))});
    sbora::write_safetensors(directory / "model.safetensors", tensors);
  };
  const auto embedding = [&] {
    const auto file = sbora::safetensors_file::open(directory / "model.safetensors");
    return file.at("model.embed_tokens.weight").copy<float>();
  };
  std::vector<float> head = embedding();

  SECTION("equal: tied") {
    add("lm_head.weight", {61, 24}, head);
    model again = model::load(directory.path(), {}, pool);
    CHECK(again.config().tie_word_embeddings);
    CHECK(again.notes().empty());
    CHECK(again.logits(batch, pool) == net.logits(batch, pool));
  }
  SECTION("different: untied, with a word, and saved so") {
    for (float& value : head) value *= 2;
    add("lm_head.weight", {61, 24}, head);
    model again = model::load(directory.path(), {}, pool);
    CHECK_FALSE(again.config().tie_word_embeddings);
    REQUIRE(again.notes().size() == 1);
    CHECK(mentions(again.notes()[0], "model.safetensors: lm_head.weight differs from model.embed_tokens.weight"));
    const matrix doubled = 2.0F * net.logits(batch, pool);
    CHECK(again.logits(batch, pool) == doubled);
    scratch_directory saved;
    save_merged(again, saved.path());
    model reloaded = model::load(saved.path(), {}, pool);
    CHECK(reloaded.notes().empty());
    CHECK(reloaded.logits(batch, pool) == doubled);
  }
  SECTION("another shape") {
    add("lm_head.weight", {60, 24}, std::vector<float>(60 * 24));
    CHECK(mentions(refusal(directory.path()), "lm_head.weight has shape [60, 24]"));
  }
  SECTION("the head alone stands for both") {
    rewrite(directory.path(), [](sbora::tensor_view& tensor, std::vector<std::byte>&) {
      if (tensor.name == "model.embed_tokens.weight") tensor.name = "lm_head.weight";
      return true;
    });
    model again = model::load(directory.path(), {}, pool);
    CHECK(again.logits(batch, pool) == net.logits(batch, pool));
    scratch_directory saved;
    again.save(saved.path());
    CHECK(model::load(saved.path(), {}, pool).logits(batch, pool) == net.logits(batch, pool));
  }
  SECTION("frequencies as old files have them") {
    const Eigen::ArrayXf rotary = rotary_table<float>::frequencies(config);
    std::vector<float> values;
    for (const float value : rotary) values.push_back(static_cast<float>(static_cast<Eigen::bfloat16>(value)));
    add("model.layers.0.self_attn.rotary_emb.inv_freq", {3}, values);
    CHECK(model::load(directory.path(), {}, pool).notes().empty());
    values[2] *= 2;
    add("model.layers.0.self_attn.rotary_emb.inv_freq", {3}, values);
    model again = model::load(directory.path(), {}, pool);
    REQUIRE(again.notes().size() == 1);
    CHECK(mentions(again.notes()[0], "rotary_emb.inv_freq isn't what config.json's rope_theta gives"));
    CHECK(again.logits(batch, pool) == net.logits(batch, pool));
  }
}

TEST_CASE("tensors in memory that don't fit are refused") {
  model net = loud_model(tiny_config(), 1);
  CHECK_THROWS_AS(model(net.config(), {}), input_error);
  CHECK_THROWS_AS(changed(net,
                          [](const std::string& name, matrix& values) {
                            if (name == "model.norm.weight") values.conservativeResize(23, 1);
                          }),
                  input_error);
}

TEST_CASE("adapters are saved and loaded, bit for bit in their own format") {
  thread_pool pool(2);
  scratch_directory directory;
  const auto method = GENERATE(adapter_method::sbora_fa, adapter_method::sbora_fb, adapter_method::lora);
  const auto format = GENERATE(adapter_format::official, adapter_format::peft);
  model net = loud_model(tiny_config(), 1);
  CHECK_THROWS_AS(save_adapter(net, directory / "adapter", format, "base"), input_error);
  adapter_plan plan = plan_for(method, 0.1);
  plan.target_modules = {"v_proj", "down_proj"};
  attach_filled(net, plan);
  const token_batch batch = random_batch(net.config(), {25, 18}, 2);
  save_adapter(net, directory / "adapter", format, "base");

  model other = loud_model(tiny_config(), 1);
  load_adapter(other, directory / "adapter");
  CHECK(other.plan().rank == 5);
  CHECK(other.adapters().size() == 6);
  const matrix expected = net.logits(batch, pool), logits = other.logits(batch, pool);
  if (format == adapter_format::official || method == adapter_method::lora) {
    CHECK(other.plan().method == method);
    CHECK(logits == expected);
  } else {  // PEFT's files say LoRA, which computes with the one-hot half: the same but for rounding
    CHECK(other.plan().method == adapter_method::lora);
    CHECK((logits - expected).cwiseAbs().maxCoeff() <= 1e-5F * expected.cwiseAbs().maxCoeff());
  }

  model_config wide = tiny_config();
  wide.intermediate_size = 43;
  model unlike = loud_model(wide, 1);
  CHECK_THROWS_AS(load_adapter(unlike, directory / "adapter"), input_error);
  CHECK_THROWS_AS(load_adapter(other, directory / "none"), input_error);
}

TEST_CASE("a LoRA's fields that change its update are refused by name, others are read over") {
  scratch_directory directory;
  model net = loud_model(tiny_config(), 1);
  attach_filled(net, plan_for(adapter_method::lora));
  save_adapter(net, directory.path(), adapter_format::official, "base");
  const nlohmann::json saved = nlohmann::json::parse(std::ifstream(directory / "adapter_config.json"));
  const auto refused_with = [&](const char* field, const nlohmann::json& value) -> std::string {
    nlohmann::json changed = saved;
    changed[field] = value;
    std::ofstream(directory / "adapter_config.json") << changed;
    try {
      load_adapter(net, directory.path());
    } catch (const input_error& error) {
      return error.what();
    }
    return "accepted";
  };
  const nlohmann::json refused = {{"use_dora", true},
                                  {"bias", "all"},
                                  {"rank_pattern", {{"q_proj", 2}}},
                                  {"layers_to_transform", {0}},
                                  {"modules_to_save", {"lm_head"}},
                                  {"trainable_token_indices", {3, 5}},
                                  {"lora_bias", true}};
  for (const auto& [field, value] : refused.items()) {
    CHECK(mentions(refused_with(field.c_str(), value), "adapter_config.json: " + field));
  }
  const nlohmann::json harmless = {{"use_dora", false},          {"rank_pattern", nlohmann::json::object()},
                                   {"modules_to_save", nullptr}, {"peft_version", "0.21.2"},
                                   {"revision", "main"},         {"future_field", 1}};
  for (const auto& [field, value] : harmless.items()) CHECK(refused_with(field.c_str(), value) == "accepted");
}

TEST_CASE("a merged model computes what the adapted one does") {
  thread_pool pool(2);
  scratch_directory directory;
  const auto method = GENERATE(adapter_method::sbora_fa, adapter_method::sbora_fb, adapter_method::lora);
  const bool rslora = GENERATE(false, true);
  model net = loud_model(tiny_config(), 1);
  adapter_plan plan = plan_for(method);
  plan.rslora = rslora;
  attach_filled(net, plan);
  save_merged(net, directory.path());
  model merged = model::load(directory.path(), {}, pool);
  const token_batch batch = random_batch(net.config(), {25, 18}, 2);
  const matrix with_adapter = net.logits(batch, pool);
  CHECK(difference(merged.logits(batch, pool), with_adapter) < rounding);
  net.attach({});
  CHECK(difference(net.logits(batch, pool), with_adapter) > 1e-3);
}
