# sbora_add_test(NAME SOURCE...): executable sbora_NAME_tests.
# sbora_register_test(NAME SUFFIX [VARIABLE=VALUE]): one ctest entry per source file, under that environment.
# sbora_register_file(NAME STEM SUFFIX LABELS [VARIABLE=VALUE]): one for one of the files.
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
  get_target_property(sources sbora_${name}_tests_objects TEST_SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM stem)
    set(labels unit ${name})
    if(NOT name IN_LIST sbora_rooms_of_files AND NOT name STREQUAL "kernels")
      list(APPEND labels computing)
    endif()
    sbora_register_file(${name} ${stem} "${suffix}" "${labels}" ${ARGN})
  endforeach()
endfunction()

# One file of tests, under an environment.
function(sbora_register_file name stem suffix labels)
  # -# tags every test case with the file it is in.
  add_test(NAME ${name}/${stem}${suffix} COMMAND sbora_${name}_tests -\# "[#${stem}]" ${sbora_catch_options})
  set_tests_properties(${name}/${stem}${suffix} PROPERTIES
    LABELS "${labels}" ENVIRONMENT "${ARGN}" SKIP_RETURN_CODE 77 TIMEOUT 900)
endfunction()

# Catch2 and Eigen parsed once instead of once per file: a third of the time to build all tests. JSON and sbora's files
# too where files are read and written: another 2 s of each unit.
function(sbora_add_test_headers name)
  add_library(sbora_${name} OBJECT support/precompiled.cpp)
  target_link_libraries(sbora_${name} PRIVATE sbora_test_main sbora_dev_flags nlohmann_json::nlohmann_json)
  target_precompile_headers(sbora_${name} PRIVATE support/catch.hpp ${ARGN})
endfunction()
sbora_add_test_headers(test_headers <Eigen/Core>)
sbora_add_test_headers(file_test_headers <Eigen/Core> <nlohmann/json.hpp> <sbora/io.hpp>)
set(sbora_rooms_of_files model io llama)

sbora_add_label(computing)  # what kernels are used in, to be tested once more at another level

# sbora_combine(RESULT NAME SOURCE...): units NAME_N.cpp that include several sources each. Most of a unit's time goes
# into what all of them parse and instantiate: six together take half as long. Each is in a namespace of its own, after
# everything that any of them includes. One that can't be inside stays a unit: macros, a replaced operator new.
function(sbora_combine result name)
  set(units "")
  set(includes "")
  set(parts "")
  set(size 0)
  set(number 0)
  foreach(source IN LISTS ARGN ITEMS end)
    set(directives "")
    if(NOT source STREQUAL "end")
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
      file(STRINGS "${source}" others REGEX "^#|operator new\\(")
      list(FILTER others EXCLUDE REGEX "^#include")
      if(others)
        list(APPEND units "${source}")
        continue()
      endif()
      file(STRINGS "${source}" directives REGEX "^#include")
      file(SIZE "${source}" more)
      math(EXPR size "${size} + ${more}")
    endif()
    if(parts AND (source STREQUAL "end" OR size GREATER 60000))
      list(REMOVE_DUPLICATES includes)
      list(JOIN includes "\n" lines)
      set(unit "${CMAKE_CURRENT_BINARY_DIR}/units/${name}_${number}.cpp")
      file(CONFIGURE OUTPUT "${unit}" CONTENT "${lines}\n${parts}" @ONLY)
      list(APPEND units "${unit}")
      math(EXPR number "${number} + 1")
      set(includes "")
      set(parts "")
      set(size "${more}")
    endif()
    if(NOT source STREQUAL "end")
      cmake_path(GET source PARENT_PATH folder)
      foreach(directive IN LISTS directives)  # a header beside the source has its whole path
        string(REGEX REPLACE "^.*[\"<](.*)[\">].*$" "\\1" header "${directive}")
        if(directive MATCHES "\"" AND EXISTS "${folder}/${header}")
          set(directive "#include \"${folder}/${header}\"")
        endif()
        list(APPEND includes "${directive}")
      endforeach()
      cmake_path(GET source STEM stem)
      string(APPEND parts "namespace in_${stem} {\n#include \"${source}\"\n}\n")
    endif()
  endforeach()
  set(${result} "${units}" PARENT_SCOPE)
endfunction()

function(sbora_add_test name)
  sbora_combine(units ${name} ${ARGN})
  add_library(sbora_${name}_tests_objects OBJECT ${units})
  set_target_properties(sbora_${name}_tests_objects PROPERTIES TEST_SOURCES "${ARGN}")
  target_link_libraries(sbora_${name}_tests_objects PUBLIC sbora_test_main PRIVATE sbora_dev_flags)
  set(test_headers test_headers)
  if(name IN_LIST sbora_rooms_of_files)
    set(test_headers file_test_headers)
  endif()
  target_precompile_headers(sbora_${name}_tests_objects REUSE_FROM sbora_${test_headers})
  # An empty source list: the objects are shared with other executables, see the static kernel tests.
  add_executable(sbora_${name}_tests)
  target_link_libraries(sbora_${name}_tests PRIVATE sbora_${name}_tests_objects sbora_test_main)
  sbora_add_label(${name} sbora_${name}_tests)
  add_dependencies(tests_unit sbora_${name}_tests)
  if(NOT name IN_LIST sbora_rooms_of_files AND NOT name STREQUAL "kernels")
    add_dependencies(tests_computing sbora_${name}_tests)
  endif()
endfunction()
