// A module's size and weight, whatever a checkpoint stores it as; and what merging into codes says.

#include <sbora/io/checkpoint/checkpoint_weights.hpp>
#include <sbora/layers/any_linear.hpp>

#include <sbora/io/adapter/base_fingerprint.hpp>
#include <sbora/io/bitsandbytes/bitsandbytes_writer.hpp>
#include <sbora/io/merge/merge_in_place.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

#include "io/safetensors_text.hpp"
#include "io/temporary_directory.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::checkpoint;
using sbora::checkpoint_weights;
using sbora::dtype;

namespace {

constexpr index_t d_out = 15, d_in = 36;

/// One matrix in every form: floats, NF4 (codes as bytes and as bf16), nested FP4, int8; and what is no matrix.
struct every_form {
  std::vector<float> values = random_vector<float>(d_out * d_in, 1);
  std::vector<Eigen::bfloat16> narrow = random_vector<Eigen::bfloat16>(d_out * d_in, 2);
  sbora::four_bit_weight nf4{view()}, fp4{view(), {.type = sbora::four_bit_type::fp4, .blocksize = 32, .nested = true}};
  sbora::int8_weight int8{view()};
  sbora::bitsandbytes_writer writer;

  explicit every_form(const std::filesystem::path& path) {
    writer.add("m.nf4.weight", nf4.view(), dtype::bf16);
    writer.add("m.packed.weight", nf4.view(), dtype::bf16);
    writer.add("m.fp4.weight", fp4.view(), dtype::f16);
    writer.add("m.int8.weight", int8.view());
    auto tensors = writer.tensors();
    for (sbora::tensor_view& tensor : tensors) {
      if (tensor.name != "m.packed.weight") continue;
      tensor.type = dtype::bf16;  // bnb_4bit_quant_storage
      tensor.shape = {static_cast<index_t>(tensor.data.size() / 2), 1};
    }
    tensors.push_back(tensor_of("m.dense.weight", values, {d_out, d_in}));
    tensors.push_back(tensor_of("m.narrow.weight", narrow, {d_out, d_in}));
    tensors.push_back(tensor_of("m.norm.weight", values, {d_out * d_in}));
    tensors.push_back(tensor_of("m.dense.bias", values, {d_out, d_in}));
    write_safetensors(path, tensors, {});
  }
  sbora::weight_view<const float> view() const { return {values.data(), d_out, d_in}; }
};

std::vector<std::string> names_of(const std::vector<sbora::model_module>& modules) {
  std::vector<std::string> names;
  for (const auto& module : modules) names.push_back(module.name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("modules have the weight's sizes, not those of its codes") {
  const temporary_directory folder;
  const every_form forms(folder / "model.safetensors");
  const checkpoint model = checkpoint::open(folder.path());
  const auto modules = checkpoint_weights(model).modules();
  CHECK(names_of(modules) == std::vector<std::string>{"m.dense", "m.fp4", "m.int8", "m.narrow", "m.nf4", "m.packed"});
  for (const auto& module : modules) {
    CAPTURE(module.name);
    CHECK(module.d_out == d_out);
    CHECK(module.d_in == d_in);
  }
  const checkpoint_weights weights(model), other_way(model, true);
  REQUIRE(weights.find("m.nf4"));
  CHECK(weights.find("m.nf4")->d_in == d_in);
  CHECK(other_way.find("m.dense")->d_out == d_in);
  CHECK_FALSE(weights.find("m.norm"));
  CHECK_FALSE(weights.find("m.none"));
  for (const auto& module : checkpoint_weights(model, true).modules()) {
    CAPTURE(module.name);
    const bool transposed = module.name == "m.dense" || module.name == "m.narrow";
    CHECK(module.d_out == (transposed ? d_in : d_out));
  }
}

TEST_CASE("a module's weight is there in its own form") {
  const temporary_directory folder;
  const every_form forms(folder / "model.safetensors");
  const checkpoint model = checkpoint::open(folder.path());
  const checkpoint_weights weights(model);
  const auto target = sbora::sample_region(d_out, 4, 1);
  const auto print = [&](const auto& view) { return sbora::base_fingerprint(view, sbora::adapter_kind::fb, target); };
  CHECK(weights.visit("m.dense", print) == print(forms.view()));
  CHECK(weights.visit("m.nf4", print) == print(forms.nf4.view()));
  CHECK(weights.visit("m.packed", print) == print(forms.nf4.view()));
  CHECK(weights.visit("m.fp4", print) == print(forms.fp4.view()));
  CHECK(weights.visit("m.int8", print) == print(forms.int8.view()));
  CHECK(weights.visit("m.narrow", [](const auto& view) { return view.d_in(); }) == d_in);
  CHECK_ERROR(sbora::checkpoint_error, "no tensor 'm.none.weight'", weights.visit("m.none", print));
  CHECK_ERROR(sbora::checkpoint_error,
              "tensor 'm.norm.weight' is F32 [540], expected F32, F16 or BF16 of two dimensions",
              weights.visit("m.norm", print));
}

TEST_CASE("from a file to a layer in four calls, whatever the weight is kept as") {
  const temporary_directory folder;
  const every_form forms(folder / "model.safetensors");
  const checkpoint model = checkpoint::open(folder.path());
  const checkpoint_weights weights(model);
  const auto x = random_vector<float>(3 * d_in, 9);
  const Eigen::Map<const Eigen::MatrixXf> in(x.data(), d_in, 3);
  const auto forward = [&](const auto& weight) {
    Eigen::MatrixXf y(d_out, 3);
    sbora::workspace memory;
    sbora::linear layer{weight};
    layer.forward(in, y, memory);
    return y;
  };
  CHECK(forward(weights.weight("m.dense")) == forward(forms.view()));
  CHECK(forward(weights.weight("m.nf4")) == forward(forms.nf4.view()));
  CHECK(forward(weights.weight("m.fp4")) == forward(forms.fp4.view()));
  CHECK(forward(weights.weight("m.int8")) == forward(forms.int8.view()));
  CHECK(weights.weight("m.nf4").is_quantised());
  CHECK(weights.weight("m.dense").bytes() == static_cast<std::size_t>(d_out * d_in) * sizeof(float));
  CHECK(weights.weight("m.nf4").bytes() == forms.nf4.view().bytes());
  CHECK_ERROR(sbora::checkpoint_error, "no tensor 'm.none.weight'", weights.weight("m.none"));
}

TEST_CASE("codes that sbora doesn't read are named") {
  const temporary_directory folder;
  const std::vector<float> values(4);
  write_safetensors(folder / "model.safetensors",
                    std::vector{tensor_of("a.qweight", values, {4}), tensor_of("b.weight_packed", values, {4})}, {});
  const checkpoint model = checkpoint::open(folder.path());
  const checkpoint_weights weights(model);
  const auto nothing = [](const auto&) { return 0; };
  CHECK_ERROR(sbora::checkpoint_error, "'a.weight' is there as codes of GPTQ or AWQ", weights.visit("a", nothing));
  CHECK_ERROR(sbora::checkpoint_error, "give the model that was quantised", weights.visit("b", nothing));
}

TEST_CASE("merging into codes is refused with what can be done instead, and nothing is written") {
  const temporary_directory folder;
  const every_form forms(folder / "model.safetensors");
  const auto before = read_file(folder / "model.safetensors");
  const checkpoint model = checkpoint::open(folder.path());
  const sbora::fa_adapter<float> fa(d_out, d_in, sbora::sample_region(d_in, 3, 1));
  sbora::weight_changes changes;
  for (const char* name : {"m.nf4.weight", "m.packed.weight", "m.fp4.weight", "m.int8.weight"})
    changes[name] = {{fa.delta()}};
  for (const auto& merge :
       std::vector<std::function<void()>>{[&] { write_merged_tensors(model, changes, folder / "out.safetensors"); },
                                          [&] { write_merged_checkpoint(model, changes, folder / "out.safetensors"); },
                                          [&] { merge_in_place(folder / "model.safetensors", changes); }}) {
    const std::string text = message_of<sbora::checkpoint_error>(merge);
    CHECK_THAT(text,
               contains("merge into the model that was quantised, and quantise the result; or keep the adapter apart"));
    CHECK_THAT(
        text, contains("4 problems, the first: tensor 'm.fp4.weight' is there as bitsandbytes' codes of 4 bits (FP4)"));
  }
  changes["m.dense.weight"] = {{fa.delta()}};
  changes["m.none.weight"] = {{fa.delta()}};
  CHECK_ERROR(sbora::checkpoint_error, "no tensor 'm.none.weight'",
              write_merged_tensors(model, changes, folder / "out.safetensors"));
  CHECK(read_file(folder / "model.safetensors") == before);
  CHECK_FALSE(std::filesystem::exists(folder / "out.safetensors"));
}

TEST_CASE("the parts of a quantised weight are told from other tensors") {
  const temporary_directory folder;
  const every_form forms(folder / "model.safetensors");
  const checkpoint model = checkpoint::open(folder.path());
  const sbora::bitsandbytes_weights codes(model.tensors());
  index_t parts = 0;
  for (const auto& tensor : model.tensors()) parts += codes.is_part_of_weight(tensor.name) ? 1 : 0;
  CHECK(parts == static_cast<index_t>(model.tensors().size()) - 8);  // four of codes, four that aren't quantised
  const checkpoint_weights weights(model);
  for (const auto& tensor : model.tensors()) {
    CHECK(weights.is_part_of_weight(tensor.name) == codes.is_part_of_weight(tensor.name));
  }
  CHECK_FALSE(codes.is_part_of_weight("m.dense.absmax"));
  CHECK_FALSE(codes.is_part_of_weight("m.dense.SCB"));
}
