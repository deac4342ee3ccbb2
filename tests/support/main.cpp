// main() of every Catch2 executable, and Catch2 2's implementation, which takes a minute at -O2 and is
// therefore compiled without. No sbora here: the linker could take an unoptimised kernel from this file.

#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER
#endif
#include "support/catch.hpp"
#include "support/level_check.hpp"

int main(int argc, char** argv) {
  const int status = check_level();
  return status != 0 ? status : Catch::Session().run(argc, argv);
}
