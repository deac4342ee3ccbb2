// The writer: bytes of the `safetensors` package, round trips, refusals, streaming.

#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

#include "io/safetensors_text.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::dtype;
using sbora::format_fault;
using sbora::safetensors_file;
using sbora::tensor_view;

namespace {

std::string header_of(const std::vector<tensor_view>& tensors,
                      const std::map<std::string, std::string>& metadata = {}) {
  return sbora::safetensors_header(tensors, metadata);
}

std::vector<std::string> names_in(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("the reference's vectors are written") {
  const auto length = [](char low) { return std::string{low, 0, 0, 0, 0, 0, 0, 0}; };
  CHECK(header_of({{"attn.0", dtype::f32, {1, 2, 3}, {}}}) ==
        length(64) + R"({"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}})");
  CHECK(header_of({{"attn0", dtype::f32, {1, 1, 2, 3}, {}}}) ==
        length(72) + R"({"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       )");
  CHECK(header_of({}) == length(8) + "{}      ");
  CHECK(header_of({}, {{"framework", "pt"}}) == length(40) + R"({"__metadata__":{"framework":"pt"}}     )");
}

TEST_CASE("a file is byte for byte what the package writes") {
  // safetensors 0.8.0's save() of these eight tensors, with names and metadata that need escapes.
  const std::string expected =
      std::string("\xf8\x01\0\0\0\0\0\0", 8) +
      R"({"__metadata__":{"k\t":"v\")"
      "\xc3\xa9"
      R"(\u0007"},"i":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
      R"("none":{"dtype":"F64","shape":[0,2],"data_offsets":[8,8]},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},)"
      R"("b":{"dtype":"F32","shape":[3],"data_offsets":[16,28]},"h":{"dtype":"F16","shape":[1],"data_offsets":[28,30]},)"
      "\"\xc3\xa9"
      R"(\"\\\n\u0001/)"
      "\xe2\x80\xa8\x7f"
      R"(":{"dtype":"I16","shape":[1],"data_offsets":[30,32]},"u":{"dtype":"U8","shape":[5],"data_offsets":[32,37]},)"
      R"("m":{"dtype":"BOOL","shape":[3],"data_offsets":[37,40]}}       )" +
      std::string(
          "\x07\0\0\0\0\0\0\0"
          "\0\0\x80\x3f\0\0\0\xc0"
          "\0\0\0\0\0\0\x80\x3f\0\0\0\x40"
          "\0\x3e"
          "\xfd\xff",
          32) +
      std::string(
          "\0\1\2\3\4"
          "\1\0\1",
          8);
  const std::vector<float> a = {1, -2}, b = {0, 1, 2};
  const std::vector<std::int64_t> i = {7};
  const std::vector<std::int16_t> escaped = {-3};
  const std::vector<Eigen::half> h = {Eigen::half(1.5F)};
  const std::vector<std::uint8_t> u = {0, 1, 2, 3, 4}, m = {1, 0, 1};
  const std::vector<double> none;
  tensor_view mask = tensor_of("m", m, {3});
  mask.type = dtype::boolean;
  const std::vector<tensor_view> tensors = {
      tensor_of("b", b, {3}),          tensor_of("a", a, {1, 2}),
      tensor_of("i", i, {}),           mask,
      tensor_of("h", h, {1}),          tensor_of("u", u, {5}),
      tensor_of("none", none, {0, 2}), tensor_of("\xc3\xa9\"\\\n\x01/\xe2\x80\xa8\x7f", escaped, {1})};
  const temporary_directory directory;
  write_safetensors(directory / "x.safetensors", tensors, {{"k\t", "v\"\xc3\xa9\x07"}});
  CHECK(read_file(directory / "x.safetensors") == expected);
  CHECK(names_in(directory.path()) == std::vector<std::string>{"x.safetensors"});

  std::vector<tensor_view> reversed(tensors.rbegin(), tensors.rend());
  write_safetensors(directory / "y.safetensors", reversed, {{"k\t", "v\"\xc3\xa9\x07"}});
  CHECK(read_file(directory / "y.safetensors") == expected);
}

TEST_CASE("tensors of every dtype come back bit for bit") {
  const temporary_directory directory;
  const auto path = directory / "all.safetensors";
  sbora::random_stream random(11);
  std::vector<std::vector<std::byte>> memory;
  std::vector<tensor_view> tensors;
  for (int type = 0; type <= static_cast<int>(dtype::u64); ++type) {
    for (const sbora::index_t rows : {0, 1, 4, 20}) {
      tensor_view tensor = {
          "t" + std::to_string(type) + "." + std::to_string(rows), static_cast<dtype>(type), {rows, 4}, {}};
      memory.emplace_back(static_cast<std::size_t>(rows * 4 * bits_of(tensor.type) / 8));
      for (std::byte& byte : memory.back()) byte = static_cast<std::byte>(random.below(256));
      tensor.data = memory.back();
      tensors.push_back(tensor);
    }
  }
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"", ""}, {"\n", "\xf0\x9f\x98\x80"}};
  write_safetensors(path, tensors, metadata);
  const auto bytes = bytes_of_file(path);
  for (const safetensors_file& file : {safetensors_file::open(path), safetensors_file::from_memory(bytes)}) {
    CHECK(file.metadata() == metadata);
    REQUIRE(file.tensors().size() == tensors.size());
    for (const tensor_view& written : tensors) {
      const tensor_view& read = file.at(written.name);
      CHECK(read.type == written.type);
      CHECK(read.shape == written.shape);
      CHECK(same_bits(read.data, written.data));
    }
  }
  // As the package orders them, whole elements lie at multiples of their size.
  const safetensors_file file = safetensors_file::open(path);
  CHECK(file.at("t17.20").as_matrix<float>().rows() == 20);
  CHECK(file.at("t19.20").values<double>().size() == 80);
  CHECK(file.at("t14.4").as_weight<Eigen::bfloat16>().d_in() == 4);
}

TEST_CASE("what can't be a file is refused, and the file is as it was") {
  const temporary_directory directory;
  const auto path = directory / "x.safetensors";
  write_file(path, "old");
  const std::vector<float> two = {1, 2};
  const auto refused = [&](format_fault kind, const std::string& why, const std::vector<tensor_view>& tensors,
                           const std::map<std::string, std::string>& metadata = {}) {
    INFO(why);
    try {
      write_safetensors(path, tensors, metadata);
      FAIL("was written");
    } catch (const sbora::format_error& error) {
      CHECK(error.kind() == kind);
      CHECK(error.path() == path);
      CHECK_THAT(error.what(), contains(why));
      CHECK_THAT(error.what(), contains(path.string()));
    }
    CHECK(read_file(path) == "old");
    CHECK(names_in(directory.path()).size() == 1);
  };
  const auto big = std::numeric_limits<sbora::index_t>::max();
  refused(format_fault::tensor_invalid_info, "tensor 'a' has 8 bytes, expected 12 for F32 [3]",
          {tensor_of("a", two, {3})});
  refused(format_fault::tensor_invalid_info, "a dimension is negative", {tensor_of("a", two, {-2})});
  refused(format_fault::validation_overflow, "too large", {tensor_of("a", two, {big, 2})});
  refused(format_fault::misaligned_slice, "12 bits", {{"a", dtype::f4, {3}, {}}});
  refused(format_fault::duplicate_name, "'a'",
          {tensor_of("a", two, {2}), tensor_of("b", two, {2}), tensor_of("a", two, {2})});
  refused(format_fault::duplicate_name, "'__metadata__'", {tensor_of("__metadata__", two, {2})});
  refused(format_fault::invalid_header, "not UTF-8", {tensor_of("\xff", two, {2})});
  refused(format_fault::invalid_header, "not UTF-8", {}, {{"k", "\xc3"}});
  refused(format_fault::invalid_header, "not UTF-8", {}, {{"\xc3", "v"}});
  refused(format_fault::header_too_large, "100000032 bytes, expected up to 100000000", {},
          {{"k", std::string(100'000'000, 'x')}});
  std::vector<tensor_view> huge;
  for (const char* const name : {"a", "b", "c", "d", "e", "f", "g", "h", "i"})
    huge.push_back({name, dtype::u8, {big / 4}, {}});
  CHECK_ERROR(sbora::format_error, "all tensors together are too large", header_of(huge));
  huge.pop_back();
  CHECK_THAT(header_of(huge), contains("18446744073709551608]"));
}

TEST_CASE("tensors streamed in pieces make the same file") {
  const temporary_directory directory;
  const auto values = random_vector<float>(1000, 3);
  const auto halves = random_vector<Eigen::half>(77, 4);
  const std::vector<double> none;
  const std::vector<tensor_view> tensors = {tensor_of("w", values, {10, 100}), tensor_of("h", halves, {77}),
                                            tensor_of("none", none, {0})};
  write_safetensors(directory / "whole", tensors, {{"format", "pt"}});
  sbora::safetensors_stream_writer stream(directory / "pieces", tensors, {{"format", "pt"}});
  for (const tensor_view& tensor : stream.tensors()) {
    const auto source =
        std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == tensor.name; });
    for (std::size_t at = 0; at < source->data.size(); at += 97) {
      stream.write(tensor.name, source->data.subspan(at, std::min<std::size_t>(97, source->data.size() - at)));
    }
  }
  CHECK(!std::filesystem::exists(directory / "pieces"));
  stream.commit();
  CHECK(read_file(directory / "pieces") == read_file(directory / "whole"));
  CHECK_ERROR(sbora::file_error, "it was committed", stream.commit());
}

TEST_CASE("a stream of other pieces than announced is refused") {
  const temporary_directory directory;
  const std::vector<float> two = {1, 2};
  const std::vector<tensor_view> tensors = {tensor_of("a", two, {2}), tensor_of("b", two, {2})};
  const auto bytes = std::as_bytes(std::span(two));
  {
    sbora::safetensors_stream_writer stream(directory / "x", tensors);
    CHECK_ERROR(sbora::format_error, "8 bytes of 'b', expected up to 8 of 'a'", stream.write("b", bytes));
    stream.write("a", bytes.first(5));
    CHECK_ERROR(sbora::format_error, "4 bytes of 'a', expected up to 3 of 'a'", stream.write("a", bytes.first(4)));
    CHECK_ERROR(sbora::format_error, "3 bytes of 'a' were not written", stream.commit());
    stream.write("a", bytes.last(3));
    CHECK_ERROR(sbora::format_error, "1 bytes of 'a', expected up to 8 of 'b'", stream.write("a", bytes.first(1)));
    CHECK_ERROR(sbora::format_error, "8 bytes of 'b' were not written", stream.commit());
    stream.write("b", bytes);
    CHECK_ERROR(sbora::format_error, "1 bytes of 'b', expected none", stream.write("b", bytes.first(1)));
  }
  CHECK(names_in(directory.path()).empty());  // never committed
}
