#!/bin/sh
# kill_resume.sh LLAMA: a run that is killed (-9) at ten random moments and resumed each time ends with the same
# adapter, bit for bit, and the same losses in metrics.jsonl as one that nobody disturbs.
set -eu
# shellcheck source=small_run.sh
. "$(dirname "$0")/small_run.sh"

small_run --output_dir "$work/base" --max_steps 1 >/dev/null 2>&1   # trains the base that both runs start from
start=$(date +%s%N)
small_run --output_dir "$work/undisturbed" >/dev/null 2>&1
took=$((($(date +%s%N) - start) / 1000000))

for kill in 1 2 3 4 5 6 7 8 9 10; do
    # Up to a third of a whole run, so that some fall before the first checkpoint and some into the end.
    wait=$(awk -v seed="$kill" -v ms="$took" 'BEGIN { srand(seed); rand(); printf "%.3f", rand() * ms / 3000 }')
    run="exec" small_run --output_dir "$work/killed" --resume_from_checkpoint auto >/dev/null 2>&1 &
    sleep "$wait"
    kill -9 $! 2>/dev/null || true
    wait $! 2>/dev/null || true
    echo "killed after $wait s: $(find "$work/killed" -path '*/sbora_fa/checkpoint*' 2>/dev/null | wc -l) checkpoints"
done
small_run --output_dir "$work/killed" --resume_from_checkpoint auto >/dev/null 2>&1

for name in adapter_model.safetensors adapter_config.json; do
    cmp "$work/undisturbed/sbora_fa/$name" "$work/killed/sbora_fa/$name" || fail "$name differs"
done
losses() { sed 's/,"peak_bytes":[0-9]*//; s/,"seconds":[^,}]*//' "$1/sbora_fa/metrics.jsonl"; }
losses "$work/undisturbed" >"$work/a"
losses "$work/killed" >"$work/b"
cmp "$work/a" "$work/b" || fail "metrics.jsonl differs"
left=$(find "$work/killed/sbora_fa" -name '*tmp*')
[ -z "$left" ] || fail "temporary files are left: $left"
echo "the same adapter and the same losses"
