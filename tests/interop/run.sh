#!/bin/sh
# sbora beside the Python packages whose files it reads and writes. `sh tests/interop/run.sh --help`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/cmake/scripts/common.sh"

names() { find "$here" -maxdepth 1 -name 'test_*.py' | sed 's/.*test_\(.*\)\.py$/\1/' | sort; }

usage() {
    cat <<END
usage: sh tests/interop/run.sh [--no-install] [NAME...]

Compares sbora with bitsandbytes, safetensors, PEFT and transformers on the CPU: all tests, or those of the
NAMEs: $(names | tr '\n' ' ')

  --no-install   never call apt-get; also SBORA_NO_INSTALL=1

Makes a virtual environment with the packages of requirements.txt, in versions that the tests know, and builds
a small program over sbora, both in build/interop or \$SBORA_BUILD_DIR. No model hub is asked for anything. The
last line is "N passed, M failed"; exit status 1 if anything failed, 2 if the tests could not be run.
END
}

chosen=
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --no-install) SBORA_NO_INSTALL=1 ;;
    -*) usage >&2; die "unknown option $1" ;;
    *)
        names | grep -qx -e "$1" || { usage >&2; die "no tests named $1"; }
        chosen="$chosen test_$1.py"
        ;;
    esac
    shift
done

need_packages g++ cmake ninja-build libeigen3-dev libfmt-dev nlohmann-json3-dev python3 python3-venv
build=${SBORA_BUILD_DIR:-$root/build/interop}
mkdir -p "$build"
python_environment "$build/venv" "$here/requirements.txt"

say "build in $build"
{
    cmake -S "$here" -B "$build" -G Ninja -DCMAKE_CXX_COMPILER="${CXX:-g++}" -DCMAKE_BUILD_TYPE=Debug \
        -DCMAKE_CXX_FLAGS_DEBUG=-O1 &&
        cmake --build "$build" -j "$(nproc)"
} >"$build/build.log" 2>&1 || {
    cat "$build/build.log"
    echo "0 passed, 1 failed"
    exit 1
}

say "run"
counts=$build/counts
rm -f "$counts"
export PYTHONDONTWRITEBYTECODE=1 SBORA_INTEROP="$build/sbora_interop" SBORA_INTEROP_COUNTS="$counts"
status=0
# Word splitting of $chosen is meant.
# shellcheck disable=SC2086
(cd "$here" && "$build/venv/bin/python" -m pytest -q -p no:cacheprovider --tb=short \
    --basetemp="$build/files" $chosen) || status=$?
[ -s "$counts" ] || echo "0 passed, 1 failed" >"$counts"
case $(cat "$counts") in
"0 passed"*) status=1 ;;
*", 0 failed") ;;
*) status=1 ;;
esac
cat "$counts"
[ $status = 0 ] || exit 1
