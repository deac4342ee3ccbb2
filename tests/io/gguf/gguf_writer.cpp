// GGUF files as they are written: what the reader finds again, and whole or not at all.

#include <sbora/io/gguf/gguf_writer.hpp>

#include "io/gguf/gguf_bytes.hpp"
#include "io/temporary_directory.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::format_error;
using sbora::ggml_type;
using sbora::gguf_file;
using sbora::gguf_metadata;
using sbora::gguf_stream_writer;
using sbora::gguf_tensor;
using sbora::gguf_type;
using sbora::index_t;

namespace {

const std::vector<gguf_tensor> tensors = {{"first", ggml_type::f32, {3}, {}},
                                          {"empty", ggml_type::f16, {0, 4}, {}},
                                          {"blocks", ggml_type::q4_k, {2, 512}, {}},
                                          {"scalar", ggml_type::f32, {}, {}}};
const std::size_t sizes[] = {12, 0, 2 * 2 * 144, 4};

std::string bytes_of(std::size_t tensor) { return std::string(sizes[tensor], static_cast<char>('a' + tensor)); }
std::span<const std::byte> as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

TEST_CASE("the reader finds what was written, in pieces of any size, at aligned places") {
  const std::string other =
      gguf_bytes()
          .array("kept.words", gguf_type::string, 2, gguf_bytes::text("one") + gguf_bytes::text(""))
          .key("kept.flag", gguf_type::boolean, gguf_bytes::raw(std::uint8_t{1}))
          .all();
  const gguf_file from = gguf_file::from_memory(as_bytes(other));
  for (const std::uint64_t alignment : {32U, 8U, 64U}) {
    const temporary_directory folder;
    gguf_metadata metadata;
    metadata.add("general.alignment", static_cast<std::uint32_t>(alignment))
        .add("text", "caf\xC3\xA9")
        .add("real", 0.5F);
    for (const sbora::gguf_entry& entry : from.metadata()) metadata.add(entry);
    gguf_stream_writer writer(folder / "made.gguf", metadata, tensors, alignment);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const std::string bytes = bytes_of(i);
      for (std::size_t at = 0; at < bytes.size(); at += 5) writer.write(tensors[i].name, as_bytes(bytes.substr(at, 5)));
    }
    writer.commit();
    const gguf_file made = gguf_file::open(folder / "made.gguf");
    CHECK(made.alignment() == alignment);
    CHECK(made.value("text").string() == "caf\xC3\xA9");
    CHECK(made.value("real").number<float>() == 0.5F);
    CHECK(made.value("kept.flag").number<bool>() == true);
    CHECK(made.value("kept.words").strings() == std::vector<std::string_view>{"one", ""});
    REQUIRE(made.tensors().size() == tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const gguf_tensor& found = made.tensors()[i];
      CHECK(found.name == tensors[i].name);
      CHECK(found.type == tensors[i].type);
      CHECK(found.shape == tensors[i].shape);
      CHECK(std::ranges::equal(found.data, as_bytes(bytes_of(i))));
    }
  }
}

TEST_CASE("what isn't next or isn't all is refused, and the file is as it was") {
  const temporary_directory folder;
  const auto path = folder / "made.gguf";
  {
    gguf_stream_writer writer(path, gguf_metadata(), tensors);
    CHECK_ERROR(format_error, "4 bytes of 'scalar', expected up to 12 of 'first'",
                writer.write("scalar", as_bytes("abcd")));
    CHECK_ERROR(format_error, "13 bytes of 'first', expected up to 12",
                writer.write("first", as_bytes(std::string(13, 'x'))));
    writer.write("first", as_bytes(std::string(12, 'x')));
    CHECK_ERROR(format_error, "576 bytes of 'blocks' were not written", writer.commit());
  }
  CHECK(std::filesystem::is_empty(folder.path()));
  const std::vector<gguf_tensor> odd = {{"odd", ggml_type::q4_0, {2, 48}, {}}};
  CHECK_ERROR(format_error, "'odd' of [2, 48] isn't whole blocks of 32", gguf_stream_writer(path, {}, odd));
  CHECK(std::filesystem::is_empty(folder.path()));
}
