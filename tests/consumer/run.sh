#!/bin/sh
# run.sh WAY SOURCE SCRATCH CMAKE GENERATOR COMPILER [FLAG...]: builds and runs project/, unoptimised, as a user who
# gets sbora by WAY: find_package, add_subdirectory, fetch_content, pkg_config. eigen_versions configures
# only. single_include is one header; libcxx the newest clang with its own standard library. eigen_only, no_json,
# language, no_instances and no_io_instances try what a machine or a user may lack; no_eigen and no_json_in_io, what a
# user needn't pay for; intrinsics, that the processor's header stays whole. FLAG: how the compiler finds the headers of
# sbora and Eigen.
set -eu
way=$1 source=$2 scratch=$3 cmake=$4
export CMAKE_GENERATOR="$5" CXX="$6"
project=$source/tests/consumer/project
shift 6
# Neither an installed sbora nor flags of the caller's environment may help.
unset CXXFLAGS CMAKE_PREFIX_PATH sbora_DIR || true

rm -rf "$scratch"
mkdir -p "$scratch"

# Installs, then moves: an installed tree must not know where it was.
install_sbora() {
    "$cmake" -S "$source" -B "$scratch/sbora" "$@" >/dev/null
    "$cmake" --install "$scratch/sbora" --prefix "$scratch/first" >/dev/null
    mv "$scratch/first" "$scratch/prefix"
    rm -rf "$scratch/sbora"
}

# expect TEXT FILE: a line of FILE has TEXT.
expect() {
    grep -q -F -e "$1" "$2" || { cat "$2"; echo "nothing above says: $1"; exit 1; }
}

build_consumer() {
    # io's unit takes the longest: from the package alone, since these tests have it from the source.
    case $way in find_package) io=ON ;; *) io=OFF ;; esac
    "$cmake" -S "$project" -B "$scratch/build" -DWAY="$way" -DIO=$io -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_CXX_FLAGS_RELEASE="-O0 -DNDEBUG" -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF "$@" >/dev/null
    "$cmake" --build "$scratch/build"
    "$scratch/build/consumer"
    [ $io = OFF ] || "$scratch/build/consumer_io"
    # The user's warning flags are not for our headers.
    grep -q -e '-isystem [^ ]*/include' "$scratch/build/compile_commands.json"
    # Of the user's units; what our own libraries are compiled with is our matter.
    if grep -E "command.*(-march|-mavx|-DSBORA|-DEIGEN).* -c $project/" "$scratch/build/compile_commands.json"; then
        echo "flags leaked into the compile command above"
        exit 1
    fi
}

# configure_with_eigen VERSION: sbora against an Eigen that says it is VERSION, by Eigen's own rule.
configure_with_eigen() {
    mkdir -p "$scratch/eigen$1"
    echo 'add_library(Eigen3::Eigen INTERFACE IMPORTED)' >"$scratch/eigen$1/Eigen3Config.cmake"
    printf '%s\n' "set(PACKAGE_VERSION $1)" \
        'if(PACKAGE_FIND_VERSION_MAJOR STREQUAL "" OR PACKAGE_VERSION MATCHES "^${PACKAGE_FIND_VERSION_MAJOR}[.]")' \
        '  set(PACKAGE_VERSION_COMPATIBLE TRUE)' 'endif()' >"$scratch/eigen$1/Eigen3ConfigVersion.cmake"
    "$cmake" -S "$source" -B "$scratch/build$1" \
        -DEigen3_DIR="$scratch/eigen$1" 2>&1
}

case $way in
find_package)
    install_sbora
    build_consumer -DCMAKE_PREFIX_PATH="$scratch/prefix"
    ;;
kernels)
    # At -O2 in a Debug build too, which is else twenty times as slow.
    "$cmake" -S "$source" -B "$scratch/debug" -DSBORA_BUILD_KERNELS=ON -DCMAKE_BUILD_TYPE=Debug \
        -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
    if grep '"command".*/kernels/instances' "$scratch/debug/compile_commands.json" | grep -v -e ' -O2 '; then
        echo "a command above compiles kernels without -O2"
        exit 1
    fi
    expect '/kernels/instances_f32.cpp' "$scratch/debug/compile_commands.json"
    # The library of kernels, asked for and not: found, linked by a program of other flags than its own.
    "$cmake" -S "$source" -B "$scratch/sbora" -DSBORA_BUILD_KERNELS=ON -DSBORA_BUILD_C=ON \
        -DSBORA_KERNELS_OPTIONS=-O0 >/dev/null
    "$cmake" --build "$scratch/sbora" >/dev/null
    "$cmake" --install "$scratch/sbora" --prefix "$scratch/first" >/dev/null
    mv "$scratch/first" "$scratch/prefix"
    rm -rf "$scratch/sbora"
    "$cmake" -S "$project" -B "$scratch/build" -DWAY=kernels -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_CXX_FLAGS_RELEASE="-O0 -DNDEBUG" -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF -DCMAKE_PREFIX_PATH="$scratch/prefix" >/dev/null
    "$cmake" --build "$scratch/build"
    "$scratch/build/consumer"
    "$scratch/build/consumer_c"
    for component in Kernels C; do
        find "$scratch/prefix" -name "sbora${component}Targets*.cmake" -delete
        if "$cmake" -S "$project" -B "$scratch/build" >"$scratch/log" 2>&1; then echo "found $component"; exit 1; fi
        tr -s ' \n' ' ' <"$scratch/log" >"$scratch/message" # CMake breaks lines
        expect "configure sbora with -DSBORA_BUILD_$(echo "$component" | tr '[:lower:]' '[:upper:]')=ON" "$scratch/message"
    done
    ;;
add_subdirectory | fetch_content)
    build_consumer -DSBORA_SOURCE="$source" -DFETCHCONTENT_FULLY_DISCONNECTED=ON
    ;;
pkg_config)
    install_sbora
    export PKG_CONFIG_PATH="$scratch/prefix/share/pkgconfig"
    pkg-config --print-errors --exists "sbora >= 0.1"
    expect 'compile with -std=c++20' "$scratch/prefix/share/pkgconfig/sbora.pc"
    # shellcheck disable=SC2046
    $CXX -std=c++20 -O0 -DNDEBUG $(pkg-config --cflags sbora) "$project/main.cpp" -o "$scratch/consumer" \
        $(pkg-config --libs sbora)
    "$scratch/consumer"
    pkg-config --print-errors --exists "sbora-io >= 0.1"
    # shellcheck disable=SC2046
    $CXX -std=c++20 -O0 -DNDEBUG $(pkg-config --cflags sbora-io) -c "$project/io.cpp" -o "$scratch/consumer_io.o"
    # find_package compiles and runs it, which takes a minute.
    # shellcheck disable=SC2046
    $CXX -std=c++20 $(pkg-config --cflags sbora-io) -E "$scratch/prefix/share/sbora/sbora_io.cpp" >/dev/null
    pkg-config --libs sbora-io >/dev/null
    ;;
eigen_versions)
    configure_with_eigen 3.4.0
    configure_with_eigen 5.0.1
    if output=$(configure_with_eigen 3.3.9); then
        echo "Eigen 3.3.9 was accepted"
        exit 1
    fi
    printf '%s\n' "$output" | grep -q 'needs Eigen 3.4 or later, found 3.3.9'
    ;;
eigen_only)
    # The two commands that README gives, where nothing but Eigen is installed.
    install_sbora -DCMAKE_DISABLE_FIND_PACKAGE_Catch2=ON -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON \
        -DCMAKE_DISABLE_FIND_PACKAGE_Threads=ON -DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON
    build_consumer -DWAY=find_package -DCMAKE_PREFIX_PATH="$scratch/prefix"
    ;;
no_json)
    # configure_with TARGET [LINE]: a project that links TARGET, where no nlohmann_json is installed.
    configure_with() {
        mkdir -p "$scratch/project"
        printf '%s\n' 'cmake_minimum_required(VERSION 3.24)' 'project(user LANGUAGES CXX)' \
            "add_subdirectory(\"$source\" sbora)" "${2:-}" \
            "add_executable(user \"$project/main.cpp\")" "target_link_libraries(user PRIVATE $1)" \
            >"$scratch/project/CMakeLists.txt"
        rm -rf "$scratch/build"
        "$cmake" -S "$scratch/project" -B "$scratch/build" -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON \
            >"$scratch/log" 2>&1
    }
    configure_with sbora::sbora || { cat "$scratch/log"; exit 1; }
    if configure_with sbora::io; then echo "sbora::io without nlohmann_json was accepted"; exit 1; fi
    tr -s ' \n' ' ' <"$scratch/log" >"$scratch/message" # CMake breaks lines
    expect 'sbora::io needs nlohmann_json 3.11 or later: install nlohmann-json3-dev' "$scratch/message"
    # Brought after sbora.
    configure_with sbora::io 'add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED GLOBAL)' ||
        { cat "$scratch/log"; exit 1; }
    ;;
language)
    # rejected MESSAGE FLAG...: every header says MESSAGE, and little besides.
    rejected() {
        message=$1
        shift
        find "$source/include/sbora" -name '*.hpp' | LC_ALL=C sort | while read -r header; do
            case $header in
            */version.hpp | */compiler.hpp | */executors/openmp.hpp | */plugs/torch*.hpp) continue ;;
            esac
            echo "#include \"$header\"" >"$scratch/unit.cpp"
            if "$CXX" "$@" -E "$scratch/unit.cpp" >/dev/null 2>"$scratch/log"; then
                echo "$header: accepted with $*"
                exit 1
            fi
            expect "$message" "$scratch/log"
        done
        for header in sbora quantized io executors/thread_pool; do
            echo "#include <sbora/$header.hpp>" >"$scratch/unit.cpp"
            if "$CXX" "$@" -fsyntax-only "$scratch/unit.cpp" 2>"$scratch/log"; then exit 1; fi
            expect "$message" "$scratch/log"
            if [ "$(grep -c 'error: ' "$scratch/log")" -gt 2 ] || [ "$(wc -l <"$scratch/log")" -gt 20 ]; then
                cat "$scratch/log"
                echo "$header: more than the cause"
                exit 1
            fi
        done
    }
    rejected 'sbora needs C++20: compile with -std=c++20' "$@" -std=c++17
    rejected 'sbora needs exceptions, by which it reports all errors: compile without -fno-exceptions' \
        "$@" -std=c++20 -fno-exceptions
    ;;
no_io_instances)
    printf '%s\n' '#include <sbora/io.hpp>' 'int main() {' \
        '  const auto model = sbora::checkpoint::open("m");' \
        '  auto loaded = sbora::load_adapter("a", sbora::checkpoint_weights(model).modules());' \
        '  sbora::save_sbora(loaded.adapter, "b");' '  sbora::merge_in_place("m", {});' '}' >"$scratch/main.cpp"
    "$CXX" -std=c++20 -O0 -DNDEBUG "$@" -c "$scratch/main.cpp" -o "$scratch/main.o"
    if "$CXX" "$scratch/main.o" -o "$scratch/program" 2>"$scratch/log"; then
        echo "linked without io's functions"
        exit 1
    fi
    if grep 'undefined reference to' "$scratch/log" | grep -v include_sbora_io_instances_hpp_in_one_unit; then
        echo "what is missing above doesn't say where it is"
        exit 1
    fi
    expect include_sbora_io_instances_hpp_in_one_unit "$scratch/log"
    ;;
no_json_in_io)
    # What a user's unit of files pays for: declarations.
    echo '#include <sbora/io.hpp>' >"$scratch/unit.cpp"
    "$CXX" -std=c++20 "$@" -M "$scratch/unit.cpp" | tr -s ' \134' '\n' >"$scratch/headers"
    expect 'sbora/io.hpp' "$scratch/headers"
    if grep -E 'nlohmann|/(regex|iostream)$|\.inl$' "$scratch/headers" | grep -v sbora/kernels; then
        echo "<sbora/io.hpp> includes what only its instances need"
        exit 1
    fi
    ;;
intrinsics)
    # sbora may have included a part of them; what it doesn't use must be there for the user, in either order.
    cat >"$scratch/own.cpp" <<'END'
__attribute__((target("aes"))) __m128i own(__m128i a, __m128i b) { return _mm_aesenc_si128(a, b); }
__attribute__((target("sha"))) __m128i own(__m128i a) { return _mm_sha1msg1_epu32(a, a); }
__attribute__((target("avx512vbmi2"))) __m512i own(__m512i a) { return _mm512_shldi_epi32(a, a, 3); }
END
    for headers in 'sbora/sbora.hpp immintrin.h' 'immintrin.h sbora/sbora.hpp'; do
        # shellcheck disable=SC2086
        printf '#include <%s>\n' $headers | cat - "$scratch/own.cpp" >"$scratch/unit.cpp"
        "$CXX" -std=c++20 -fsyntax-only "$@" "$scratch/unit.cpp"
    done
    ;;
no_eigen)
    # Units without Eigen's matrices, of bindings to other frameworks, don't even need its headers.
    "$CXX" -std=c++20 -O0 -DNDEBUG -I "$source/include" "$project/main.cpp" -o "$scratch/program"
    "$scratch/program"
    # And those that train.
    "$CXX" -std=c++20 -fsyntax-only -DSBORA_SEPARATE_KERNELS -I "$source/include" "$source/cmake/sbora_c.cpp"
    ;;
single_include)
    # README's program from one header and Eigen; then all headers for users, with io's definitions.
    awk -v "to=$scratch/README_" -f "$source/tests/readme/extract.awk" "$source/README.md"
    mkdir -p "$scratch/include/sbora"
    sh "$source/cmake/packaging/single_include.sh" >"$scratch/include/sbora/sbora.hpp"
    "$CXX" -std=c++20 -O0 -DNDEBUG -I "$scratch/include" "$@" -MD -MF "$scratch/headers" "$scratch/README_1.cpp" \
        -o "$scratch/program"
    if grep -F "$source/include" "$scratch/headers"; then echo "the one header isn't alone"; exit 1; fi
    (cd "$scratch" && ./program)
    sh "$source/cmake/packaging/single_include.sh" sbora/sbora.hpp sbora/quantized.hpp sbora/io.hpp \
        sbora/io/instances.hpp sbora/executors/thread_pool.hpp >"$scratch/include/all.cpp"
    "$CXX" -std=c++20 -fsyntax-only -w -DSBORA_SEPARATE_KERNELS "$@" -MD -MF "$scratch/headers" "$scratch/include/all.cpp"
    if grep -F "$source/include" "$scratch/headers"; then echo "the one header isn't alone"; exit 1; fi
    ;;
libcxx)
    # Statically, for another version's shared library may be installed beside it.
    "$CXX" -std=c++20 -stdlib=libc++ -static-libstdc++ -O0 -DNDEBUG -Wall -Wextra -Werror "$@" "$project/main.cpp" \
        -lc++abi -o "$scratch/program"
    "$scratch/program"
    "$CXX" -std=c++20 -stdlib=libc++ -fsyntax-only -Wall -Wextra -Werror "$@" "$source/cmake/sbora_io.cpp"
    ;;
no_instances)
    "$CXX" -std=c++20 -O0 -DNDEBUG -DSBORA_SEPARATE_KERNELS "$@" -c "$project/main.cpp" -o "$scratch/main.o"
    if "$CXX" "$scratch/main.o" -o "$scratch/program" 2>"$scratch/log"; then
        echo "linked without kernels"
        exit 1
    fi
    hint=link_sbora_kernels_or_include_sbora_kernels_instances_hpp_in_one_unit
    if grep 'undefined reference to' "$scratch/log" | grep -v "$hint"; then
        echo "what is missing above doesn't say where it is"
        exit 1
    fi
    expect "$hint" "$scratch/log"
    # A unit that has been told too late.
    printf '%s\n' '#include <sbora/sbora.hpp>' '#include <sbora/kernels/instances.hpp>' >"$scratch/late.cpp"
    if "$CXX" -std=c++20 "$@" -fsyntax-only "$scratch/late.cpp" 2>"$scratch/log"; then exit 1; fi
    expect 'define SBORA_SEPARATE_KERNELS for this unit too' "$scratch/log"
    ;;
*)
    echo "run.sh: no way $way" >&2
    exit 2
    ;;
esac
