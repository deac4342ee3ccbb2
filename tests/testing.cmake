# sbora_add_test(NAME SOURCE...): executable sbora_NAME_tests; one ctest entry per source file.
# sbora_register_test(NAME SUFFIX [VARIABLE=VALUE]): the entries once more, under another environment.
# sbora_add_label(LABEL [TARGET...]): tests_LABEL builds the targets, and is part of `all`.

function(sbora_add_label label)
  add_custom_target(tests_${label} ALL)
  if(ARGN)
    add_dependencies(tests_${label} ${ARGN})
  endif()
endfunction()

# Debian 12 has Catch2 2.13 without a main of its own; 3.x is a compiled library. support/ covers both.
if(Catch2_VERSION VERSION_LESS 3)
  set(sbora_catch_options --warn NoTests)
endif()
add_library(sbora_test_main OBJECT support/main.cpp support/level_check.cpp)
set_source_files_properties(support/main.cpp PROPERTIES COMPILE_OPTIONS -O0)
target_include_directories(sbora_test_main PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}")
target_link_libraries(sbora_test_main PUBLIC sbora::kernels Catch2::Catch2 Threads::Threads)

sbora_add_label(unit)

function(sbora_register_test name suffix)
  get_target_property(sources sbora_${name}_tests_objects SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM stem)
    set(test ${name}/${stem}${suffix})
    # -# tags every test case with the file it is in.
    add_test(NAME ${test} COMMAND sbora_${name}_tests -\# "[#${stem}]" ${sbora_catch_options})
    set_tests_properties(${test} PROPERTIES
      LABELS "unit;${name}" ENVIRONMENT "${ARGN}" SKIP_RETURN_CODE 77 TIMEOUT 900)
  endforeach()
endfunction()

# Catch2 and Eigen parsed once instead of once per file: a third of the time to build all tests.
add_library(sbora_test_headers OBJECT support/precompiled.cpp)
target_link_libraries(sbora_test_headers PRIVATE sbora_test_main sbora_dev_flags)
target_precompile_headers(sbora_test_headers PRIVATE support/catch.hpp <Eigen/Core>)

function(sbora_add_test name)
  add_library(sbora_${name}_tests_objects OBJECT ${ARGN})
  target_link_libraries(sbora_${name}_tests_objects PUBLIC sbora_test_main PRIVATE sbora_dev_flags)
  target_precompile_headers(sbora_${name}_tests_objects REUSE_FROM sbora_test_headers)
  # An empty source list: the objects are shared with other executables, see the static kernel tests.
  add_executable(sbora_${name}_tests)
  target_link_libraries(sbora_${name}_tests PRIVATE sbora_${name}_tests_objects sbora_test_main)
  sbora_add_label(${name} sbora_${name}_tests)
  add_dependencies(tests_unit sbora_${name}_tests)
  sbora_register_test(${name} "")
endfunction()
