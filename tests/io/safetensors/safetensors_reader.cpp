// The reader: the reference implementation's vectors and rejections, and ours beyond it.

#include <sbora/io/safetensors/safetensors_file.hpp>

#include "io/safetensors_text.hpp"
#include "support/catch.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::dtype;
using sbora::format_fault;
using sbora::safetensors_file;

namespace {

/// What opening these bytes says: the fault's name first. "" where they are accepted.
std::string refusal(const std::vector<std::byte>& bytes) {
  try {
    safetensors_file::from_memory(bytes);
    return {};
  } catch (const sbora::format_error& error) {
    CHECK_THAT(error.what(), contains(std::string("sbora: ") + to_string(error.kind()) + ": "));
    return std::string(error.what()).substr(7);
  }
}

std::string refusal(std::string_view header, std::size_t data = 0) { return refusal(safetensors_bytes(header, data)); }

/// A header of one tensor.
std::string tensor(const std::string& type, const std::string& shape, const std::string& offsets) {
  return R"({"t":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

/// A whole file's bytes in C's notation, NULs included.
template <std::size_t Size>
std::vector<std::byte> raw(const char (&text)[Size]) {
  return bytes_of({text, Size - 1});
}

}  // namespace

#define CHECK_REFUSED(start, ...) CHECK_THAT(refusal(__VA_ARGS__), Catch::Matchers::StartsWith(start))

TEST_CASE("the reference's vectors are read") {
  const auto bytes = safetensors_bytes(R"({"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}})", 24);
  CHECK(bytes[0] == std::byte{64});
  const auto file = safetensors_file::from_memory(bytes);
  REQUIRE(file.tensors().size() == 1);
  const sbora::tensor_view& attn = file.at("attn.0");
  CHECK(attn.type == dtype::f32);
  CHECK(attn.shape == std::vector<sbora::index_t>{1, 2, 3});
  CHECK(attn.elements() == 6);
  CHECK(attn.data.data() == bytes.data() + 72);
  CHECK(attn.data.size() == 24);
  CHECK(attn.copy<float>() == std::vector<float>(6));
  CHECK(file.find("attn") == nullptr);
  CHECK_ERROR(sbora::format_error, "missing tensor: no tensor 'attn'", file.at("attn"));

  const auto padded =
      safetensors_bytes(R"({"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       )", 24);
  CHECK(padded[0] == std::byte{72});
  const auto padded_file = safetensors_file::from_memory(padded);
  CHECK(padded_file.at("attn0").elements() == 6);
  const auto empty = safetensors_file::from_memory(safetensors_bytes("{}      "));
  CHECK(empty.tensors().empty());
  const auto metadata = safetensors_file::from_memory(safetensors_bytes(R"({"__metadata__":{"framework":"pt"}}     )"));
  CHECK(metadata.metadata() == std::map<std::string, std::string>{{"framework", "pt"}});
  CHECK(metadata.tensors().empty());
}

TEST_CASE("white space, sizes of zero, scalars and unknown fields are read") {
  CHECK(refusal("{}\r \t\n").empty());
  CHECK(refusal("\t\n{}\r ").empty());
  CHECK(refusal(tensor("F32", "[2,0]", "[0,0]")).empty());
  CHECK(refusal(tensor("I32", "[]", "[0,4]"), 4).empty());
  CHECK(refusal(tensor("F4", "[2]", "[0,1]"), 1).empty());
  CHECK(refusal(R"({"__metadata__":null})").empty());
  CHECK(
      refusal(
          R"({"t":{"more":[{"a":[1,"x",null,true,-1,1.5]},{}],"dtype":"U8","shape":[1],"e":{},"data_offsets":[0,1],"n":null}})",
          1)
          .empty());
  const auto bytes = safetensors_bytes(tensor("I32", "[]", "[0,4]"), 4);
  const auto scalar = safetensors_file::from_memory(bytes);
  CHECK(scalar.at("t").elements() == 1);
}

TEST_CASE("the reference's rejections") {
  CHECK_REFUSED("header too small", std::vector<std::byte>{});
  CHECK_REFUSED("header too small", raw("1234567"));
  CHECK_REFUSED("header too large", raw("<\0\0\0\0\xff\xff\xff"));
  CHECK_REFUSED("header too large: header = 100000001", raw("\x01\xe1\xf5\x05\0\0\0\0"));
  CHECK_REFUSED("invalid header length: header = 100000000", raw("\0\xe1\xf5\x05\0\0\0\0"));
  CHECK_REFUSED("invalid header length: header = 60 bytes in a file of 8", raw("<\0\0\0\0\0\0\0"));
  CHECK_REFUSED("invalid header: not UTF-8 at byte 0", raw("\x01\0\0\0\0\0\0\0\xff"));
  CHECK_REFUSED("invalid header deserialization", raw("\x01\0\0\0\0\0\0\0{"));

  std::string attack = "{";
  for (int i = 0; i < 10; ++i) {
    attack += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]})";
  }
  CHECK_REFUSED("invalid offset: tensor '1': data_offsets [0, 16], expected to begin at 16", attack + "}", 16);

  const std::string good = tensor("I32", "[2,2]", "[0,16]");
  CHECK(refusal(good, 16).empty());
  CHECK_REFUSED("metadata incomplete buffer: tensors of 16 bytes, and 19 bytes after", good, 19);
  CHECK_REFUSED("metadata incomplete buffer: tensors of 16 bytes, and 14 bytes after", good, 14);
  CHECK_REFUSED("validation overflow: tensor 't'", tensor("I32", "[2,18446744073709551614]", "[0,16]"), 16);
  CHECK_REFUSED("validation overflow: tensor 't'", tensor("I32", "[2,9223372036854775807]", "[0,16]"), 16);
  CHECK_REFUSED("tensor invalid info: tensor 't': data_offsets [0, 4], expected 16", tensor("I32", "[2,2]", "[0,4]"),
                4);
}

TEST_CASE("holes, overlaps, ends before begins, parts of bytes") {
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
  };
  CHECK(refusal(two("[4,8]", "[0,4]"), 8).empty());
  CHECK_REFUSED("invalid offset: tensor 'b': data_offsets [5, 9], expected to begin at 4", two("[0,4]", "[5,9]"), 9);
  CHECK_REFUSED("invalid offset: tensor 'b': data_offsets [3, 7], expected to begin at 4", two("[0,4]", "[3,7]"), 7);
  CHECK_REFUSED("invalid offset: tensor 'a': data_offsets [1, 5], expected to begin at 0", two("[1,5]", "[5,9]"), 9);
  CHECK_REFUSED("invalid offset: tensor 'b': data_offsets [4, 3]", two("[0,4]", "[4,3]"), 8);
  CHECK_REFUSED("misaligned slice: tensor 't': 12 bits", tensor("F4", "[3]", "[0,2]"), 2);
  CHECK_REFUSED("misaligned slice: tensor 't': 6 bits", tensor("F6_E2M3", "[]", "[0,1]"), 1);
  CHECK(refusal(tensor("F6_E3M2", "[4]", "[0,3]"), 3).empty());
  // In bytes it fits, in bits it doesn't.
  CHECK_REFUSED("validation overflow", tensor("U8", "[9223372036854775807]", "[0,9223372036854775807]"), 1);
  CHECK_REFUSED("validation overflow", tensor("U8", "[4294967296,4294967296]", "[0,1]"), 1);
  CHECK_REFUSED("metadata incomplete", tensor("U8", "[2305843009213693951]", "[0,2305843009213693951]"), 1);
  // The reference's order of multiplying: a zero hides what follows it, not what comes before.
  CHECK(refusal(tensor("U8", "[0,4294967296,4294967296]", "[0,0]")).empty());
  CHECK_REFUSED("validation overflow", tensor("U8", "[4294967296,4294967296,0]", "[0,0]"));
  // Ours: index_t has to hold every dimension.
  CHECK_REFUSED("validation overflow", tensor("U8", "[0,9223372036854775808]", "[0,0]"));
}

TEST_CASE("a name twice is refused, escaped or not") {
  const std::string empty = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  CHECK_REFUSED("duplicate name: 'a'", R"({"a":)" + empty + R"(,"b":)" + empty + R"(,"a":)" + empty + "}");
  CHECK_REFUSED("duplicate name: 'a'", R"({"a":)" + empty + R"(,"\u0061":)" + empty + "}");
  CHECK(refusal(R"({"a":)" + empty + R"(,"b":)" + empty + "}").empty());
  CHECK_REFUSED("duplicate name: '__metadata__'", R"({"__metadata__":{},"__metadata__":{}})");
  CHECK_REFUSED("duplicate name: 'k'", R"({"__metadata__":{"k":"1","k":"2"}})");
}

TEST_CASE("JSON of another form") {
  const auto refused = [](std::string_view header, const std::string& why) {
    INFO(header);
    const std::string all = refusal(header, 4);
    CHECK_THAT(all, Catch::Matchers::StartsWith("invalid header deserialization: "));
    CHECK_THAT(all, contains(why));
  };
  refused("[]", "the header has to be an object");
  refused("1", "the header has to be an object, not a number");
  refused("null", "the header has to be an object, not null");
  refused("", "parse error");
  refused("{} {}", "parse error");
  refused("{'a':1}", "parse error");
  refused(R"({"t":1})", "tensor 't' has to be an object, not a number");
  refused(R"({"t":null})", "tensor 't' has to be an object, not null");
  refused(R"({"t":["F32",[1],[0,4]]})", "tensor 't' has to be an object");
  refused(R"({"t":{}})", "tensor 't' has no dtype");
  refused(R"({"t":{"dtype":"F32","data_offsets":[0,4]}})", "tensor 't' has no shape");
  refused(R"({"t":{"dtype":"F32","shape":[1]}})", "tensor 't' has no data_offsets");
  refused(R"({"t":{"dtype":"F32","shape":[1],"dtype":"F32","data_offsets":[0,4]}})", "has two of dtype");
  refused(R"({"t":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})", "has two of shape");
  refused(R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"data_offsets":[0,4]}})", "has two of data_offsets");
  refused(tensor("f32", "[1]", "[0,4]"), "no dtype is called 'f32'");
  refused(R"({"t":{"dtype":17,"shape":[1],"data_offsets":[0,4]}})", "dtype has to be a string");
  refused(tensor("F32", "1", "[0,4]"), "shape has to be an array");
  refused(tensor("F32", "{}", "[0,4]"), "shape has to be an array");
  refused(tensor("F32", "[[1]]", "[0,4]"), "shape has to hold non-negative integers");
  refused(tensor("F32", "[-1]", "[0,4]"), "shape has to hold non-negative integers, not a negative number");
  refused(tensor("F32", "[-0]", "[0,4]"), "shape has to hold non-negative integers");
  refused(tensor("F32", "[1.0]", "[0,4]"), "not a number that is no integer");
  refused(tensor("F32", "[1e0]", "[0,4]"), "not a number that is no integer");
  refused(tensor("F32", "[18446744073709551616]", "[0,4]"), "not a number that is no integer");
  refused(tensor("F32", "[true]", "[0,4]"), "not a boolean");
  refused(tensor("F32", "[\"1\"]", "[0,4]"), "not a string");
  refused(tensor("F32", "[01]", "[0,4]"), "parse error");
  refused(tensor("F32", "[1]", "4"), "data_offsets has to be an array");
  refused(tensor("F32", "[1]", "[4]"), "fewer than two data_offsets");
  refused(tensor("F32", "[1]", "[0,4,4]"), "more than two data_offsets");
  refused(tensor("F32", "[1]", "[0,4.5]"), "data_offsets has to hold non-negative integers");
  refused(R"({"__metadata__":[]})", "__metadata__ has to be an object");
  refused(R"({"__metadata__":{"k":1}})", "__metadata__: 'k' has to be a string, not a number");
  refused(R"({"__metadata__":{"k":null}})", "__metadata__: 'k' has to be a string, not null");
  refused(R"({"__metadata__":{"k":{}}})", "__metadata__: 'k' has to be a string");
  refused("{\"a\nb\":1}", "parse error");
  refused(R"({"\ud800":1})", "parse error");
  refused(R"({"\x":1})", "parse error");
  refused("\xEF\xBB\xBF{}", "a byte order mark");
  refused(std::string_view("{}\0\0", 4), "a NUL at byte 2");
  refused("// comment\n{}", "parse error");
}

TEST_CASE("depth is bounded, whatever the header's length") {
  const auto nested = [](int depth) {
    const auto count = static_cast<std::size_t>(depth);
    return R"({"t":{"x":)" + std::string(count, '[') + std::string(count, ']') +
           R"(,"dtype":"U8","shape":[0],"data_offsets":[0,0]}})";
  };
  CHECK(refusal(nested(126)).empty());
  CHECK_REFUSED("invalid header deserialization: deeper than 128 levels", nested(127));
  CHECK_REFUSED("invalid header deserialization: deeper than 128 levels",
                R"({"t":{"x":)" + std::string(4'000'000, '['));
  std::string objects = R"({"t":{"x":)";
  for (int i = 0; i < 500'000; ++i) objects += "{\"a\":";
  CHECK_REFUSED("invalid header deserialization: deeper than 128 levels", objects);
}

TEST_CASE("only UTF-8 is UTF-8") {
  const auto named = [](const std::string& name) {
    return R"({")" + name + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})";
  };
  for (const char* const good : {"\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                                 "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(refusal(named(good)).empty());
    const auto bytes = safetensors_bytes(named(good));
    const auto file = safetensors_file::from_memory(bytes);
    CHECK(file.tensors()[0].name == good);
  }
  for (const char* const bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\xc2", "\xe0\x9f\xbf", "\xe0\xa0", "\xed\xa0\x80",
        "\xef\xbf", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    CHECK_REFUSED("invalid header: not UTF-8 at byte 2", named(bad));
  }
  CHECK_REFUSED("invalid header: not UTF-8 at byte 2", "{\"\xe2\x82");  // cut off by the header's end
}
