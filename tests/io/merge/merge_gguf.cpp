// Merged GGUF models: what an adapter doesn't touch is copied byte for byte, blocks stay blocks or become floats.

#include <sbora/io/gguf/gguf_weight.hpp>
#include <sbora/io/gguf/gguf_writer.hpp>
#include <sbora/io/merge/merge_gguf.hpp>
#include <sbora/merge/export_merged.hpp>
#include <sbora/model/checkpoint_error.hpp>
#include <sbora/model/make_adapter.hpp>

#include "io/temporary_directory.hpp"
#include "support/ggml_blocks.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::ggml_type;
using sbora::gguf_file;
using sbora::gguf_merge;
using sbora::index_t;

namespace {

/// q in Q4_K, whose halves of 2 heads alternate, v in F16, o in a type that can't be read, a norm.
void write_model(const std::filesystem::path& path) {
  const std::vector<sbora::gguf_tensor> tensors = {{"blk.0.attn_norm.weight", ggml_type::f32, {256}, {}},
                                                   {"blk.0.attn_q.weight", ggml_type::q4_k, {8, 256}, {}},
                                                   {"blk.0.attn_v.weight", ggml_type::f16, {8, 256}, {}},
                                                   {"blk.0.attn_output.weight", ggml_type::q2_k, {8, 256}, {}}};
  sbora::gguf_metadata metadata;
  metadata.add("general.architecture", "llama")
      .add("llama.attention.head_count", std::uint32_t{2})
      .add("general.alignment", std::uint32_t{64});
  sbora::gguf_stream_writer file(path, metadata, tensors, 64);
  random_values random(1);
  for (const auto& tensor : tensors) {
    const auto& layout = sbora::detail::layout_of(tensor.type);
    const index_t blocks = *sbora::detail::size_product(tensor.shape) / layout.elements;
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(blocks * layout.bytes));
    if (tensor.type == ggml_type::q4_k) fill_ggml(tensor.type, bytes.data(), blocks, random);
    else
      for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.bits<std::uint8_t>() & 0x3FU);
    file.write(tensor.name, std::as_bytes(std::span(bytes)));
  }
  file.commit();
}

sbora::model_adapter<float> adapter(const std::string& target, sbora::adapter_kind kind) {
  sbora::adapter_config config;
  config.kind = kind;
  config.r = 2;
  config.lora_alpha = 2;
  config.target_modules.names = {target};
  const std::string prefix = "model.layers.0.self_attn.";
  const std::vector<sbora::model_module> modules = {
      {prefix + "q_proj", 8, 256}, {prefix + "v_proj", 8, 256}, {prefix + "o_proj", 8, 256}};
  auto made = sbora::make_adapter(config, modules, 3);
  fill_random(made.parameters(), 5);
  return made;
}

std::vector<float> values_of(const sbora::any_weight& weight) {
  std::vector<float> values(8 * 256);
  weight.visit([&](const auto& view) { dequantize(view, sbora::weight_view<float>(values.data(), 8, 256)); });
  return values;
}

}  // namespace

TEST_CASE("of a merged GGUF model only the adapted tensors differ, and they are the sums") {
  for (const auto kind : {sbora::adapter_kind::fa, sbora::adapter_kind::fb}) {
    const temporary_directory folder;
    write_model(folder / "base.gguf");
    const gguf_file base = gguf_file::open(folder / "base.gguf");
    for (const std::string name : {"q", "v"}) {
      const auto added = adapter(name + "_proj", kind);
      std::vector<float> expected = values_of(sbora::gguf_weight(base.at("blk.0.attn_" + name + ".weight")));
      added.visit(added.modules()[0], [&](const auto& part) {
        const auto delta = part.delta();
        const auto geometry = delta.geometry();
        const index_t places[] = {0, 2, 1, 3, 4, 6, 5, 7};
        for (index_t line = 0; line < geometry.lines; ++line) {
          for (index_t j = 0; j < 2; ++j) {
            const index_t index = part.target().indices()[static_cast<std::size_t>(j)];
            const index_t row = geometry.weight_row(line, index);
            const index_t there = name == "q" ? places[row] : row;
            expected[static_cast<std::size_t>(there * 256 + geometry.weight_col(line, index))] +=
                delta.scale * delta.parameters[line * geometry.line_stride() + j * geometry.index_stride()];
          }
        }
      });
      for (const gguf_merge blocks : {gguf_merge::requantised, gguf_merge::f16, gguf_merge::f32}) {
        const auto path = folder / "merged.gguf";
        const auto reports = write_merged_gguf(base, added, path, blocks);
        const gguf_file merged = gguf_file::open(path);
        REQUIRE(reports.size() == 1);
        CHECK(reports[0].tensor == "blk.0.attn_" + name + ".weight");
        const ggml_type kept = name == "v" ? ggml_type::f16 : ggml_type::q4_k;
        const ggml_type to = name == "v" || blocks == gguf_merge::f16 ? ggml_type::f16
                             : blocks == gguf_merge::f32              ? ggml_type::f32
                                                                      : kept;
        CHECK(reports[0].to == to);
        CHECK(merged.alignment() == 64);
        CHECK(merged.metadata().size() == base.metadata().size());
        double worst = 0;
        for (const auto& tensor : merged.tensors()) {
          const auto& from = base.at(tensor.name);
          if (tensor.name != reports[0].tensor) {
            CHECK(tensor.type == from.type);
            CHECK(std::ranges::equal(tensor.data, from.data));
            continue;
          }
          CHECK(tensor.type == to);
          const std::vector<float> found = values_of(sbora::gguf_weight(tensor));
          for (std::size_t i = 0; i < found.size(); ++i) {
            const double error = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
            worst = std::max(worst, error);
            if (to == ggml_type::f32) REQUIRE(found[i] == expected[i]);
            if (to == ggml_type::f16) REQUIRE(error <= 0x1p-11 * std::abs(static_cast<double>(expected[i])) + 0x1p-25);
          }
        }
        if (to != ggml_type::q4_k) continue;
        CHECK(reports[0].rounding.blocks > 0);
        CHECK(worst == reports[0].rounding.max_error);
        CHECK(reports[0].rounding.mean_error < reports[0].rounding.mean_update);
      }
    }
  }
}

TEST_CASE("what can't be merged into a GGUF model is refused, all of it, and no file is there") {
  const temporary_directory folder;
  write_model(folder / "base.gguf");
  const gguf_file base = gguf_file::open(folder / "base.gguf");
  const auto path = folder / "merged.gguf";
  CHECK_ERROR(sbora::checkpoint_error, "'blk.0.attn_output.weight' is Q2_K [8, 256], in which nothing can be merged",
              write_merged_gguf(base, adapter("o_proj", sbora::adapter_kind::fa), path));
  auto added = adapter("q_proj", sbora::adapter_kind::fa);
  added.set_full_tensors({{"lm_head.weight", {2}, {1, 2}}});
  CHECK_ERROR(sbora::checkpoint_error, "no tensor for 'lm_head.weight'", write_merged_gguf(base, added, path));
  added = adapter("q_proj", sbora::adapter_kind::fa);
  added.parameters()[0] = std::numeric_limits<float>::infinity();
  CHECK_ERROR(sbora::not_finite_error, "not finite", write_merged_gguf(base, added, path));
  CHECK_ERROR(sbora::file_error, "mapped into memory",
              write_merged_gguf(base, adapter("q_proj", sbora::adapter_kind::fa), folder / "base.gguf"));
  CHECK_FALSE(std::filesystem::exists(path));
}
