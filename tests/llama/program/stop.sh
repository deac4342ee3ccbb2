#!/bin/sh
# stop.sh LLAMA: Ctrl-C finishes the step, leaves a checkpoint and gives 130; the run can be resumed, another one
# can't be started over it, and resuming with other options, or on a base of which one bit is another, is refused by
# name.
set -eu
# shellcheck source=small_run.sh
. "$(dirname "$0")/small_run.sh"

# Long enough that it can't finish first.
set +e
run="exec" small_run --output_dir "$work/run" --max_steps 100000 --save_step 0 >"$work/out" 2>&1 &
while ! grep -q '"step":2' "$work/run/sbora_fa/metrics.jsonl" 2>/dev/null; do
    kill -0 $! 2>/dev/null || fail "it ended by itself: $(cat "$work/out")"
    sleep 0.1
done
kill -INT $!
wait $!
code=$?
[ $code = 130 ] || fail "exit code $code after Ctrl-C: $(cat "$work/out")"
grep -q 'resume_from_checkpoint auto' "$work/out" || fail "it doesn't say how to go on: $(cat "$work/out")"
ls "$work"/run/sbora_fa/checkpoint-*.safetensors >/dev/null || fail "no checkpoint"
[ ! -e "$work/run/sbora_fa/adapter_model.safetensors" ] || fail "an unfinished adapter was saved"

small_run --output_dir "$work/run" --max_steps 100000 >"$work/out" 2>&1
code=$?
[ $code = 2 ] || fail "exit code $code for a new run over a stopped one: $(cat "$work/out")"
small_run --output_dir "$work/run" --max_steps 100000 --resume_from_checkpoint auto --lora_r 8 >"$work/out" 2>&1
code=$?
[ $code = 2 ] || fail "exit code $code for another rank: $(cat "$work/out")"
grep -q -- '--lora_r was 4 and is 8' "$work/out" || fail "the option isn't named: $(cat "$work/out")"

base=$(ls "$work"/cache/base-*/model.safetensors)
at=$(($(wc -c <"$base") / 2))
byte=$(od -An -tu1 -j "$at" -N 1 "$base")
# shellcheck disable=SC2059 # the format is the byte
printf "\\$(printf %o $((byte ^ 1)))" | dd of="$base" bs=1 seek="$at" conv=notrunc 2>/dev/null
run="timeout 60" small_run --output_dir "$work/run" --max_steps 100000 --resume_from_checkpoint auto >"$work/out" 2>&1
code=$?
[ $code = 2 ] || fail "exit code $code for another base: $(cat "$work/out")"
grep -q 'the content of --base_model was' "$work/out" || fail "the base isn't named: $(cat "$work/out")"
echo "stopped, kept, refused"
