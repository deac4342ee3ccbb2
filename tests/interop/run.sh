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

Compares sbora with bitsandbytes, safetensors, PEFT and transformers on the CPU: all tests, or those of the NAMEs:
$(names | tr '\n' ' ')

  --no-install   never call apt-get; also SBORA_NO_INSTALL=1

Makes a virtual environment with the packages of requirements.txt, in versions that the tests know, in build/interop
or \$SBORA_BUILD_DIR. Builds a small program over sbora and the Python package of examples/python in build/tests or
\$SBORA_TESTS_BUILD_DIR, as tests/run.sh does. No model hub is asked for anything. The last line is "N passed, M
failed"; exit status 1 if anything failed, 2 if the tests could not be run.
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

need_packages python3 python3-dev python3-venv
build=${SBORA_BUILD_DIR:-$root/build/interop}
mkdir -p "$build"
python_environment "$build/venv" "$here/requirements.txt"

# In the build of the tests, which has all libraries that it links.
tests=${SBORA_TESTS_BUILD_DIR:-$root/build/tests}
SBORA_BUILD_DIR=$tests sh "$root/tests/run.sh" --python "$build/venv/bin/python" --target sbora_interop \
    >"$build/build.log" 2>&1 || {
    cat "$build/build.log"
    echo "0 passed, 1 failed"
    exit 1
}

say "run"
counts=$build/counts
rm -f "$counts"
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$tests/tests/interop/python" SBORA_INTEROP_CACHE="$build"
export SBORA_INTEROP="$tests/tests/interop/sbora_interop" SBORA_INTEROP_COUNTS="$counts"
status=0
# Word splitting of $chosen is meant.
# shellcheck disable=SC2086
(cd "$here" && "$build/venv/bin/python" -m pytest -q -p no:cacheprovider --tb=short \
    -n "$(nproc)" --dist worksteal --basetemp="$build/files" $chosen) || status=$?
[ -s "$counts" ] || echo "0 passed, 1 failed" >"$counts"
case $(cat "$counts") in
"0 passed"*) status=1 ;;
*", 0 failed") ;;
*) status=1 ;;
esac
cat "$counts"
[ $status = 0 ] || exit 1
