// Names and the order of rows: what llama.cpp's converter made of a model, and back.

#include <sbora/io/gguf/gguf_names.hpp>
#include <sbora/model/checkpoint_error.hpp>

#include "io/gguf/gguf_bytes.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::checkpoint_error;
using sbora::gguf_names;
using sbora::gguf_type;
using sbora::index_t;

namespace {

std::string model_of(const std::string& architecture, std::uint32_t heads, std::uint32_t key_value_heads) {
  return gguf_bytes()
      .key("general.architecture", gguf_type::string, gguf_bytes::text(architecture))
      .key(architecture + ".attention.head_count", gguf_type::u32, gguf_bytes::raw(heads))
      .key(architecture + ".attention.head_count_kv", gguf_type::u32, gguf_bytes::raw(key_value_heads))
      .all();
}

gguf_names names_of(const std::string& bytes) {
  return gguf_names::of(sbora::gguf_file::from_memory(std::as_bytes(std::span(bytes))));
}

}  // namespace

TEST_CASE("each name in the file is one of Hugging Face's, and the other way round") {
  const gguf_names llama = names_of(model_of("llama", 4, 2));
  for (const auto& [in_file, hugging_face] :
       {std::pair("token_embd.weight", "model.embed_tokens.weight"),
        std::pair("output_norm.weight", "model.norm.weight"), std::pair("output.weight", "lm_head.weight"),
        std::pair("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"),
        std::pair("blk.12.attn_q.weight", "model.layers.12.self_attn.q_proj.weight"),
        std::pair("blk.1.attn_k.bias", "model.layers.1.self_attn.k_proj.bias"),
        std::pair("blk.1.attn_output.weight", "model.layers.1.self_attn.o_proj.weight"),
        std::pair("blk.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight"),
        std::pair("blk.1.ffn_up.weight", "model.layers.1.mlp.up_proj.weight"),
        std::pair("blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight")}) {
    CHECK(llama.hugging_face(in_file) == hugging_face);
    CHECK(llama.in_file(hugging_face) == in_file);
  }
  for (const char* const unknown : {"", "blk.0", "blk..attn_q.weight", "blk.x.attn_q.weight", "blk.0.attn_q.scale",
                                    "rope_freqs.weight", "blk.0.ffn_up_exps.weight", "blk.0.attn_qkv.weight"}) {
    CHECK_FALSE(llama.hugging_face(unknown));
  }
  const gguf_names phi = names_of(model_of("phi3", 4, 4));
  CHECK(phi.hugging_face("blk.0.ffn_up.weight") == "model.layers.0.mlp.gate_up_proj.weight");
  CHECK(phi.in_file("model.layers.0.self_attn.qkv_proj.weight") == "blk.0.attn_qkv.weight");
}

TEST_CASE("rows of q and k alternate where the converter makes them, and nowhere else") {
  using rows = std::vector<index_t>;
  const gguf_names llama = names_of(model_of("llama", 2, 1));
  CHECK(llama.alternates());
  CHECK(llama.rows_in_file("model.layers.0.self_attn.q_proj", 12) == rows{0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11});
  CHECK(llama.rows_in_hugging_face("model.layers.0.self_attn.q_proj", 12) ==
        rows{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11});
  CHECK(llama.rows_in_file("model.layers.0.self_attn.k_proj", 6) == rows{0, 2, 4, 1, 3, 5});
  CHECK(llama.rows_in_file("model.layers.0.self_attn.v_proj", 6).empty());
  CHECK(names_of(model_of("qwen2", 2, 1)).rows_in_file("model.layers.0.self_attn.q_proj", 12).empty());
  CHECK_ERROR(checkpoint_error, "10 rows, the model has 2 heads",
              llama.rows_in_file("model.layers.0.self_attn.q_proj", 10));
  CHECK_ERROR(checkpoint_error, "6 rows, the model has 4294967295 heads",
              names_of(model_of("llama", 0xFFFFFFFF, 1)).rows_in_file("model.layers.0.self_attn.q_proj", 6));
}

TEST_CASE("models of another architecture, or that don't say their heads, are refused by name") {
  CHECK_ERROR(checkpoint_error, "general.architecture is 'mamba', expected one of llama, granite, smollm3",
              names_of(model_of("mamba", 2, 1)));
  CHECK_ERROR(checkpoint_error, "general.architecture is ''", names_of(gguf_bytes().all()));
  CHECK_ERROR(checkpoint_error, "llama.attention.head_count_kv is not one number", names_of(model_of("llama", 2, 0)));
}
