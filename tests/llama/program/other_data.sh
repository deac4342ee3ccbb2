#!/bin/sh
# --loss_files and --eval_rows: what a run says of data that it isn't trained on.
set -eu
# shellcheck source=small_run.sh
. "$(dirname "$0")/small_run.sh"

small_run --output_dir "$work/base" --max_steps 1 >/dev/null 2>&1 || fail "no base model"
base=$(echo "$work"/cache/base-*)
rows=$work/rows.json other=$work/other.json
row() { printf '{"instruction": "What is %d + %d?", "output": "%d", "answer": "%d"}' "$1" "$1" "$(($1 * 2))" "$(($1 * 2))"; }
rows_from() {
    printf '['
    for i in 0 1 2 3 4 5 6; do
        row $(($1 + i))
        printf ','
    done
    row $(($1 + 7))
    printf ']'
}
rows_from 1 >"$rows"
rows_from 20 >"$other"
tune() {
    name=$1
    shift
    "$llama" --base_model "$base" --data_path "$rows" --adapter_name sbora_fa --lora_r 4 --batch_size 4 \
        --micro_batch_size 2 --cutoff_len 400 --max_steps 2 --warmup_steps 0 --val_set_size 2 --eval_step 1 \
        --output_dir "$work/$name" "$@" >"$work/$name.log" 2>&1
}
value() { sed -n "s/^result $2 //p" "$work/$1/results.txt"; }

tune still --learning_rate 1e-12 --loss_files "$other" --eval_files "$rows" --eval_rows 3 ||
    fail "$(cat "$work/still.log")"
tune moved --learning_rate 0.01 --loss_files "$other,$rows" || fail "$(cat "$work/moved.log")"
before=$(value still other.loss_before)
[ -n "$before" ] || fail "no loss before"
[ "$before" = "$(value still other.loss)" ] || fail "nothing was trained, but the loss is another"
[ "$before" = "$(value moved other.loss_before)" ] || fail "before training it depends on the options of training"
[ "$before" != "$(value moved other.loss)" ] || fail "trained, but the loss is the same"
[ -n "$(value moved rows.loss)" ] || fail "the second file has no loss"
[ "$(value still rows.rows)" = 3 ] || fail "$(value still rows.rows) rows answered, not 3"

# Two files of one name can't be told apart; nothing is written before that is known.
mkdir "$work/again"
cp "$other" "$work/again/other.json"
! tune twice --loss_files "$other,$work/again/other.json" || fail "two files of one name were taken"
grep -q -- '--loss_files: two files named other' "$work/twice.log" || fail "$(cat "$work/twice.log")"
! tune short --cutoff_len 8 --loss_files "$other" --train_on_inputs false --val_set_size 0 || fail "nothing scored"
[ ! -e "$work/twice" ] && [ ! -e "$work/short" ] || fail "refused, but a folder was made"
