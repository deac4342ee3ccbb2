#!/bin/sh
# Builds the Python package and fine-tunes a Hugging Face model with it. `sh examples/python/run.sh --help`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/cmake/scripts/common.sh"

usage() {
    cat <<'END'
usage: sh examples/python/run.sh [--build-only | OPTION...]

Makes a virtual environment with the packages of requirements.txt, builds the package sbora into it (some minutes the
first time), and runs fine_tune.py with the options: a small random LLaMA is fine-tuned with SBoRA-FA by sbora's
kernels, saved for PEFT and as PaCA, and compared with what PEFT makes of it. No model hub is asked for anything.

  --build-only      only the environment and the package; then import sbora with build/python/venv/bin/python
  --kind FA|FB      columns or rows are trained
  --rank, --steps, --batch, --learning_rate, --hidden, --layers, --threads, --seed     numbers
  --output DIR      for what is saved

Builds in build/python, or in $SBORA_BUILD_DIR. SBORA_NO_INSTALL=1: never call apt-get.
END
}

case ${1:-} in
--help | -h) usage; exit 0 ;;
esac

need_packages g++ cmake ninja-build libeigen3-dev nlohmann-json3-dev python3 python3-dev python3-venv >&2
build=${SBORA_BUILD_DIR:-$root/build/python}
mkdir -p "$build"
python_environment "$build/venv" "$here/requirements.txt" >&2

say "building the package in $build (some minutes the first time)" >&2
# In the repository's own folder, whose headers it needs, so that building again is quick.
# Debian 12's pip has no -C.
"$python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation \
    --config-settings build-dir="$build/package" "$here" >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}
[ "${1:-}" != --build-only ] || exit 0

export HF_HUB_OFFLINE=1
exec "$python" "$here/fine_tune.py" "$@"
