// Any bytes as a GGUF file: refused by a format_error, or read within its bytes, no tensor sharing any with another.

#include <cstdlib>
#include <cstring>
#include <optional>

#include <sbora/io/gguf/gguf_file.hpp>
#include <sbora/io/instances.hpp>

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

bool is_inside(std::span<const std::byte> part, std::span<const std::byte> whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}
std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

void check_metadata(const sbora::gguf_file& file) {
  std::size_t sum = 0;
  for (const sbora::gguf_entry& entry : file.metadata()) {
    require(is_inside(bytes_of(entry.key), file.bytes()) && is_inside(entry.value.bytes(), file.bytes()));
    const sbora::gguf_value value = file.value(entry.key);
    require(bool(value) && value.bytes().data() == entry.value.bytes().data());
    if (const auto text = value.string()) require(is_inside(bytes_of(*text), file.bytes()));
    if (const auto texts = value.strings()) {
      require(texts->size() == value.size());
      for (const std::string_view text : *texts) require(is_inside(bytes_of(text), file.bytes()));
    }
    const auto whole = value.number<std::int64_t>();
    const auto real = value.number<double>();
    if (whole) require(real.has_value() && static_cast<double>(*whole) == *real);
    if (const auto numbers = value.numbers<std::uint32_t>()) require(numbers->size() == value.size());
    if (const auto numbers = value.numbers<float>()) sum += numbers->size();
  }
  static volatile std::size_t sink = 0;
  sink = sum;
}

void check_tensors(const sbora::gguf_file& file) {
  std::vector<std::span<const std::byte>> seen;
  for (const sbora::gguf_tensor& tensor : file.tensors()) {
    require(is_inside(tensor.data, file.bytes()) && file.find(tensor.name) == &tensor);
    const auto& layout = sbora::detail::layout_of(tensor.type);
    const auto elements = sbora::detail::size_product(tensor.shape);
    require(elements && *elements % layout.elements == 0);
    require(static_cast<std::size_t>(*elements / layout.elements * layout.bytes) == tensor.data.size());
    for (const auto& other : seen) {
      require(tensor.data.empty() || other.data() + other.size() <= tensor.data.data() ||
              tensor.data.data() + tensor.data.size() <= other.data());
    }
    if (!tensor.data.empty() && seen.size() < 64) seen.push_back(tensor.data);
  }
}

void read(std::span<const std::byte> bytes) {
  std::optional<sbora::gguf_file> file;
  try {
    file = sbora::gguf_file::from_memory(bytes);
  } catch (const sbora::format_error&) {
    return;
  }
  check_metadata(*file);
  check_tensors(*file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> input = std::as_bytes(std::span(data, size));
  read(input);
  // With a right beginning, as many keys and tensors as the first two bytes say, and bytes for tensors behind.
  if (size < 4) return 0;
  const std::uint64_t tensors = data[0] % 8, keys = data[1] % 8;
  const std::uint32_t version = 3;
  std::vector<std::byte> bytes(24 + size - 4 + 32 * std::size_t{data[2]});
  std::memcpy(bytes.data(), "GGUF", 4);
  std::memcpy(bytes.data() + 4, &version, 4);
  std::memcpy(bytes.data() + 8, &tensors, 8);
  std::memcpy(bytes.data() + 16, &keys, 8);
  std::memcpy(bytes.data() + 24, data + 4, size - 4);
  read(bytes);
  return 0;
}
