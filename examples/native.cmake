# Include it after sbora was added: what follows in this folder and below is compiled for this machine's processor.
# sbora picks its kernels at run time; attention, element-wise loops and the examples' own Eigen products are as good as
# the compiler's flags, several times slower with the x86-64 baseline. Eigen's memory management differs between flags, so
# the unit of sbora::io has the same.
option(SBORA_EXAMPLES_NATIVE "Compile the examples for this machine's processor" ON)
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag(-march=native sbora_examples_has_march_native)
if(SBORA_EXAMPLES_NATIVE AND sbora_examples_has_march_native)
  add_compile_options(-march=native)
  target_compile_options(sbora_io_unit PRIVATE -march=native)
endif()
