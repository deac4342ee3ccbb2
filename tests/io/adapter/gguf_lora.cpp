// SBoRA adapters as llama.cpp loads them: names, kinds and rows of a GGUF model, and the same update.

#include <sbora/io/adapter/gguf_lora.hpp>
#include <sbora/io/gguf/gguf_file.hpp>
#include <sbora/model/checkpoint_error.hpp>
#include <sbora/model/make_adapter.hpp>

#include "io/gguf/gguf_bytes.hpp"
#include "io/temporary_directory.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::adapter_kind;
using sbora::checkpoint_error;
using sbora::ggml_type;
using sbora::gguf_file;
using sbora::gguf_names;
using sbora::gguf_type;
using sbora::index_t;

namespace {

gguf_names names() {
  const std::string bytes = gguf_bytes()
                                .key("general.architecture", gguf_type::string, gguf_bytes::text("llama"))
                                .key("llama.attention.head_count", gguf_type::u32, gguf_bytes::raw(std::uint32_t{2}))
                                .all();
  return gguf_names::of(gguf_file::from_memory(std::as_bytes(std::span(bytes))));
}

const std::vector<sbora::model_module> modules = {{"model.layers.0.self_attn.q_proj", 8, 5},
                                                  {"model.layers.0.mlp.down_proj", 6, 7}};

sbora::model_adapter<float> made(adapter_kind kind) {
  sbora::adapter_config config;
  config.kind = kind;
  config.r = 2;
  config.lora_alpha = 6;
  config.use_rslora = true;
  config.rank_pattern = {{"down_proj", 3}};
  config.target_modules.names = {"q_proj", "down_proj"};
  auto adapter = sbora::make_adapter(config, modules, 3);
  fill_random(adapter.parameters(), 9);
  return adapter;
}

double value(const sbora::gguf_tensor& tensor, index_t row, index_t col) {
  float number;
  std::memcpy(&number, tensor.data.data() + 4 * (row * tensor.shape[1] + col), 4);
  return double{number};
}

}  // namespace

TEST_CASE("llama.cpp's sum of a pair is the adapter's update, in the file's order of rows") {
  for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
    const temporary_directory folder;
    const auto adapter = made(kind);
    sbora::save_gguf_lora(adapter, names(), folder / "adapter.gguf");
    const gguf_file file = gguf_file::open(folder / "adapter.gguf");
    CHECK(file.value("general.type").string() == "adapter");
    CHECK(file.value("general.architecture").string() == "llama");
    CHECK(file.value("adapter.type").string() == "lora");
    CHECK(file.tensors().size() == 4);
    const float alpha = file.value("adapter.lora.alpha").number<float>().value();
    for (const auto& [module, name] :
         {std::pair(modules[0], "blk.0.attn_q.weight"), std::pair(modules[1], "blk.0.ffn_down.weight")}) {
      const sbora::gguf_tensor& a = file.at(std::string(name) + ".lora_a");
      const sbora::gguf_tensor& b = file.at(std::string(name) + ".lora_b");
      const index_t rank = a.shape[0];
      CHECK(a.type == ggml_type::f32);
      CHECK(a.shape == std::vector<index_t>{rank, module.d_in});
      CHECK(b.shape == std::vector<index_t>{module.d_out, rank});
      Eigen::MatrixXd update = Eigen::MatrixXd::Zero(module.d_out, module.d_in);
      const auto delta = adapter.delta(module.name);
      const auto geometry = delta.geometry();
      for (index_t line = 0; line < geometry.lines; ++line) {
        for (index_t j = 0; j < rank; ++j) {
          const index_t index = delta.target->indices()[static_cast<std::size_t>(j)];
          update(geometry.weight_row(line, index), geometry.weight_col(line, index)) +=
              double{delta.scale} *
              double{delta.parameters[line * geometry.line_stride() + j * geometry.index_stride()]};
        }
      }
      // Two heads of four rows: the second halves go between the first.
      const index_t places[] = {0, 2, 1, 3, 4, 6, 5, 7};
      for (index_t row = 0; row < module.d_out; ++row) {
        const index_t there = module.name == modules[0].name ? places[row] : row;
        for (index_t col = 0; col < module.d_in; ++col) {
          double sum = 0;
          for (index_t j = 0; j < rank; ++j) sum += value(b, there, j) * value(a, j, col);
          const double expected = update(row, col);
          CHECK(std::abs(sum * double{alpha} / static_cast<double>(rank) - expected) <=
                4 * 0x1p-24 * std::abs(expected));
        }
      }
    }
  }
}

TEST_CASE("what llama.cpp has no place for is refused, all of it, before a file is there") {
  const temporary_directory folder;
  const auto path = folder / "adapter.gguf";
  auto adapter = made(adapter_kind::fa);
  adapter.set_full_tensors({{"model.norm.weight", {2}, {8, 9}}});
  CHECK_ERROR(checkpoint_error, "tensor 'model.norm.weight' is replaced as a whole",
              sbora::save_gguf_lora(adapter, names(), path));
  sbora::adapter_config config;
  config.r = 1;
  config.kind = adapter_kind::fa;
  config.target_modules.names = {"odd", "embed_tokens"};
  const std::vector<sbora::model_module> others = {{"model.odd", 4, 4}, {"model.embed_tokens", 9, 4}};
  const auto odd = sbora::make_adapter(config, others, 1);
  CHECK_ERROR(checkpoint_error, "module 'model.odd' is none of a model of llama",
              sbora::save_gguf_lora(odd, names(), path));
  CHECK_ERROR(checkpoint_error, "module 'model.embed_tokens' is an embedding",
              sbora::save_gguf_lora(odd, names(), path));
  CHECK(std::filesystem::is_empty(folder.path()));
}
