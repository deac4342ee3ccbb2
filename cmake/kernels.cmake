# sbora::kernels: the kernels compiled once, instead of in every unit that uses them. Who links it gets
# SBORA_SEPARATE_KERNELS. A file for each storage, so that they build side by side and a program takes what it uses.
# Built where something links it, or with SBORA_BUILD_KERNELS, which also installs it.
option(SBORA_BUILD_KERNELS "Build and install the library sbora::kernels" OFF)
set(SBORA_KERNELS_OPTIONS "-O2" CACHE STRING "How sbora::kernels is compiled, whatever the build type")
mark_as_advanced(SBORA_KERNELS_OPTIONS)

set(kernel_sources "")
file(GLOB instances CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/include"
  "${PROJECT_SOURCE_DIR}/include/sbora/kernels/instances_*.hpp")
foreach(header IN LISTS instances)
  cmake_path(GET header STEM name)
  file(CONFIGURE OUTPUT "kernels/${name}.cpp" CONTENT "#include <${header}>\n")
  list(APPEND kernel_sources "${PROJECT_BINARY_DIR}/kernels/${name}.cpp")
endforeach()

add_library(sbora_kernels STATIC ${kernel_sources})
if(NOT SBORA_BUILD_KERNELS)
  set_target_properties(sbora_kernels PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
add_library(sbora::kernels ALIAS sbora_kernels)
set_target_properties(sbora_kernels PROPERTIES
  EXPORT_NAME kernels POSITION_INDEPENDENT_CODE ON DISABLE_PRECOMPILE_HEADERS ON)
target_compile_definitions(sbora_kernels INTERFACE SBORA_SEPARATE_KERNELS)
# A Debug build's -O0 would make products twenty times as slow.
separate_arguments(kernel_options NATIVE_COMMAND "${SBORA_KERNELS_OPTIONS}")
target_compile_options(sbora_kernels PRIVATE "$<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:${kernel_options}>")
target_link_libraries(sbora_kernels PUBLIC sbora::sbora)
