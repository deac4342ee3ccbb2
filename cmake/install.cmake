include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# Headers only: share/, not lib/, and one package for every architecture.
set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/sbora")
set(pkgconfig_dir "${CMAKE_INSTALL_DATADIR}/pkgconfig")

# Compiled libraries, of the kernels and for other languages, are of one architecture.
set(kernels_dir "${CMAKE_INSTALL_LIBDIR}/cmake/sbora")

configure_package_config_file(cmake/sboraConfig.cmake.in sboraConfig.cmake
  INSTALL_DESTINATION "${package_dir}" PATH_VARS kernels_dir NO_SET_AND_CHECK_MACRO)
# 0.x: a minor release may change the API.
write_basic_package_version_file(sboraConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)

# Relative, so that an installed tree can be moved.
file(RELATIVE_PATH sbora_pc_to_include
  "${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
configure_file(cmake/sbora.pc.in sbora.pc @ONLY)
configure_file(cmake/sbora-io.pc.in sbora-io.pc @ONLY)

install(TARGETS sbora EXPORT sboraTargets FILE_SET HEADERS FILE_SET kernel_bodies)
install(EXPORT sboraTargets NAMESPACE sbora:: DESTINATION "${package_dir}")
# Installed, io's unit is compiled into each target that links sbora::io, with its flags.
install(FILES cmake/sbora_io.cpp DESTINATION "${CMAKE_INSTALL_DATADIR}/sbora")
add_library(sbora_io_package INTERFACE)
set_target_properties(sbora_io_package PROPERTIES EXPORT_NAME io)
target_sources(sbora_io_package INTERFACE "$<INSTALL_INTERFACE:$<INSTALL_PREFIX>/${CMAKE_INSTALL_DATADIR}/sbora/sbora_io.cpp>")
target_link_libraries(sbora_io_package INTERFACE sbora $<INSTALL_INTERFACE:nlohmann_json::nlohmann_json>)
install(TARGETS sbora_io_package EXPORT sboraIoTargets)
install(EXPORT sboraIoTargets NAMESPACE sbora:: DESTINATION "${package_dir}")
if(SBORA_BUILD_KERNELS)
  install(TARGETS sbora_kernels EXPORT sboraKernelsTargets)
  install(EXPORT sboraKernelsTargets NAMESPACE sbora:: DESTINATION "${kernels_dir}")
endif()
install(TARGETS sbora_torch EXPORT sboraTorchTargets)
install(EXPORT sboraTorchTargets NAMESPACE sbora:: DESTINATION "${package_dir}")
if(SBORA_BUILD_C)
  install(TARGETS sbora_c EXPORT sboraCTargets)
  install(EXPORT sboraCTargets NAMESPACE sbora:: DESTINATION "${kernels_dir}")
endif()
install(FILES "${PROJECT_BINARY_DIR}/sboraConfig.cmake" "${PROJECT_BINARY_DIR}/sboraConfigVersion.cmake"
  DESTINATION "${package_dir}")
install(FILES "${PROJECT_BINARY_DIR}/sbora.pc" "${PROJECT_BINARY_DIR}/sbora-io.pc" DESTINATION "${pkgconfig_dir}")
