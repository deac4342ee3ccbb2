// fp8 weights of a checkpoint by their names and scales; what doesn't fit is refused whole.

#include <sbora/io/checkpoint/checkpoint_weights.hpp>

#include <sbora/io/adapter/base_fingerprint.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/merge/export_merged.hpp>
#include <sbora/regions/sample.hpp>

#include <limits>

#include "io/temporary_directory.hpp"
#include "support/fp8_codes.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::checkpoint_error;
using sbora::dtype;
using sbora::fp8_scaling;
using sbora::tensor_view;

namespace {

constexpr index_t d_out = 130, d_in = 200;

struct fp8_file {
  fp8_codes tensor{d_out, d_in, fp8_scaling::tensor, 1}, row{d_out, d_in, fp8_scaling::row, 2},
      block{d_out, d_in, fp8_scaling::block_128, 3};
  std::vector<Eigen::bfloat16> narrow;
  std::vector<tensor_view> tensors;

  fp8_file() {
    add("a", tensor);
    tensors.push_back({"a.weight_scale", dtype::f32, {}, std::as_bytes(std::span(tensor.scales))});
    add("b", row);
    tensors.push_back({"b.weight_scale", dtype::f32, {d_out, 1}, std::as_bytes(std::span(row.scales))});
    add("c", block);
    tensors.push_back({"c.weight_scale_inv", dtype::f32, {2, 2}, std::as_bytes(std::span(block.scales))});
    add("d", row);
    for (const float scale : row.scales) narrow.push_back(Eigen::bfloat16(scale));
    tensors.push_back({"d.weight_scale", dtype::bf16, {d_out}, std::as_bytes(std::span(narrow))});
    add("unscaled", tensor);
  }
  void add(const char* module, const fp8_codes& codes) {
    tensors.push_back(
        {module + std::string(".weight"), dtype::f8_e4m3, {d_out, d_in}, std::as_bytes(std::span(codes.codes))});
  }
  tensor_view& at(std::string_view name) { return *std::ranges::find(tensors, name, &tensor_view::name); }
};

std::vector<float> values_of(const sbora::fp8_view& view) {
  std::vector<float> values(static_cast<std::size_t>(view.d_out() * view.d_in()));
  sbora::dequantize(view, sbora::weight_view<float>(values.data(), view.d_out(), view.d_in()));
  return values;
}

}  // namespace

TEST_CASE("fp8 weights are found by their scales: one, one a row, one a block of 128 x 128") {
  const temporary_directory folder;
  const fp8_file file;
  sbora::write_safetensors(folder / "model.safetensors", file.tensors, {});
  const auto model = sbora::checkpoint::open(folder.path());
  const sbora::fp8_weights weights(model.tensors());
  CHECK(weights.all().size() == 4);
  const auto expect = [&](const char* name, const fp8_codes& codes) {
    CAPTURE(name);
    const sbora::fp8_view* const view = weights.find(name);
    REQUIRE(view != nullptr);
    CHECK(view->scaling() == codes.scaling);
    CHECK(same_bits<float>(values_of(*view), values_of(codes.view())));
  };
  expect("a.weight", file.tensor);
  expect("b.weight", file.row);
  expect("c.weight", file.block);
  fp8_codes rounded = file.row;
  for (std::size_t i = 0; i < rounded.scales.size(); ++i) rounded.scales[i] = static_cast<float>(file.narrow[i]);
  expect("d.weight", rounded);
  CHECK(weights.find("unscaled.weight") == nullptr);
  CHECK(weights.find("a") == nullptr);
  const sbora::fp8_weights copy = weights;  // views of scales that were copied live on
  CHECK(same_bits<float>(values_of(*copy.find("d.weight")), values_of(rounded.view())));
}

TEST_CASE("a checkpoint's modules have their fp8 weights among the others") {
  const temporary_directory folder;
  const fp8_file file;
  sbora::write_safetensors(folder / "model.safetensors", file.tensors, {});
  const auto model = sbora::checkpoint::open(folder.path());
  const sbora::checkpoint_weights weights(model);
  CHECK(weights.modules().size() == 4);
  for (const auto& module : sbora::checkpoint_weights(model, true).modules()) CHECK(module.d_out == d_out);
  const auto target = sbora::sample_region(d_out, 4, 1);
  const auto print = [&](const auto& view) { return sbora::base_fingerprint(view, sbora::adapter_kind::fb, target); };
  CHECK(weights.visit("c", print) == print(file.block.view()));
  for (const char* const scales : {"a.weight_scale", "b.weight_scale", "c.weight_scale_inv", "d.weight_scale"}) {
    CHECK(weights.is_part_of_weight(scales));
  }
  for (const char* const other : {"a.weight", "unscaled.weight", "unscaled.weight_scale", "a.weight_scale_inverse"}) {
    CHECK_FALSE(weights.is_part_of_weight(other));
  }
  CHECK_ERROR(checkpoint_error, "tensor 'unscaled.weight' is F8_E4M3 [130, 200], expected",
              weights.visit("unscaled", print));
}

TEST_CASE("fp8 scales that don't fit are refused with all that is wrong") {
  const float infinite = std::numeric_limits<float>::infinity();
  const std::vector<std::int32_t> integers(d_out);
  fp8_file file;
  file.at("a.weight_scale").data = std::as_bytes(std::span(&infinite, 1));
  file.at("b.weight_scale").shape = {1, d_out};
  file.at("c.weight_scale_inv").shape = {4};
  file.at("d.weight_scale") = {"d.weight_scale", dtype::i32, {d_out}, std::as_bytes(std::span(integers))};
  const std::string text = message_of<checkpoint_error>([&] { sbora::fp8_weights{file.tensors}; });
  for (const char* part :
       {"the checkpoint's fp8 weights can't be read", "a.weight: sbora::fp8_view: scales[0] = inf isn't finite",
        "b.weight_scale: [1, 130], expected one scale, [130, 1] or, of blocks of 128 x 128, [2, 2]",
        "c.weight_scale_inv: [4], expected", "d.weight_scale: I32, expected F32 or BF16"}) {
    CHECK_THAT(text, contains(part));
  }
  fp8_file twice;
  twice.tensors.push_back({"a.weight_scale_inv", dtype::f32, {}, std::as_bytes(std::span(twice.tensor.scales))});
  CHECK_ERROR(checkpoint_error, "a.weight: has a _scale and a _scale_inv", sbora::fp8_weights{twice.tensors});
  fp8_file empty;
  empty.at("a.weight").shape = {0, 200};
  empty.at("a.weight").data = {};
  CHECK_ERROR(checkpoint_error, "a.weight: [0, 200] has no elements", sbora::fp8_weights{empty.tensors});
  empty.at("a.weight").shape = {std::numeric_limits<index_t>::max(), 0};  // no sum with it holds
  CHECK_ERROR(checkpoint_error, "a.weight: [9223372036854775807, 0] has no elements",
              sbora::fp8_weights{empty.tensors});
}

template <class Weights>
concept refers_to_itself = requires(Weights&& w) { static_cast<Weights&&>(w).find("a.weight"); } ||
                           requires(Weights&& w) { static_cast<Weights&&>(w).all(); };

TEST_CASE("a view of fp8 weights can't be had of a temporary, nor weights of a temporary checkpoint") {
  STATIC_REQUIRE_FALSE(refers_to_itself<sbora::fp8_weights&&>);
  STATIC_REQUIRE_FALSE(refers_to_itself<const sbora::fp8_weights&&>);
  STATIC_REQUIRE(refers_to_itself<const sbora::fp8_weights&>);
  STATIC_REQUIRE(std::is_constructible_v<sbora::checkpoint_weights, const sbora::checkpoint&>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<sbora::checkpoint_weights, sbora::checkpoint>);
}
