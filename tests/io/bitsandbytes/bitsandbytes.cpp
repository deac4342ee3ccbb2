// Checkpoints of bitsandbytes: read in place, written as it writes them, and everything that is wrong at once.

#include <sbora/io/bitsandbytes/bitsandbytes.hpp>
#include <sbora/io/bitsandbytes/quant_state.hpp>
#include <sbora/io/bitsandbytes/bitsandbytes_writer.hpp>
#include <sbora/io/checkpoint/checkpoint.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

#include "io/safetensors_text.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::dtype;
using sbora::four_bit_type;

namespace {

template <class Weight>
std::vector<float> values_of(const Weight& view) {
  std::vector<float> values(static_cast<std::size_t>(view.d_out() * view.d_in()));
  sbora::dequantize(view, sbora::weight_view<float>(values.data(), view.d_out(), view.d_in()));
  return values;
}

template <class T>
bool same(std::span<const T> a, std::span<const T> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

/// Weights of every kind, and their tensors, copied so that tests may break them.
struct example {
  padded_matrix<float> values{15, 36};
  sbora::four_bit_weight nf4, nested;
  sbora::int8_weight int8;
  std::vector<sbora::tensor_view> tensors;
  std::map<std::string, std::vector<std::byte>> bytes;

  explicit example(index_t d_out = 15)
      : nf4(view(d_out)),
        nested(view(d_out), {.type = four_bit_type::fp4, .blocksize = 32, .nested = true}),
        int8(view(d_out)) {
    sbora::bitsandbytes_writer writer;
    writer.add("a.weight", nf4.view(), dtype::bf16);
    writer.add("b.weight", nested.view(), dtype::f16);
    writer.add("c.weight", int8.view());
    tensors = writer.tensors();
    // One that isn't quantised.
    tensors.push_back({"norm.weight", dtype::f32, {2}, std::as_bytes(std::span(values.data(), 2))});
    for (sbora::tensor_view& tensor : tensors) {
      auto& copy = bytes[tensor.name];
      copy.assign(tensor.data.begin(), tensor.data.end());
      tensor.data = copy;
    }
  }
  sbora::weight_view<float> view(index_t d_out) { return {values.randomise(3).data(), d_out, 36}; }

  sbora::tensor_view& at(std::string_view name) {
    for (sbora::tensor_view& tensor : tensors) {
      if (tensor.name == name) return tensor;
    }
    FAIL("no tensor " << name);
    return tensors.front();
  }
  void remove(std::string_view name) {
    std::erase_if(tensors, [&](const sbora::tensor_view& tensor) { return tensor.name == name; });
  }
  /// Other bytes, as many as given.
  void set(std::string_view name, std::string_view text) {
    auto& copy = bytes[std::string(name)];
    copy = bytes_of(text);
    at(name).data = copy;
    at(name).shape = {static_cast<index_t>(text.size())};
  }
  std::string text(std::string_view name) {
    return std::string(reinterpret_cast<const char*>(at(name).data.data()), at(name).data.size());
  }
  /// The state with a part of its text replaced.
  void edit(std::string_view name, std::string_view old, std::string_view now) {
    std::string json = text(name);
    const std::size_t found = json.find(old);
    if (found == std::string::npos) FAIL("no " << old << " in " << json);
    set(name, json.replace(found, old.size(), now));
  }
  sbora::bitsandbytes_weights read() const { return sbora::bitsandbytes_weights(tensors); }
};

constexpr const char* nf4_state = "a.weight.quant_state.bitsandbytes__nf4";
constexpr const char* fp4_state = "b.weight.quant_state.bitsandbytes__fp4";

}  // namespace

TEST_CASE("quantised weights are written and read in place, bit for bit") {
  const temporary_directory folder;
  const example made;
  sbora::bitsandbytes_writer writer;
  writer.add("a.weight", made.nf4.view(), dtype::bf16);
  writer.add("b.weight", made.nested.view(), dtype::f16);
  writer.add("c.weight", made.int8.view());
  writer.add("weight", made.int8.view());
  sbora::write_safetensors(folder / "model.safetensors", writer.tensors());
  const auto file = sbora::checkpoint::open(folder / "model.safetensors");
  const sbora::bitsandbytes_weights read(file.tensors());

  CHECK(read.four_bit().size() == 2);
  CHECK(read.int8().size() == 2);
  CHECK(read.four_bit()[0].name == "a.weight");
  CHECK(read.four_bit()[0].original == dtype::bf16);
  CHECK(read.four_bit()[1].original == dtype::f16);
  const sbora::four_bit_view& nf4 = *read.find_four_bit("a.weight");
  CHECK(nf4.type() == four_bit_type::nf4);
  CHECK(nf4.d_out() == 15);
  CHECK(same(nf4.codes(), made.nf4.view().codes()));
  CHECK(same(nf4.scales().absmax, made.nf4.view().scales().absmax));
  CHECK(static_cast<const void*>(nf4.codes().data()) == file.at("a.weight").data.data());
  CHECK(static_cast<const void*>(nf4.scales().absmax.data()) == file.at("a.weight.absmax").data.data());
  const sbora::four_bit_view& fp4 = *read.find_four_bit("b.weight");
  CHECK(fp4.type() == four_bit_type::fp4);
  CHECK(fp4.blocksize() == 32);
  CHECK(same(fp4.scales().absmax_codes, made.nested.view().scales().absmax_codes));
  CHECK(same(fp4.scales().nested_absmax, made.nested.view().scales().nested_absmax));
  CHECK(fp4.scales().nested_offset == made.nested.view().scales().nested_offset);
  CHECK(values_of(fp4) == values_of(made.nested.view()));
  CHECK(values_of(*read.find_int8("c.weight")) == values_of(made.int8.view()));
  CHECK(read.find_int8("weight") != nullptr);
  CHECK(read.find_int8("a.weight") == nullptr);
  CHECK(read.find_four_bit("a") == nullptr);
  const sbora::bitsandbytes_weights none({});
  CHECK(none.four_bit().empty());
}

TEST_CASE("tensors have the names, types, shapes and JSON of bitsandbytes") {
  example made;
  const auto is = [&](const char* name, dtype type, std::vector<index_t> shape) {
    INFO(name);
    CHECK(made.at(name).type == type);
    CHECK(made.at(name).shape == shape);
  };
  is("a.weight", dtype::u8, {270, 1});
  is("a.weight.absmax", dtype::f32, {9});
  is("a.weight.quant_map", dtype::f32, {16});
  is("b.weight.absmax", dtype::u8, {17});
  is("b.weight.nested_absmax", dtype::f32, {1});
  is("b.weight.nested_quant_map", dtype::f32, {256});
  is("c.weight", dtype::i8, {15, 36});
  is("c.SCB", dtype::f32, {15});
  is("c.weight_format", dtype::u8, {});
  CHECK(made.tensors.size() == 4 + 6 + 3 + 1);
  CHECK(made.text(nf4_state) == R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [15, 36]})");
  // As json.dumps of bitsandbytes 0.50 gives it; a dump of google/gemma.cpp#533 has these lengths.
  CHECK(sbora::detail::to_json({four_bit_type::nf4, 64, dtype::f16, 6912, 1152, {}}).size() == 81);
  CHECK(sbora::detail::to_json({four_bit_type::nf4, 64, dtype::f16, 256, 1152, {}}).size() == 80);
  CHECK(sbora::detail::to_json({four_bit_type::fp4, 64, dtype::f32, 2, 3, static_cast<double>(0.1F)}) ==
        R"({"quant_type": "fp4", "blocksize": 64, "dtype": "float32", "shape": [2, 3], "nested_blocksize": 256, )"
        R"("nested_dtype": "float32", "nested_offset": 0.10000000149011612})");
}

TEST_CASE("floats are printed as Python does") {
  const std::pair<double, const char*> cases[] = {{0.0, "0.0"},
                                                  {-0.0, "-0.0"},
                                                  {1.0, "1.0"},
                                                  {-2.5, "-2.5"},
                                                  {0.1, "0.1"},
                                                  {1e15, "1000000000000000.0"},
                                                  {1e16, "1e+16"},
                                                  {123456789012345680.0, "1.2345678901234568e+17"},
                                                  {1e-4, "0.0001"},
                                                  {1e-5, "1e-05"},
                                                  {static_cast<double>(2.8739599e-05F), "2.873959965654649e-05"},
                                                  {static_cast<double>(0.028739598F), "0.028739597648382187"},
                                                  {3.4028234663852886e+38, "3.4028234663852886e+38"},
                                                  {1e100, "1e+100"},
                                                  {5e-324, "5e-324"}};
  for (const auto& [value, text] : cases) CHECK(sbora::detail::python_float(value) == text);
}

TEST_CASE("codes may be stored in wider types, old files lack a format, and scales may lie anywhere") {
  example made(14);
  made.at("a.weight").type = dtype::bf16;  // quant_storage
  made.at("a.weight").shape = {static_cast<index_t>(made.at("a.weight").data.size()) / 2, 1};
  made.remove("c.weight_format");
  std::vector<std::byte> moved(made.at("a.weight.absmax").data.size() + 1);
  std::copy(made.at("a.weight.absmax").data.begin(), made.at("a.weight.absmax").data.end(), moved.begin() + 1);
  made.at("a.weight.absmax").data = std::span(moved).subspan(1);
  sbora::bitsandbytes_weights read = made.read();
  const sbora::bitsandbytes_weights again = std::move(read);  // copies move along
  CHECK(values_of(*again.find_four_bit("a.weight")) == values_of(made.nf4.view()));
  CHECK(values_of(*again.find_int8("c.weight")) == values_of(made.int8.view()));
  auto first = std::make_unique<sbora::bitsandbytes_weights>(made.read());
  const sbora::bitsandbytes_weights copy = *first;
  const float* const scales = copy.find_four_bit("a.weight")->scales().absmax.data();
  first.reset();
  std::vector<std::vector<float>> others(8, std::vector<float>(9, 7.0F));  // would take the memory that was freed
  CHECK(copy.find_four_bit("a.weight")->scales().absmax.data() == scales);
  CHECK(values_of(*copy.find_four_bit("a.weight")) == values_of(made.nf4.view()));
}

TEST_CASE("every inconsistency is refused, by its name") {
  const auto refused = [](const std::string& expected, auto&& change) {
    example made;
    change(made);
    CHECK_ERROR(sbora::checkpoint_error, expected, made.read());
  };
  for (const char* const part : {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"}) {
    refused(std::string("b.weight: ") + part + " is missing",
            [&](example& made) { made.remove(std::string("b.weight") + part); });
  }
  refused("a.weight: codes is missing", [](example& made) { made.remove("a.weight"); });
  refused("a.weight: .quant_state.bitsandbytes__nf4 is missing", [](example& made) { made.remove(nf4_state); });
  refused("c.weight: SCB is missing", [](example& made) { made.remove("c.SCB"); });
  refused("c.weight: codes is missing", [](example& made) { made.remove("c.weight"); });
  refused("has states of nf4 and fp4",
          [](example& made) { made.at(fp4_state).name = "a.weight.quant_state.bitsandbytes__fp4"; });
  refused("has states of 4 bits and of int8", [](example& made) { made.at("c.SCB").name = "a.SCB"; });
  refused("a.weight: .absmax is U8, expected F32", [](example& made) { made.at("a.weight.absmax").type = dtype::u8; });
  refused("a.weight: .quant_map isn't the code book of nf4",
          [](example& made) { made.bytes["a.weight.quant_map"][5] ^= std::byte{1}; });
  refused(".quant_map isn't the code book of nf4",
          [](example& made) { made.at("a.weight.quant_map").data = made.at("a.weight.quant_map").data.first(60); });
  refused("codes has 269 elements, expected 270",
          [](example& made) { made.at("a.weight").data = made.at("a.weight").data.first(269); });
  refused("absmax has 8 elements, expected 9",
          [](example& made) { made.at("a.weight.absmax").data = made.at("a.weight.absmax").data.first(32); });
  refused("absmax[1] = inf isn't finite", [](example& made) {
    const float infinite = std::numeric_limits<float>::infinity();
    std::memcpy(&made.bytes["a.weight.absmax"][4], &infinite, sizeof infinite);
  });
  refused("nested_absmax has 0 elements, expected 1",
          [](example& made) { made.at("b.weight.nested_absmax").data = {}; });
  refused("nested_table has 255 elements, expected 256", [](example& made) {
    made.at("b.weight.nested_quant_map").data = made.at("b.weight.nested_quant_map").data.first(255 * 4);
  });
  refused("absmax has 14 elements, expected 15",
          [](example& made) { made.at("c.SCB").data = made.at("c.SCB").data.first(14 * 4); });
  refused("c.weight: has shape [540], expected two dimensions",
          [](example& made) { made.at("c.weight").shape = {540}; });
  refused("c.weight: weight_format isn't 0", [](example& made) { made.bytes["c.weight_format"][0] = std::byte{2}; });
  refused(".nested_absmax is there, and the state isn't nested",
          [](example& made) { made.at("b.weight.nested_absmax").name = "a.weight.nested_absmax"; });

  const auto edited = [&](const char* state, std::string_view old, std::string_view now, const std::string& expected) {
    refused(expected, [&](example& made) { made.edit(state, old, now); });
  };
  edited(nf4_state, "\"nf4\"", "\"fp4\"", "quant_type: expected nf4, got \"fp4\"");
  edited(nf4_state, "64", "0", "blocksize: expected an integer of 1 or more, got 0");
  edited(nf4_state, "64", "48", "blocksize = 48, expected 32, 64");
  edited(nf4_state, "64", "64.0", "blocksize: expected an integer");
  edited(nf4_state, "bfloat16", "int8", "dtype: expected float32, float16 or bfloat16, got \"int8\"");
  edited(nf4_state, "[15, 36]", "[15]", "shape: expected two integers of 1 or more, got [15]");
  edited(nf4_state, "[15, 36]", "[15, -36]", "shape: expected two integers");
  edited(nf4_state, "[15, 36]", "[9223372036854775807, 36]", "must fit");
  edited(nf4_state, ", \"shape\": [15, 36]", "", "shape is missing");
  edited(nf4_state, "}", ", \"packing\": 3}", "packing isn't known");
  edited(nf4_state, "}", "", "invalid json");
  edited(nf4_state, "}", ", \"blocksize\": 64}", "key 'blocksize' twice");
  edited(nf4_state, "}", ", \"nested_offset\": 0.5}", "nested_dtype is missing");
  edited(fp4_state, "256", "128", "nested_blocksize: expected 256, got 128");
  edited(fp4_state, "\"nested_dtype\": \"float32\", ", "", "nested_dtype is missing");
  edited(fp4_state, "\"nested_offset\": 0.", "\"nested_offset\": 1234567890123456789012345678901234567890.",
         "nested_offset[0] = inf isn't finite");
  edited(fp4_state, "\"nested_offset\": ", "\"nested_offset\": NaN", "invalid json");
  refused("expected a JSON object, got [1]", [](example& made) { made.set(nf4_state, "[1]"); });
  refused("invalid json", [](example& made) { made.set(nf4_state, ""); });
}

TEST_CASE("what is wrong is listed for all weights at once") {
  example made;
  made.remove("a.weight.absmax");
  made.edit(nf4_state, "64", "0");
  made.remove("b.weight.quant_map");
  made.remove("c.SCB");
  try {
    made.read();
    FAIL("nothing was thrown");
  } catch (const sbora::checkpoint_error& error) {
    CHECK(error.problems().size() == 4);
  }
}

TEST_CASE("the writer refuses names and types that can't be read back") {
  const example made;
  sbora::bitsandbytes_writer writer;
  writer.add("a.weight", made.nf4.view());
  CHECK_ERROR(sbora::config_error, "'a.weight' was added already", writer.add("a.weight", made.int8.view()));
  CHECK_ERROR(sbora::config_error, "quantised from I8", writer.add("b.weight", made.nf4.view(), dtype::i8));
  CHECK_ERROR(sbora::config_error, "ends in '.weight'", writer.add("b.kernel", made.int8.view()));
  CHECK(writer.tensors().size() == 4);
}
