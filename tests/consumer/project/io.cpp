// A user's program that reads files, with the component io alone.
#include <cstdio>
#include <cstring>
#include <vector>

#include <sbora/io.hpp>

int main() {
  const char header[] = R"({"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})";
  const std::uint64_t size = sizeof header - 1;
  std::vector<std::byte> bytes(sizeof size + size + 8);
  std::memcpy(bytes.data(), &size, sizeof size);
  std::memcpy(bytes.data() + sizeof size, header, size);
  const auto file = sbora::safetensors_file::from_memory(bytes);
  std::printf("elements: %td\n", file.at("w").elements());
  return file.at("w").copy<float>() == std::vector<float>{0, 0} ? 0 : 1;
}
