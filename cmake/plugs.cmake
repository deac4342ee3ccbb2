# Plugs to other systems, see include/sbora/plugs/.

# sbora::c: what plugs/c.h declares, as a library for other languages. Built where something links it, or with
# SBORA_BUILD_C, which also installs it.
option(SBORA_BUILD_C "Build and install the library sbora::c" OFF)
add_library(sbora_c SHARED "${PROJECT_SOURCE_DIR}/cmake/sbora_c.cpp")
if(NOT SBORA_BUILD_C)
  set_target_properties(sbora_c PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
add_library(sbora::c ALIAS sbora_c)
# Nothing but the functions of c.h is seen from outside: a process may have other copies of sbora.
set_target_properties(sbora_c PROPERTIES
  EXPORT_NAME c VERSION "${PROJECT_VERSION}" SOVERSION "${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}"
  CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON DISABLE_PRECOMPILE_HEADERS ON)
target_link_libraries(sbora_c PRIVATE sbora_kernels)
set(has_pthread "$<CXX_COMPILER_ID:GNU,Clang,AppleClang>")
target_compile_options(sbora_c PRIVATE "$<${has_pthread}:-pthread>")
target_link_options(sbora_c PRIVATE "$<${has_pthread}:-pthread>")
target_include_directories(sbora_c INTERFACE
  "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:include>")
target_link_options(sbora_c PRIVATE "$<$<PLATFORM_ID:Linux>:LINKER:--exclude-libs,ALL>")

# sbora::torch: plugs/torch.hpp for who has found PyTorch (find_package(Torch), before sbora or as the package's
# component), with the OpenMP that PyTorch's threads are.
set(no_torch "sbora::torch needs PyTorch's C++ library: find_package(Torch) before sbora with CMAKE_PREFIX_PATH as torch.utils.cmake_prefix_path says")
add_library(sbora_torch INTERFACE)
add_library(sbora::torch ALIAS sbora_torch)
set_target_properties(sbora_torch PROPERTIES EXPORT_NAME torch)
target_link_libraries(sbora_torch INTERFACE
  sbora "$<IF:$<TARGET_EXISTS:torch>,torch,${no_torch}>" $<TARGET_NAME_IF_EXISTS:OpenMP::OpenMP_CXX>)
