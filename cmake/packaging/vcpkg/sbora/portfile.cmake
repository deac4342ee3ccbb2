# An overlay port of this checkout: vcpkg install sbora --overlay-ports=cmake/packaging/vcpkg
cmake_path(SET checkout NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../../../..")
set(VCPKG_BUILD_TYPE release)  # headers, and a source that users' targets compile
vcpkg_cmake_configure(SOURCE_PATH "${checkout}")
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/sbora)
vcpkg_fixup_pkgconfig()
vcpkg_install_copyright(FILE_LIST "${checkout}/LICENSE")
