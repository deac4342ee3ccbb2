#!/bin/sh
# run.sh WAY SOURCE SCRATCH CMAKE GENERATOR COMPILER: builds and runs project/ in Release as a user who
# gets sbora by WAY: find_package, add_subdirectory, fetch_content, pkg_config. eigen_versions configures
# only.
set -eu
way=$1 source=$2 scratch=$3 cmake=$4
export CMAKE_GENERATOR="$5" CXX="$6"
project=$source/tests/consumer/project
# Neither an installed sbora nor flags of the caller's environment may help.
unset CXXFLAGS CMAKE_PREFIX_PATH sbora_DIR || true

rm -rf "$scratch"
mkdir -p "$scratch"

# Installs, then moves: an installed tree must not know where it was.
install_sbora() {
    "$cmake" -S "$source" -B "$scratch/sbora" -DSBORA_BUILD_TESTS=OFF >/dev/null
    "$cmake" --install "$scratch/sbora" --prefix "$scratch/first" >/dev/null
    mv "$scratch/first" "$scratch/prefix"
    rm -rf "$scratch/sbora"
}

build_consumer() {
    "$cmake" -S "$project" -B "$scratch/build" -DWAY="$way" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF "$@" >/dev/null
    "$cmake" --build "$scratch/build"
    "$scratch/build/consumer"
    "$scratch/build/consumer_io"
    # The user's warning flags are not for our headers.
    grep -q -e '-isystem [^ ]*/include' "$scratch/build/compile_commands.json"
    if grep -E 'command.*(-march|-mavx|-DSBORA|-DEIGEN)' "$scratch/build/compile_commands.json"; then
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
    "$cmake" -S "$source" -B "$scratch/build$1" -DSBORA_BUILD_TESTS=OFF \
        -DEigen3_DIR="$scratch/eigen$1" 2>&1
}

case $way in
find_package)
    install_sbora
    build_consumer -DCMAKE_PREFIX_PATH="$scratch/prefix"
    ;;
add_subdirectory | fetch_content)
    build_consumer -DSBORA_SOURCE="$source" -DFETCHCONTENT_FULLY_DISCONNECTED=ON
    ;;
pkg_config)
    install_sbora
    export PKG_CONFIG_PATH="$scratch/prefix/share/pkgconfig"
    pkg-config --print-errors --exists "sbora >= 0.1"
    # shellcheck disable=SC2046
    $CXX -std=c++20 -O2 -DNDEBUG $(pkg-config --cflags sbora) "$project/main.cpp" -o "$scratch/consumer" \
        $(pkg-config --libs sbora)
    "$scratch/consumer"
    pkg-config --print-errors --exists "sbora-io >= 0.1"
    # shellcheck disable=SC2046
    $CXX -std=c++20 -O2 -DNDEBUG $(pkg-config --cflags sbora-io) "$project/io.cpp" -o "$scratch/consumer_io" \
        $(pkg-config --libs sbora-io)
    "$scratch/consumer_io"
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
*)
    echo "run.sh: no way $way" >&2
    exit 2
    ;;
esac
