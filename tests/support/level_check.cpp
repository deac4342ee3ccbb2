#include "support/level_check.hpp"

#include <cstdlib>
#include <iostream>
#include <string_view>

#include <sbora/kernels/dispatch.hpp>

int check_level() {
  const char* const forced = std::getenv("SBORA_FORCE_ISA");
  if (forced != nullptr && *forced != '\0' && !sbora::is_supported(sbora::isa_from_string(forced))) {
    std::cout << "skipped: this machine has no " << forced << '\n';
    return 77;
  }
  const std::string_view active = sbora::to_string(sbora::active_isa());
  std::cout << "kernels: " << active << '\n';
  if (forced != nullptr && *forced != '\0' && active != forced) {
    std::cout << "SBORA_FORCE_ISA=" << forced << " had no effect\n";
    return 1;
  }
  return 0;
}
