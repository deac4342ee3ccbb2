# Sourced: find_python BUILD MODULES sets $python to $PYTHON (python3) if it has the modules, else to one of a virtual
# environment under BUILD that gets PyPI's.
# shellcheck shell=sh
# shellcheck source=../../cmake/scripts/common.sh
. "$(dirname "$0")/../../cmake/scripts/common.sh"

find_python() {
    python=${PYTHON:-python3}
    "$python" -c "import $2" 2>/dev/null && return
    [ "${SBORA_NO_INSTALL:-0}" != 1 ] || [ -x "$1/venv/bin/python" ] ||
        die "this needs a Python with $2; name it in PYTHON"
    python_environment "$1/venv" "$(dirname "$0")/../torch/requirements.txt" >&2
}
