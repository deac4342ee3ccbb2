// A user of the C interface, who has no other header of sbora's.
#include <cstdio>

#include <sbora/plugs/c.h>

int main() {
  sbora_adapter* adapter = nullptr;
  if (sbora_adapter_new(sbora_fb, 8, 8, 2, 2, nullptr, 1, &adapter) != sbora_ok) return std::puts(sbora_last_error());
  const auto parameters = sbora_adapter_parameter_count(adapter);
  sbora_adapter_free(adapter);
  return parameters == 16 ? 0 : 1;
}
