// main() of every Catch2 executable. Says which kernels ran, and exits 77, "skipped" to ctest, where
// SBORA_FORCE_ISA asks for a level that this machine lacks.

#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER
#endif
#include "support/catch.hpp"

#include <cstdlib>
#include <iostream>

#include <sbora/simd/cpu.hpp>

int main(int argc, char** argv) {
  if (const char* const forced = std::getenv("SBORA_FORCE_ISA")) {
    if (!sbora::is_supported(sbora::isa_from_string(forced))) {
      std::cout << "skipped: this machine has no " << forced << '\n';
      return 77;
    }
  }
  return Catch::Session().run(argc, argv);
}
