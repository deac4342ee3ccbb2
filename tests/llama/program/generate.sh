#!/bin/sh
# Answers of several adapters at one prompt: each is what its adapter says alone; wrong commands change nothing.
set -eu
# shellcheck source=small_run.sh
. "$(dirname "$0")/small_run.sh"
generate=$2

small_run --output_dir "$work/base" --max_steps 1 >/dev/null 2>&1 || fail "no base model"
base=$(echo "$work"/cache/base-*)
# Each learns a word of its own, so that answers tell whose they are.
tune() {
    row="{\"instruction\": \"What is 2 + 3?\", \"output\": \"$3\"}"
    echo "[$row, $row, $row, $row]" >"$work/rows.json"
    "$llama" --base_model "$base" --data_path "$work/rows.json" --adapter_name "$2" --lora_r 8 --lora_alpha 16 \
        --learning_rate 0.02 --batch_size 4 --micro_batch_size 4 --cutoff_len 400 --train_on_inputs false \
        --max_steps 30 --warmup_steps 0 --val_set_size 0 --threads 2 --output_dir "$work/$1" >"$work/log" 2>&1 ||
        fail "$(cat "$work/log")"
}
tune fa sbora_fa aaaa
tune fb sbora_fb bbbb
tune lora lora cccc

model=$base
ask() { "$generate" --base_model "$model" --max_new_tokens 20 --threads 2 "$@" 2>"$work/said"; }
question='What is 2 + 3?'
alone() {
    echo "$question" | ask "$@" || fail "$(cat "$work/said")"
}
none=$(alone)
fa=$(alone --adapters "$work/fa")
fb=$(alone --adapters "$work/fb/")
[ "$fa" != "$none" ] && [ "$fb" != "$none" ] && [ "$fa" != "$fb" ] || fail "adapters change nothing: $none, $fa, $fb"

switched=$(printf '%s\n' "$question" '/use fb' "$question" '/use none' "$question" '/use fa' "$question" |
    ask --adapters "$work/fa,$work/fb") || fail "$(cat "$work/said")"
[ "$switched" = "$fa
$fb
$none
$fa" ] || fail "switched: $switched"
all=$(printf '/all %s\n/quit\n%s\n' "$question" "$question" | ask --adapters "$work/fa,$work/fb")
[ "$all" = "none: $none
fa: $fa
fb: $fb" ] || fail "all at once: $all"

printf '%s\n' '/adapters' '/use nobody' '/tokens 0' '/tokens some' '/all' '/what' '' "$question" '/tokens 1' '/help' |
    ask --adapters "$work/fa,$work/fb" >"$work/answers" || fail "$(cat "$work/said")"
[ "$(head -n 3 "$work/answers")" = "fa
fb
$fa" ] || fail "$(cat "$work/answers")"
grep -q "^/use NAME" "$work/answers" || fail "no help"
for said in "/use: no adapter 'nobody'" '/tokens: a number above 0' '/all: what' '/what: no such command'; do
    grep -qF "$said" "$work/said" || fail "not said: $said"
done

refused() {
    what=$1
    shift
    status=0
    echo "$question" | ask "$@" >"$work/answers" || status=$?
    [ "$status" = 2 ] || fail "exit status $status of $*"
    [ ! -s "$work/answers" ] || fail "answered: $*"
    grep -qF -- "$what" "$work/said" || fail "$(cat "$work/said")"
}
refused 'a LoRA, of which no half is one-hot' --adapters "$work/fa,$work/lora"
refused "'fa' is there twice" --adapters "$work/fa,$work/fa"
refused 'adapter_config.json' --adapters "$work/cache"
model=$work
refused 'neither tokenizer.json nor tokenizer.model' --raw
