// expect: deleted
// A file owns its tensors.
#include <sbora/io.hpp>

void test() {
#if defined(SBORA_COMPILE_FAIL)
  const auto& tensor = sbora::safetensors_file::open("model.safetensors").at("w");
#else
  const sbora::safetensors_file model = sbora::safetensors_file::open("model.safetensors");
  const auto& tensor = model.at("w");
#endif
  static_cast<void>(tensor);
}
