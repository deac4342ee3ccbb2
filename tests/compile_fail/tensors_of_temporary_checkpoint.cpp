// expect: deleted
// What a checkpoint hands out lies in its mapping.
#include <sbora/io.hpp>

void test() {
#if defined(SBORA_COMPILE_FAIL)
  const auto tensors = sbora::checkpoint::open("model.safetensors").tensors();
#else
  const sbora::checkpoint model = sbora::checkpoint::open("model.safetensors");
  const auto tensors = model.tensors();
#endif
  static_cast<void>(tensors);
}
