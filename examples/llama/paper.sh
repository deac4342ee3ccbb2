#!/bin/sh
# The paper's tables on SmolLM2-135M: runs what results.csv doesn't have yet. `sh examples/llama/paper.sh --help`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/cmake/scripts/common.sh"

need_packages python3
case " $* " in
*" --help "* | *" -h "* | *" --check "* | *" --tables "*) exec python3 "$here/paper/paper.py" "$@" ;;
esac
build=${SBORA_BUILD_DIR:-$root/build/examples}
sh "$root/examples/run.sh" llama --help >/dev/null
model=$(sh "$here/base_models/smollm2.sh" "$build/base_models")
exec python3 "$here/paper/paper.py" --program "$build/bin/llama" --base_model "$model" "$@"
