// Any bytes as a safetensors file, and any text as the header of one: refused by a format_error, or read
// within its bytes and written again as the same tensors.

#include <cstdlib>
#include <optional>

#include <sbora/io/instances.hpp>
#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

/// Every byte of the data belongs to one tensor, and reading them all reads nothing else.
void check_tensors(const sbora::safetensors_file& file, std::span<const std::byte> bytes) {
  const std::byte* end = bytes.data() + bytes.size();
  unsigned sum = 0;
  for (std::size_t i = file.tensors().size(); i-- > 0;) {
    const sbora::tensor_view& tensor = file.tensors()[i];
    require(tensor.data.data() + tensor.data.size() == end);
    end = tensor.data.data();
    require(tensor.elements() * sbora::bits_of(tensor.type) == static_cast<sbora::index_t>(8 * tensor.data.size()));
    require(file.find(tensor.name) == &tensor);
    for (const std::byte byte : tensor.data) sum += static_cast<unsigned>(byte);
    if (tensor.type == sbora::dtype::f32) require(tensor.copy<float>().size() == tensor.data.size() / 4);
  }
  static volatile unsigned sink = 0;
  sink = sum;
}

void check_written_again(const sbora::safetensors_file& file) {
  std::string text = sbora::safetensors_header(file.tensors(), file.metadata());
  for (const sbora::tensor_view& tensor : file.tensors()) text.append(tensor.data.size(), '\0');
  const auto again = sbora::safetensors_file::from_memory(std::as_bytes(std::span(text)));
  require(again.metadata() == file.metadata());
  require(again.tensors().size() == file.tensors().size());
  for (const sbora::tensor_view& tensor : file.tensors()) {
    require(again.at(tensor.name).type == tensor.type);
    require(again.at(tensor.name).shape == tensor.shape);
  }
}

void read(std::span<const std::byte> bytes) {
  std::optional<sbora::safetensors_file> file;
  try {
    file = sbora::safetensors_file::from_memory(bytes);
  } catch (const sbora::format_error&) {
    return;
  }
  check_tensors(*file, bytes);
  check_written_again(*file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> input = std::as_bytes(std::span(data, size));
  read(input);
  // Mutations seldom keep a length right: two bytes for the size of the data, the rest is the header.
  if (size < 2) return 0;
  const std::uint64_t length = size - 2;
  std::vector<std::byte> bytes(sizeof length + length + data[0] + 256 * (data[1] % 16U));
  std::memcpy(bytes.data(), &length, sizeof length);
  if (length > 0) std::memcpy(bytes.data() + sizeof length, data + 2, length);
  read(bytes);
  return 0;
}
