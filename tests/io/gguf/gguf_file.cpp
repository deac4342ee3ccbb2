// GGUF files: what is in them is read in place; whatever is wrong with one is refused by name before any of it is used.

#include <chrono>
#include <fstream>

#include "io/gguf/gguf_bytes.hpp"
#include "io/resident.hpp"
#include "io/temporary_directory.hpp"
#include "support/catch.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::format_error;
using sbora::ggml_type;
using sbora::gguf_file;
using sbora::gguf_type;
using sbora::gguf_value;
using sbora::index_t;

namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string floats(int count, float first = 1) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += gguf_bytes::raw(first + static_cast<float>(i));
  return bytes;
}

/// What the file of these bytes is refused with.
std::string refusal(const std::string& bytes) {
  return message_of<format_error>([&] { gguf_file::from_memory(bytes_of(bytes)); });
}
std::string refusal(const gguf_bytes& made) { return refusal(made.all()); }

#define CHECK_REFUSED(bytes, part) CHECK_THAT(refusal(bytes), contains(part))

gguf_bytes small() {
  return gguf_bytes()
      .key("general.architecture", gguf_type::string, gguf_bytes::text("llama"))
      .key("llama.block_count", gguf_type::u32, gguf_bytes::raw(std::uint32_t{2}))
      .tensor("token_embd.weight", {3, 2}, ggml_type::f32, floats(6))
      .tensor("blk.0.attn_q.weight", {32, 2}, ggml_type::q4_0, std::string(36, '\x11'));
}

}  // namespace

TEST_CASE("tensors are in place, with the shapes that others have") {
  const std::string bytes = small().all();
  const gguf_file file = gguf_file::from_memory(bytes_of(bytes));
  CHECK(file.version() == 3);
  CHECK(file.alignment() == 32);
  REQUIRE(file.tensors().size() == 2);
  const sbora::gguf_tensor& embedding = file.at("token_embd.weight");
  CHECK(embedding.type == ggml_type::f32);
  CHECK(embedding.shape == std::vector<index_t>{2, 3});
  CHECK(embedding.data.size() == 24);
  CHECK(embedding.data.data() == bytes_of(bytes).data() + bytes.size() - 64 - 4);
  CHECK(file.at("blk.0.attn_q.weight").shape == std::vector<index_t>{2, 32});
  CHECK(file.at("blk.0.attn_q.weight").data.size() == 36);
  CHECK(file.find("blk.1.attn_q.weight") == nullptr);
  CHECK_ERROR(format_error, "missing tensor: no tensor 'x'", file.at("x"));
  CHECK(std::string(sbora::to_string(ggml_type::mxfp4)) == "MXFP4");
}

TEST_CASE("metadata of every type") {
  using b = gguf_bytes;
  gguf_bytes made;
  made.key("u8", gguf_type::u8, b::raw(std::uint8_t{200}))
      .key("i8", gguf_type::i8, b::raw(std::int8_t{-3}))
      .key("u16", gguf_type::u16, b::raw(std::uint16_t{65535}))
      .key("i16", gguf_type::i16, b::raw(std::int16_t{-300}))
      .key("u32", gguf_type::u32, b::raw(std::uint32_t{4000000000U}))
      .key("i32", gguf_type::i32, b::raw(std::int32_t{-7}))
      .key("f32", gguf_type::f32, b::raw(0.1F))
      .key("bool", gguf_type::boolean, b::raw(std::uint8_t{1}))
      .key("text", gguf_type::string, b::text("caf\xC3\xA9"))
      .key("u64", gguf_type::u64, b::raw(~std::uint64_t{0}))
      .key("i64", gguf_type::i64, b::raw(std::int64_t{-5000000000}))
      .key("f64", gguf_type::f64, b::raw(1e300))
      .array("numbers", gguf_type::i32, 3, b::raw(1) + b::raw(-2) + b::raw(3))
      .array("texts", gguf_type::string, 2, b::text("") + b::text("two"))
      .array("none", gguf_type::u8, 0, {});
  const std::string bytes = made.all();
  const gguf_file file = gguf_file::from_memory(bytes_of(bytes));
  CHECK(file.metadata().size() == 15);
  CHECK(file.metadata()[2].key == "u16");
  CHECK(file.value("u8").number<int>() == 200);
  CHECK(file.value("u8").number<std::int8_t>() == std::nullopt);
  CHECK(file.value("i8").number<std::int64_t>() == -3);
  CHECK(file.value("i8").number<std::uint32_t>() == std::nullopt);
  CHECK(file.value("i8").number<float>() == -3);
  CHECK(file.value("u16").number<index_t>() == 65535);
  CHECK(file.value("i16").number<short>() == -300);
  CHECK(file.value("u32").number<std::int32_t>() == std::nullopt);
  CHECK(file.value("u32").number<index_t>() == 4000000000);
  CHECK(file.value("f32").number<float>() == 0.1F);
  CHECK(file.value("f32").number<int>() == std::nullopt);
  CHECK(file.value("bool").number<bool>() == true);
  CHECK(file.value("u8").number<bool>() == std::nullopt);
  CHECK(file.value("text").string() == "caf\xC3\xA9");
  CHECK(file.value("text").number<int>() == std::nullopt);
  CHECK(file.value("u64").number<std::int64_t>() == std::nullopt);
  CHECK(file.value("u64").number<std::uint64_t>() == ~std::uint64_t{0});
  CHECK(file.value("i64").number<std::uint64_t>() == std::nullopt);
  CHECK(file.value("i64").number<std::int64_t>() == -5000000000);
  CHECK(file.value("f64").number<double>() == 1e300);
  CHECK(file.value("f64").number<std::int64_t>() == std::nullopt);
  CHECK(file.value("numbers").numbers<index_t>() == std::vector<index_t>{1, -2, 3});
  CHECK(file.value("numbers").numbers<std::uint32_t>() == std::nullopt);
  CHECK(file.value("numbers").number<int>() == std::nullopt);
  CHECK(file.value("texts").strings() == std::vector<std::string_view>{"", "two"});
  CHECK(file.value("texts").numbers<int>() == std::nullopt);
  CHECK(file.value("none").numbers<int>() == std::vector<int>());
  CHECK(file.value("none").size() == 0);
  CHECK(!file.value("nowhere"));
  CHECK(file.value("nowhere").string() == std::nullopt);
}

TEST_CASE("versions, alignments, scalars and files without tensors") {
  gguf_bytes second = small();
  second.version = 2;
  const std::string bytes = second.all();
  CHECK(gguf_file::from_memory(bytes_of(bytes)).version() == 2);
  gguf_bytes wide;
  wide.alignment = 64;
  wide.key("general.alignment", gguf_type::u32, gguf_bytes::raw(std::uint32_t{64}))
      .tensor("a", {1}, ggml_type::f32, floats(1))
      .tensor("scalar", {}, ggml_type::f32, floats(1, 7))
      .tensor("nothing", {0, 3}, ggml_type::f32, "");
  const std::string others = wide.all();
  const gguf_file file = gguf_file::from_memory(bytes_of(others));
  CHECK(file.alignment() == 64);
  CHECK(file.at("scalar").shape.empty());
  CHECK(file.at("scalar").data.size() == 4);
  CHECK(file.at("nothing").data.empty());
  const std::string alone = gguf_bytes().header();  // ends before where tensors would begin
  const gguf_file empty = gguf_file::from_memory(bytes_of(alone));
  CHECK(empty.tensors().empty());
}

TEST_CASE("a file that is moved keeps what points into it") {
  const temporary_directory directory;
  write_file(directory / "model.gguf", small().all());
  std::vector<gguf_file> files;
  files.push_back(gguf_file::open(directory / "model.gguf"));
  files.reserve(100);
  CHECK(files[0].path() == directory / "model.gguf");
  CHECK(files[0].value("general.architecture").string() == "llama");
  float first = 0;
  std::memcpy(&first, files[0].at("token_embd.weight").data.data(), sizeof first);
  CHECK(first == 1);
  CHECK_ERROR(sbora::file_error, "nowhere", gguf_file::open(directory / "nowhere"));
}

TEST_CASE("headers that are none are refused") {
  CHECK_REFUSED(std::string(), "invalid header: header: it doesn't begin with GGUF");
  CHECK_REFUSED("GGUF", "invalid header length: header: 4 bytes, of which the file has 0");
  CHECK_REFUSED("PK\x03\x04 and so on", "another file: a pickle of PyTorch");
  gguf_bytes made = small();
  made.version = 1;
  CHECK_REFUSED(made, "version 1, expected 2 or 3");
  made.version = 0x03000000;
  CHECK_REFUSED(made, "it is big-endian");
  const std::string whole = small().all();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO(size);
    CHECK(refusal(whole.substr(0, size)) != "nothing was thrown");
  }
}

TEST_CASE("counts and lengths that the file has no bytes for are refused before memory is taken") {
  const std::uint64_t huge = std::uint64_t{1} << 62;
  const auto header = [](std::uint64_t tensors, std::uint64_t keys) {
    return "GGUF" + gguf_bytes::raw(std::uint32_t{3}) + gguf_bytes::raw(tensors) + gguf_bytes::raw(keys);
  };
  const long before = resident();
  CHECK_REFUSED(header(huge, 0), "4611686018427387904 tensors in the 8 bytes");
  CHECK_REFUSED(header(0, huge), "4611686018427387904 keys in the 0 bytes");
  CHECK_REFUSED(gguf_bytes().array("a", gguf_type::u64, huge, {}), "4611686018427387904 elements in the");
  CHECK_REFUSED(gguf_bytes().array("a", gguf_type::string, 3, gguf_bytes::text("a")), "3 elements in the");
  CHECK_REFUSED(gguf_bytes().key("a", gguf_type::string, gguf_bytes::raw(huge)), "key 'a': 4611686018427387904 bytes");
  CHECK_REFUSED(gguf_bytes().key(std::string(65536, 'k'), gguf_type::u8, "1"), "a name of 65536 bytes");
  CHECK(resident() - before < 1 << 24);
}

TEST_CASE("keys that are wrong are refused by name") {
  CHECK_REFUSED(gguf_bytes().key("a", static_cast<gguf_type>(13), "12345678"), "key 'a': no type has number 13");
  CHECK_REFUSED(gguf_bytes().array("a", gguf_type::array, 0, {}), "key 'a': an array of arrays");
  CHECK_REFUSED(gguf_bytes().array("a", gguf_type::none, 0, {}), "no type has number 4294967295");
  CHECK_REFUSED(gguf_bytes().key("a", gguf_type::u8, "1").key("b", gguf_type::u8, "1").key("a", gguf_type::u8, "1"),
                "duplicate name: key 'a'");
  CHECK_REFUSED(gguf_bytes().key("\xFF", gguf_type::u8, "1"), "key 0: its name is not UTF-8 at byte 0");
  for (const std::uint32_t alignment : {0U, 3U, 48U}) {
    CHECK_REFUSED(gguf_bytes().key("general.alignment", gguf_type::u32, gguf_bytes::raw(alignment)),
                  "key 'general.alignment': expected a power of two");
  }
  CHECK_REFUSED(gguf_bytes().key("general.alignment", gguf_type::string, gguf_bytes::text("32")), "a power of two");
}

TEST_CASE("tensors that are wrong are refused by name") {
  constexpr std::uint32_t f32 = 0, q4_0 = 2, q4_k = 12;
  const std::string data(256, '\0');
  const std::uint64_t huge = std::uint64_t{1} << 62;
  CHECK_REFUSED(gguf_bytes().tensor("t", {1, 1, 1, 1, 1}, f32, 0).data(data), "'t': 5 dimensions, expected up to 4");
  CHECK_REFUSED(gguf_bytes().tensor("t", {~std::uint64_t{0}}, f32, 0).data(data),
                "a dimension of 18446744073709551615");
  CHECK_REFUSED(gguf_bytes().tensor("t", {huge, 2}, f32, 0).data(data), "'t': [2, 4611686018427387904] is too large");
  CHECK_REFUSED(gguf_bytes().tensor("t", {huge}, f32, 0).data(data), "is too large");
  for (const std::uint32_t type : {4U, 5U, 31U, 36U, 42U, 0xFFFFFFFFU}) {
    CHECK_REFUSED(gguf_bytes().tensor("t", {32}, type, 0).data(data),
                  "'t': no type of ggml has number " + std::to_string(type));
  }
  CHECK_REFUSED(gguf_bytes().tensor("t", {48}, q4_0, 0).data(data), "rows of 48 elements, Q4_0 has blocks of 32");
  CHECK_REFUSED(gguf_bytes().tensor("t", {32, 256}, q4_k, 0).data(data), "Q4_K has blocks of 256");
  CHECK_REFUSED(gguf_bytes().tensor("t", {}, q4_0, 0).data(data), "rows of 1 elements");
  CHECK_REFUSED(gguf_bytes().tensor("t", {2}, f32, 8).data(data), "offset 8, expected a multiple of 32");
  CHECK_REFUSED(gguf_bytes().tensor("t", {2}, f32, 256).data(data), "offset 256 and 8 bytes, of 256 that the file has");
  CHECK_REFUSED(gguf_bytes().tensor("t", {65}, f32, 0).data(data), "offset 0 and 260 bytes, of 256");
  CHECK_REFUSED(gguf_bytes().tensor("t", {2}, f32, ~std::uint64_t{31}).data(data), "of 256 that the file has");
  CHECK_REFUSED(gguf_bytes().tensor("a", {9}, f32, 32).tensor("b", {8}, f32, 64).tensor("c", {8}, f32, 0).data(data),
                "tensors 'a' and 'b' share bytes from offset 64 on");
  CHECK_REFUSED(gguf_bytes().tensor("a", {8}, f32, 0).tensor("b", {8}, f32, 0).data(data), "share bytes");
  CHECK_REFUSED(gguf_bytes().tensor("a", {8}, f32, 0).tensor("a", {8}, f32, 32).data(data),
                "duplicate name: tensor 'a'");
  CHECK_REFUSED(gguf_bytes().tensor("\xC3", {8}, f32, 0).data(data), "tensor 0: its name is not UTF-8");
}

TEST_CASE("opening a 4 GiB file takes its header alone") {
  const temporary_directory directory;
  gguf_bytes made;
  constexpr std::uint64_t each = std::uint64_t{2048} * 2048 * 2;
  for (std::uint64_t i = 0; i < 512; ++i) {
    made.tensor("blk." + std::to_string(i) + ".weight", {2048, 2048}, static_cast<std::uint32_t>(ggml_type::f16),
                i * each);
  }
  const std::string header = made.all();
  write_file(directory / "model.gguf", header);
  std::error_code failed;
  std::filesystem::resize_file(directory / "model.gguf", header.size() + 512 * each, failed);
  if (failed) {
    WARN("not tested: this file system has no room for a sparse file: " << failed.message());
    return;
  }
  CHECK(gguf_file::open(directory / "model.gguf").version() == 3);  // what the allocator takes first
  const long before = resident();
  const auto start = std::chrono::steady_clock::now();
  const gguf_file file = gguf_file::open(directory / "model.gguf");
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  CHECK(file.at("blk.511.weight").data.size() == each);
  CHECK(file.tensors().back().data.back() == std::byte{0});
  CHECK(resident() - before < 1 << 20);
  WARN("opened in " << took.count() << " ms");
}
