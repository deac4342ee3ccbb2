// Tensors of GGUF files as frozen weights: in place, whatever their type, and refused by name where they are none.

#include <sbora/io/gguf/gguf_weight.hpp>
#include <sbora/merge/export_merged.hpp>

#include "io/gguf/gguf_bytes.hpp"
#include "support/catch.hpp"
#include "support/ggml_blocks.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::any_weight;
using sbora::checkpoint_error;
using sbora::ggml_type;
using sbora::gguf_file;
using sbora::gguf_weight;

namespace {

std::string text_of(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<float> values_of(const any_weight& weight) {
  std::vector<float> values(static_cast<std::size_t>(weight.d_out() * weight.d_in()));
  weight.visit([&](const auto& view) {
    sbora::dequantize(view, sbora::weight_view<float>(values.data(), view.d_out(), view.d_in()));
  });
  return values;
}

const void* memory_of(const any_weight& weight) {
  return weight.visit([](const auto& view) -> const void* {
    if constexpr (requires { view.source().data; }) return view.source().data;
    else return nullptr;
  });
}

}  // namespace

TEST_CASE("weights of GGUF files are used where they lie") {
  const std::vector<float> numbers = random_vector<float>(96, 3);
  const std::string floats(reinterpret_cast<const char*>(numbers.data()), 4 * numbers.size());
  const std::string halves(128, '\x33'), bf16(128, '\x3F');
  gguf_bytes made;
  made.tensor("f32", {32, 3}, ggml_type::f32, floats)
      .tensor("norm", {96}, ggml_type::f32, floats)
      .tensor("f16", {32, 2}, ggml_type::f16, halves)
      .tensor("bf16", {16, 4}, ggml_type::bf16, bf16);
  for (const ggml_type type : all_ggml_types) {
    const ggml_blocks blocks(6, 256, type, 4);
    made.tensor(sbora::to_string(type), {256, 6}, type, text_of(blocks.blocks));
    made.tensor(std::string("stack ") + sbora::to_string(type), {256, 2, 3}, type, text_of(blocks.blocks));
  }
  // The file's bytes lie as a mapped file's do.
  const std::string text = made.all();
  const sbora::detail::aligned_vector<std::byte> bytes(std::as_bytes(std::span(text)).begin(),
                                                       std::as_bytes(std::span(text)).end());
  const gguf_file file = gguf_file::from_memory(bytes);
  CHECK(values_of(gguf_weight(file.at("f32"))) == numbers);
  CHECK(values_of(gguf_weight(file.at("norm"))) == numbers);
  CHECK(gguf_weight(file.at("norm")).d_out() == 1);
  CHECK((gguf_weight(file.at("f16")).d_out() == 2 && gguf_weight(file.at("f16")).d_in() == 32));
  CHECK(gguf_weight(file.at("bf16")).d_in() == 16);
  for (const sbora::gguf_tensor& tensor : file.tensors()) {
    CAPTURE(std::string(tensor.name));
    if (tensor.shape.size() == 3) continue;
    CHECK(memory_of(gguf_weight(tensor)) == static_cast<const void*>(tensor.data.data()));
  }
  for (const ggml_type type : all_ggml_types) {
    CAPTURE(sbora::to_string(type));
    const ggml_blocks blocks(6, 256, type, 4);
    const std::vector<float> values = values_of(gguf_weight(file.at(sbora::to_string(type))));
    CHECK(same_bits<float>(values, values_of(any_weight(blocks.view()))));
    const sbora::gguf_tensor& stack = file.at(std::string("stack ") + sbora::to_string(type));
    CHECK(values_of(gguf_weight(stack, 1)) == std::vector<float>(values.begin() + 512, values.begin() + 1024));
  }
}

TEST_CASE("floats that lie anywhere are copied, and owned by the weight") {
  const std::string text = " " + gguf_bytes().tensor("a", {1}, ggml_type::f32, gguf_bytes::raw(1.5F)).all();
  const sbora::detail::aligned_vector<std::byte> bytes(std::as_bytes(std::span(text)).begin(),
                                                       std::as_bytes(std::span(text)).end());
  const gguf_file file = gguf_file::from_memory(std::span<const std::byte>(bytes).subspan(1));
  const any_weight weight = gguf_weight(file.at("a"));
  CHECK(memory_of(weight) != static_cast<const void*>(file.at("a").data.data()));
  CHECK(values_of(weight) == std::vector<float>{1.5F});
}

TEST_CASE("tensors that are no weights are refused with what they are") {
  gguf_bytes made;
  made.tensor("i32", {4, 2}, ggml_type::i32, std::string(32, '1'))
      .tensor("q2", {256, 2}, ggml_type::q2_k, std::string(168, '1'))
      .tensor("stack", {2, 2, 2}, ggml_type::f32, std::string(32, '1'))
      .tensor("matrix", {2, 2}, ggml_type::f32, std::string(16, '1'))
      .tensor("scalar", {}, ggml_type::f32, std::string(4, '1'))
      .tensor("none", {0, 3}, ggml_type::f32, "");
  const std::string text = made.all();
  const gguf_file file = gguf_file::from_memory(std::as_bytes(std::span(text)));
  CHECK_ERROR(checkpoint_error, "tensor 'i32' is I32 [2, 4], expected F32, F16, BF16, Q4_0",
              gguf_weight(file.at("i32")));
  CHECK_ERROR(checkpoint_error, "tensor 'q2' is Q2_K [2, 256], expected F32", gguf_weight(file.at("q2")));
  CHECK_ERROR(checkpoint_error, "of an expert's, say which expert", gguf_weight(file.at("stack")));
  CHECK_ERROR(checkpoint_error, "expected a stack with a weight 2", gguf_weight(file.at("stack"), 2));
  CHECK_ERROR(checkpoint_error, "expected three dimensions", gguf_weight(file.at("matrix"), 0));
  CHECK_ERROR(checkpoint_error, "expected one or two dimensions", gguf_weight(file.at("scalar")));
  CHECK_ERROR(checkpoint_error, "expected some elements", gguf_weight(file.at("none")));
}
